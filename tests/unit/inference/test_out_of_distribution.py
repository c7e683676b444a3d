"""Images unlike the training data cause warnings with numbers; others do not."""

from dataclasses import replace

import numpy as np
import pytest
from fingerprints import make_fingerprint
from normalized import normalized

from autoseg.core.case import Image
from autoseg.core.geometry import Geometry, canonical_orientation
from autoseg.documents.model_card import summarize_fingerprint
from autoseg.inference.out_of_distribution import out_of_distribution_warnings
from autoseg.normalizers import NORMALIZERS
from autoseg.normalizers.none import NoNormalization
from autoseg.normalizers.zscore import ZScore

SCALED = (NoNormalization(),)
NAMES = ("CT",)


def training(**changes):
    """Return a summary of images of 40 × 50 × 60 voxels of 2 × 1 × 1 mm or a little more."""
    made = make_fingerprint(
        [(40, 50, 60), (44, 50, 60)],
        [(2, 1, 1), (2.2, 1, 1)],
        channel_names=NAMES,
        class_shares=(0.9, 0.1),
        intensities=(100.0, 200.0),
    )
    fields = {"axis_directions": "SPL", "tilt_degrees": 3.0} | changes
    cases = tuple(case.model_copy(update=fields) for case in made.cases)
    return summarize_fingerprint(made.model_copy(update={"cases": cases}))


def rotated(degrees: float) -> tuple[tuple[float, ...], ...]:
    """Return the directions of an image that is rotated about the first axis."""
    angle = np.radians(degrees)
    c, s = float(np.cos(angle)), float(np.sin(angle))
    return ((1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c))


def image(shape=(40, 50, 60), *, spacing=(2.0, 1.0, 1.0), direction=None, intensities=(0, 250)):
    plain = Geometry.plain(tuple(map(float, spacing)))
    stored = plain if direction is None else replace(plain, direction=direction)
    turn = canonical_orientation(stored)
    voxels = np.random.default_rng(0).uniform(*intensities, (1, *shape)).astype(np.float32)
    turned = np.ascontiguousarray(turn.apply(voxels))
    return Image(turned, turn.apply_to_geometry(stored, shape), stored, turn)


def found(an_image, data=None, normalizers=SCALED):
    return out_of_distribution_warnings(an_image, data or training(), normalizers, NAMES)


def test_an_image_like_the_training_data_passes():
    assert found(image()) == ()
    assert found(image(shape=(46, 55, 50), spacing=(2.3, 1.1, 0.9))) == ()


@pytest.mark.parametrize("step", [1.0, 6.0])
def test_another_voxel_size_is_named_with_its_axis(step):
    shape = (round(40 * 2 / step), 50, 60)
    (sentence,) = found(image(shape, spacing=(step, 1, 1)))
    assert sentence == (
        f"its voxel size along axis 0 (superior) is {step:g} mm; in training 2 to 2.2 mm"
    )


def test_pictures_of_no_known_size_are_measured_in_pixels():
    made = make_fingerprint([(50, 60)] * 2, [(1, 1)] * 2, channel_names=NAMES)
    data = summarize_fingerprint(made)
    (sentence,) = found(image((200, 60), spacing=(1, 1), intensities=(0, 99)), data)
    assert sentence == "its field of view along axis 0 is 200 px; in training always 50 px"


def test_another_field_of_view_is_named():
    (sentence,) = found(image((200, 50, 60)))
    assert "view along axis 0 (superior) is 400 mm; in training 80 to 96.8 mm" in sentence
    (sentence,) = found(image((40, 50, 30)))
    assert "view along axis 2 (left) is 30 mm; in training always 60 mm" in sentence


def test_intensities_in_another_unit_are_named():
    (sentence,) = found(image(intensities=(0, 1)))
    assert "channel 0 (CT) has intensities from" in sentence
    assert "0 % of its voxels" in sentence
    assert "at least 10 % of each training image was foreground" in sentence


@pytest.mark.parametrize("kind", ["zscore", "zero_one"])
def test_units_do_not_matter_where_each_image_is_scaled_by_itself(kind):
    assert found(image(intensities=(0, 1)), normalizers=(NORMALIZERS[kind](),)) == ()


def test_every_normalizer_is_right_about_its_scale():
    rng = np.random.default_rng(0)
    channel = rng.uniform(10, 20, (6, 7)).astype(np.float32)
    ct = {"mean": 15, "std": 3, "percentile_00_5": 0, "percentile_99_5": 100}
    for kind in NORMALIZERS:
        normalizer = NORMALIZERS[kind]
        made = normalizer(**(ct if kind == "ct" else {}))
        inside = np.ones(channel.shape, dtype=bool)
        once, twice = normalized(made, channel, inside), normalized(made, 2 * channel, inside)
        assert normalizer.keeps_scale != np.allclose(once, twice, atol=1e-4), kind


def test_a_constant_channel_is_named_whatever_the_normalizer():
    for normalizer in (NoNormalization(), ZScore()):
        (sentence,) = found(image(intensities=(150, 150)), normalizers=(normalizer,))
        assert sentence == "channel 0 (CT) is 150 everywhere"


def test_another_stored_orientation_is_named():
    backwards = ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    (sentence,) = found(image(direction=backwards))
    assert "stored as IPL, those of all training images as SPL" in sentence
    assert found(image(direction=backwards), training(axis_directions="IPL")) == ()
    assert found(image(direction=backwards), training(axis_directions="")) == ()


def test_an_image_more_oblique_than_any_in_training_is_named():
    (sentence,) = found(image(direction=rotated(30)))
    assert sentence == "its axes are 30° off the body axes; in training at most 3°"
    assert found(image(direction=rotated(30)), training(tilt_degrees=20.0)) == ()
    assert found(image(direction=rotated(30)), training(tilt_degrees=None)) == ()


def test_another_number_of_channels_or_axes_is_all_that_is_said():
    two = replace(image(), voxels=np.zeros((2, 4, 4, 4), np.float32))
    assert found(two) == ("the image has 2 channels, the training images have 1 (CT)",)
    flat = replace(image(), voxels=np.zeros((1, 4, 4), np.float32))
    assert found(flat) == ("the image has 2 axes, the training images have 3",)


def test_sizes_in_another_unit_are_converted_before_they_are_compared():
    made = make_fingerprint([(50, 60)] * 2, [(0.5, 0.5)] * 2, channel_names=NAMES)
    cases = tuple(case.model_copy(update={"unit": "µm"}) for case in made.cases)
    data = summarize_fingerprint(made.model_copy(update={"cases": cases}))
    picture = image((50, 60), spacing=(500, 1000), intensities=(0, 99))
    geometry = replace(picture.geometry, unit="nm")
    wide, field = found(replace(picture, geometry=geometry), data)
    assert wide == "its voxel size along axis 1 is 1 µm; in training always 0.5 µm"
    assert field == "its field of view along axis 1 is 60 µm; in training always 30 µm"
    (sentence,) = found(image((50, 60), spacing=(1, 1), intensities=(0, 99)), data)
    assert sentence.startswith("it has no voxel size, or one of 1 mm")
