import pytest
from fingerprints import make_fingerprint, small_volumes

from autoseg.planning.normalization import normalizers


def kinds(fingerprint):
    return [choice.value.kind for choice in normalizers(fingerprint)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *[("CT", "ct"), ("ct", "ct"), ("noNorm", "none"), ("zscore", "zscore")],
        *[("rescale_to_0_1", "zero_one"), ("rgb_to_0_1", "rgb"), ("FLAIR", "zscore")],
        *[("CTA of the head", "zscore"), ("R", "zscore")],
    ],
)
def test_a_channel_name_chooses_the_normaliser(name, kind):
    (choice,) = normalizers(small_volumes(channel_names=(name,)))
    assert choice.value.kind == kind
    assert repr(name) in choice.reason


def test_ct_takes_the_foreground_statistics_of_the_dataset():
    fingerprint = small_volumes(channel_names=("CT",), intensities=(-100.0, 300.0))
    (choice,) = normalizers(fingerprint)
    assert choice.value.mean == fingerprint.channels[0].mean == 100.0
    assert choice.value.percentile_99_5 == pytest.approx(298, abs=0.1)


@pytest.mark.parametrize(
    ("intensities", "is_integer", "kind"),
    [
        ((-1024.0, 1500.0), True, "ct"),
        ((-1024.0, 1500.0), False, "zscore"),
        ((0.0, 900.0), True, "zscore"),
        ((-20.0, 900.0), True, "zscore"),
        ((-30000.0, 900.0), True, "zscore"),
    ],
)
def test_whole_numbers_like_hounsfield_units_are_taken_for_ct(intensities, is_integer, kind):
    fingerprint = small_volumes(
        channel_names=("channel_0",), intensities=intensities, is_integer=is_integer
    )
    assert kinds(fingerprint) == [kind]


@pytest.mark.parametrize(
    ("channels", "intensities", "kind"),
    [(3, (0.0, 255.0), "rgb"), (3, (0.0, 4095.0), "zscore"), (1, (0.0, 255.0), "zscore")],
)
def test_three_unnamed_eight_bit_channels_are_taken_for_colour(channels, intensities, kind):
    fingerprint = make_fingerprint(
        [(64, 64)] * 3,
        [(1.0, 1.0)] * 3,
        channel_names=[f"channel_{index}" for index in range(channels)],
        intensities=intensities,
    )
    assert kinds(fingerprint) == [kind] * channels


def test_colour_whose_background_is_brighter_than_eight_bits_is_none():
    fingerprint = make_fingerprint(
        [(64, 64)] * 3,
        [(1.0, 1.0)] * 3,
        channel_names=[f"channel_{index}" for index in range(3)],
        intensities=(0.0, 160.0),
        fits_8_bits=False,
    )
    assert kinds(fingerprint) == ["zscore"] * 3


@pytest.mark.parametrize(("left", "masked"), [(0.5, True), (0.9, False)])
def test_the_nonzero_mask_counts_where_the_crop_removes_much(left, masked):
    (choice,) = normalizers(small_volumes(left_by_crop=left))
    assert choice.value.masked is masked
