import numpy as np
import pytest

from autoseg.planning import rules


def cases(spacing, shape, count=10):
    return np.tile(np.array(spacing, float), (count, 1)), np.tile(np.array(shape), (count, 1))


def test_target_spacing_is_the_median_of_each_axis():
    spacings = np.array([[1.0, 2.0, 2.0], [2.0, 2.0, 2.0], [3.0, 2.0, 1.0]])
    choice = rules.target_spacing(spacings, np.full((3, 3), 100))
    assert choice.value == (2.0, 2.0, 2.0)


def test_a_coarse_and_short_axis_takes_a_low_percentile():
    spacings = np.array([[float(mm), 1.0, 1.0] for mm in range(4, 15)])
    choice = rules.target_spacing(spacings, np.full((11, 3), (20, 200, 200)))
    assert choice.value == (5.0, 1.0, 1.0)
    assert "10th percentile" in choice.reason


def test_a_coarse_but_long_axis_keeps_its_median():
    spacings, shapes = cases((4.0, 1.0, 1.0), (200, 200, 200))
    assert rules.target_spacing(spacings, shapes).value == (4.0, 1.0, 1.0)


def test_the_coarse_axis_never_becomes_finer_than_the_others():
    spacings = np.array([[0.5, 1.0, 1.0]] * 3 + [[5.0, 1.0, 1.0]] * 7)
    choice = rules.target_spacing(spacings, np.full((10, 3), (20, 200, 200)))
    assert choice.value == pytest.approx((1.0 + 1e-5, 1.0, 1.0), abs=1e-9)


def test_a_coarse_axis_of_pictures_keeps_its_median():
    spacings = np.array([[float(mm), 1.0] for mm in range(4, 15)])
    assert rules.target_spacing(spacings, np.full((11, 2), (20, 200))).value == (9.0, 1.0)


@pytest.mark.parametrize(
    ("spacing", "order"),
    [
        ((5.0, 1.0, 1.0), (0, 1, 2)),
        ((1.0, 5.0, 2.0), (1, 0, 2)),
        ((1.0, 1.0, 5.0), (2, 0, 1)),
        ((1.0, 1.0, 1.0), (0, 1, 2)),
        ((1.0, 5.0), (0, 1)),
    ],
)
def test_the_coarsest_axis_comes_first(spacing, order):
    assert rules.axis_order(spacing).value == order


def test_median_shape_is_resampled_and_in_planned_order():
    spacings, shapes = cases((1.0, 1.0, 4.0), (100, 50, 11))
    choice = rules.median_shape(spacings, shapes, (2.0, 1.0, 2.0), (2, 0, 1))
    assert choice.value == (22.0, 50.0, 50.0)


def test_median_shape_of_an_even_number_of_cases_may_lie_between_voxels():
    spacings, _ = cases((1.0, 1.0), (1, 1), count=2)
    shapes = np.array([[10, 20], [11, 22]])
    assert rules.median_shape(spacings, shapes, (1.0, 1.0), (0, 1)).value == (10.5, 21.0)


def test_the_initial_patch_is_a_physical_cube_within_the_median_case():
    assert rules.initial_patch((4.0, 1.0, 1.0), (1000.0, 1000.0, 300.0)) == (102.0, 406.0, 300.0)


def test_single_planes_are_trained_in_two_dimensions():
    assert rules.default_configuration((1.0, 1.0), None).value == "2d"


@pytest.mark.parametrize(
    ("spacing", "slices", "expected"),
    [
        ((1.0, 1.0, 1.0), 64, "3d_fullres"),
        ((10.0, 1.0, 1.0), 20, "3d_fullres"),
        ((10.0, 1.0, 1.0), 7, "2d"),
        ((2.0, 1.0, 1.0), 7, "3d_fullres"),
    ],
)
def test_volumes_are_trained_in_three_dimensions_unless_coarse_and_few(spacing, slices, expected):
    choice = rules.default_configuration(spacing, (slices, 128, 128))
    assert choice.value == expected
    assert f"{slices} slices per patch, " in choice.reason


def test_the_distance_of_slices_is_told_in_pixels():
    def reason(spacing):
        return rules.default_configuration(spacing, (40, 128, 128)).reason

    assert reason((1.0, 1.0, 1.0)) == (
        "40 slices per patch, as far apart as pixels: 2-D is only better with under 8 slices over "
        "3 times as far apart as pixels"
    )
    assert reason((2.5, 1.0, 1.0)).startswith("40 slices per patch, 2.5 times as far apart as")


@pytest.mark.parametrize(
    ("is_2d", "has_lowres", "pool"),
    [(True, False, "batch"), (False, True, "batch"), (False, False, "sample")],
)
def test_dice_is_pooled_over_the_batch_where_patches_may_be_empty(is_2d, has_lowres, pool):
    assert rules.dice_pool(is_2d=is_2d, has_lowres=has_lowres).value == pool


@pytest.mark.parametrize("shape", [(20, 50, 200), (20, 200, 50)])
def test_a_coarse_axis_is_short_only_beside_the_shorter_of_the_others(shape):
    spacings = np.array([[float(mm), 1.0, 1.0] for mm in range(4, 15)])
    choice = rules.target_spacing(spacings, np.full((11, 3), shape))
    assert choice.value == (9.0, 1.0, 1.0)


def test_an_axis_is_coarse_only_beside_the_coarser_of_the_others():
    spacings = np.array([[float(mm), 4.0, 1.0] for mm in range(4, 15)])
    assert rules.target_spacing(spacings, np.full((11, 3), (20, 200, 200))).value == (9.0, 4.0, 1.0)
