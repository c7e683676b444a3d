from dataclasses import replace

import pytest
from fingerprints import make_fingerprint

from autoseg.documents.fingerprint import COARSENING_FACTORS
from autoseg.planning.expected_dice import (
    ExpectedLoss,
    closeness,
    coverage,
    locality,
    resolution_dice,
)

DICE = (0.98, 0.96, 0.94, 0.92, 0.9)

LOSS = ExpectedLoss(
    resolution_dice=0.95,
    coverage=0.3,
    num_axes=3,
    locality=0.8,
    steps=1000.0,
    voxels=2**16,
    edge=80.0,
    features=16,
    slice_isotropy=0.0,
    slice_anisotropy=0.0,
)


def volumes(spacing=(1.0, 1.0, 1.0), **settings):
    return make_fingerprint([(40, 60, 80)] * 3, [spacing] * 3, **settings)


@pytest.mark.parametrize(
    "better",
    [
        {"resolution_dice": 0.96},
        {"coverage": 0.4},
        {"locality": 0.7},
        {"steps": 1100.0},
        {"voxels": 2**17},
        {"edge": 60.0},
        {"features": 32},
    ],
)
def test_finer_voxels_more_context_more_steps_and_wider_networks_lose_less(better):
    assert replace(LOSS, **better).total < LOSS.total


def test_the_closer_slices_are_the_more_a_network_of_planes_loses():
    losses = [replace(LOSS, slice_isotropy=share).total for share in (0.0, 0.1, 1.0)]
    assert losses == sorted(losses)
    assert losses[0] < losses[-1]


def test_slices_are_close_up_to_twice_the_spacing_of_pixels():
    assert closeness(0.0) == 0.0
    assert closeness(0.25) == 0.5
    assert closeness(0.5) == closeness(1.0) == 1.0
    half, close = (replace(LOSS, slice_anisotropy=share) for share in (0.5, 0.0))
    assert half.total == close.total


def test_little_context_costs_more_than_in_proportion():
    quarter, eighth = (replace(LOSS, coverage=share).training for share in (0.25, 0.125))
    enough = replace(LOSS, coverage=0.52).training
    assert eighth - quarter > quarter - enough > 0


def test_a_network_of_volumes_loses_by_distant_slices():
    assert replace(LOSS, slice_anisotropy=0.9).total > LOSS.total


def test_slices_of_volumes_and_the_narrowest_networks_lose_more():
    assert replace(LOSS, slice_isotropy=1.0).total > LOSS.total
    assert replace(LOSS, features=8).total > LOSS.total


def test_context_does_not_matter_to_classes_that_are_everywhere():
    everywhere = replace(LOSS, locality=0.0)
    assert replace(everywhere, coverage=0.01).total == everywhere.total


@pytest.mark.parametrize("num_axes", [2, 3])
def test_four_fifths_of_every_edge_are_enough_context(num_axes):
    enough, whole, little = (
        replace(LOSS, coverage=share**num_axes, num_axes=num_axes).total
        for share in (0.81, 1.0, 0.7)
    )
    assert enough == whole < little


def test_the_same_share_of_a_case_is_less_context_in_a_slice_than_in_a_volume():
    assert replace(LOSS, num_axes=2).training > LOSS.training


def test_the_parts_add_up():
    assert LOSS.total == pytest.approx(LOSS.resolution + LOSS.training + LOSS.network)
    assert LOSS.resolution == pytest.approx(0.05)


def test_coverage_counts_no_axis_more_than_once():
    assert coverage((20, 100), (40.0, 50.0)) == 0.5
    assert coverage((64, 64), (64.0, 64.0)) == 1.0


def test_the_resolution_is_read_off_at_the_factors_that_were_measured():
    fingerprint = volumes(coarse_dice=DICE)
    for factor, dice in zip(COARSENING_FACTORS, DICE, strict=True):
        assert resolution_dice(fingerprint, (factor,) * 3) == pytest.approx(dice)
    assert resolution_dice(fingerprint, (1.0, 1.0, 1.0)) == 1.0
    assert 0.96 < resolution_dice(fingerprint, (1.7, 1.7, 1.7)) < 0.98


def test_the_finest_axis_of_each_case_is_what_voxels_are_compared_with():
    fingerprint = volumes(spacing=(5.0, 0.5, 0.5), coarse_dice=DICE)
    assert resolution_dice(fingerprint, (5.0, 1.0, 1.0)) == pytest.approx(DICE[1])


def test_voxels_coarser_than_measured_and_unmeasured_datasets_have_no_known_resolution():
    assert resolution_dice(volumes(), (2.0, 2.0, 2.0)) is None
    assert resolution_dice(volumes(coarse_dice=DICE), (7.0, 7.0, 7.0)) is None


def test_locality_is_what_the_foreground_classes_leave_free():
    shares = (0.8, 0.1, 0.1)
    fingerprint = volumes(class_shares=shares, extents=(1.0, 0.1, 0.3))
    assert locality(fingerprint) == pytest.approx(0.8)
    assert locality(volumes(class_shares=shares, extents=(1.0, 1.0, None))) == 0.0


def test_locality_counts_the_image_after_the_crop():
    cropped = volumes(extents=(1.0, 0.2), left_by_crop=0.5)
    assert locality(cropped) == pytest.approx(0.6)


def test_unknown_extents_count_as_local():
    assert locality(volumes()) == 1.0
