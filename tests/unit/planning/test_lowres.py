from math import prod

import pytest

from autoseg.architectures.unet import UNet
from autoseg.planning.lowres import low_resolution
from autoseg.planning.memory import Grid, MemoryBudget, largest_network
from autoseg.planning.planned_value import PlannedValue
from autoseg.planning.resolution import Resolution

BUDGET = MemoryBudget(network=UNet, in_channels=1, num_classes=2, memory_gib=8.0)


def found(spacing, median_shape, cases=10):
    grid = Grid(spacing=spacing, median_shape=median_shape)
    full = Resolution(
        dataset_voxels=prod(median_shape) * cases,
        spacing=PlannedValue(spacing, "target_spacing", "given"),
        median_shape=PlannedValue(median_shape, "median_shape", "given"),
    )
    return low_resolution(largest_network(BUDGET, grid), BUDGET, full)


def test_at_low_resolution_a_patch_covers_a_quarter_of_the_median_case():
    low = found((1.0, 1.0, 1.0), (400.0, 400.0, 400.0))
    assert low is not None
    grid = low[0].grid
    covered = prod(low[1].value.topology.patch_shape) / prod(grid.median_shape)
    assert 0.25 <= covered < 0.3
    assert grid.spacing[0] == pytest.approx(1.03**23)
    assert grid.median_shape == (203.0, 203.0, 203.0)


def test_its_dataset_has_as_many_times_fewer_voxels_as_its_cases():
    low = found((1.0, 1.0, 1.0), (400.0, 400.0, 400.0))
    assert low is not None
    resolution = low[0]
    assert resolution.dataset_voxels == pytest.approx((400 / resolution.grid.spacing[0]) ** 3 * 10)


def test_only_axes_over_twice_as_fine_as_the_coarsest_are_coarsened_at_first():
    low = found((4.0, 1.0, 1.0), (100.0, 500.0, 500.0))
    assert low is not None
    assert low[0].grid.spacing[0] == 4.0
    assert 1.5 < low[0].grid.spacing[1] < 2.0


def test_cases_little_larger_than_a_patch_get_none():
    assert found((1.0, 1.0, 1.0), (160.0, 160.0, 160.0)) is None


def test_a_low_resolution_with_hardly_fewer_voxels_is_dropped():
    # A patch of 128³ covers 22 % of these cases: a slightly coarser spacing suffices.
    assert 128**3 / 212.0**3 < 0.25
    assert found((1.0, 1.0, 1.0), (212.0, 212.0, 212.0)) is None


@pytest.mark.parametrize(("planes", "edge"), [(2.0, 3072.0), (4.0, 6144.0)])
def test_a_stack_of_few_large_planes_keeps_one_voxel_of_its_short_axis(planes, edge):
    low = found((1.0, 1.0, 1.0), (planes, edge, edge))
    assert low is not None
    assert low[0].grid.median_shape[0] == 1.0
    assert low[1].value.topology.patch_shape[0] >= 1


def test_the_reasons_name_the_numbers_that_mattered():
    low = found((1.0, 1.0, 1.0), (400.0, 400.0, 400.0))
    assert low is not None
    assert "covers 3.277 % of the median case" in low[0].spacing.reason
    assert "7.687 times fewer" in low[0].median_shape.reason
