from math import prod

import pytest

from autoseg.architectures.unet import UNet
from autoseg.core.errors import PlanError
from autoseg.planning.lowres import has_lowres
from autoseg.planning.memory import (
    Grid,
    MemoryBudget,
    batch_size,
    largest_network,
    predicted_memory_gib,
    shrunk,
)
from autoseg.planning.topology import topology_for

LARGE = Grid(spacing=(1.0, 1.0, 1.0), median_shape=(400.0, 400.0, 400.0))


def budget(memory_gib=8.0, num_classes=2):
    return MemoryBudget(network=UNet, in_channels=1, num_classes=num_classes, memory_gib=memory_gib)


def test_the_reference_patch_fits_eight_gib():
    assert largest_network(budget(), LARGE).topology.patch_shape == (128, 128, 128)


@pytest.mark.parametrize("memory_gib", [1.0, 4.0, 8.0, 24.0, 80.0])
def test_two_patches_are_predicted_to_fit_the_memory_asked_for(memory_gib):
    network = largest_network(budget(memory_gib), LARGE)
    assert predicted_memory_gib(network, 2) <= memory_gib


def test_more_memory_gives_a_larger_patch():
    sizes = [
        prod(largest_network(budget(memory), LARGE).topology.patch_shape)
        for memory in (2.0, 8.0, 32.0)
    ]
    assert sizes[0] < sizes[1] < sizes[2]


def test_too_little_memory_is_refused_with_what_to_do():
    with pytest.raises(PlanError, match=r"1e-06 GiB are too little for 2 classes.*--memory"):
        largest_network(budget(1e-6), Grid((1.0, 1.0), (512.0, 512.0)))


def test_the_axis_that_covers_most_of_the_case_shrinks_first():
    grid = Grid(spacing=(1.0, 1.0), median_shape=(512.0, 128.0))
    start = topology_for(grid.spacing, (128.0, 128.0))
    smaller = shrunk(start, grid, fits=lambda topology: topology != start)
    assert smaller is not None
    assert smaller.patch_shape[0] == 128
    assert smaller.patch_shape[1] < 128


def test_the_batch_fills_the_memory():
    network = largest_network(budget(), Grid((1.0, 1.0, 1.0), (40.0, 56.0, 40.0)))
    assert batch_size(network, budget(), 1e12).value == round(
        560e6 / network.activation_count() * 2
    )


def test_a_batch_holds_at_most_a_twentieth_of_the_data_and_two_patches_at_least():
    network = largest_network(budget(), Grid((1.0, 1.0, 1.0), (40.0, 56.0, 40.0)))
    voxels = prod(network.topology.patch_shape)
    assert batch_size(network, budget(), 100.0 * voxels).value == 5
    assert batch_size(network, budget(), 10.0 * voxels).value == 2


def test_cases_four_times_larger_than_a_patch_would_get_a_low_resolution():
    assert has_lowres(largest_network(budget(), LARGE), budget(), LARGE)


def test_cases_little_larger_than_a_patch_would_get_none():
    grid = Grid(spacing=(1.0, 1.0, 1.0), median_shape=(160.0, 160.0, 160.0))
    assert not has_lowres(largest_network(budget(), grid), budget(), grid)


def test_a_low_resolution_with_hardly_fewer_voxels_is_dropped():
    # A patch of 128³ covers 22 % of these cases: a slightly coarser spacing suffices.
    grid = Grid(spacing=(1.0, 1.0, 1.0), median_shape=(212.0, 212.0, 212.0))
    assert 128**3 / prod(grid.median_shape) < 0.25
    assert not has_lowres(largest_network(budget(), grid), budget(), grid)
