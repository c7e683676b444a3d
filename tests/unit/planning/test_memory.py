from math import prod

import pytest

from autoseg.architectures.residual_encoder_unet import ResidualEncoderUNet
from autoseg.architectures.unet import UNet
from autoseg.core.errors import PlanError
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
    assert largest_network(budget(), LARGE).value.topology.patch_shape == (128, 128, 128)


@pytest.mark.parametrize("memory_gib", [1.0, 4.0, 8.0, 24.0, 80.0])
def test_two_patches_are_predicted_to_fit_the_memory_asked_for(memory_gib):
    network = largest_network(budget(memory_gib), LARGE).value
    assert predicted_memory_gib(network, 2) <= memory_gib


def test_more_memory_gives_a_larger_patch():
    sizes = [
        prod(largest_network(budget(memory), LARGE).value.topology.patch_shape)
        for memory in (2.0, 8.0, 32.0)
    ]
    assert sizes[0] < sizes[1] < sizes[2]


def test_the_reason_of_a_patch_tells_whether_it_was_shrunk():
    shrunk_patch = largest_network(budget(), LARGE)
    assert shrunk_patch.reason == (
        "starts at 256 × 256 × 256 voxels and shrinks until 2 patches fit 8 GiB; rounded up to a "
        "multiple of the strides"
    )
    whole = largest_network(budget(), Grid((1.0, 1.0, 1.0), (40.0, 56.0, 40.0)))
    assert "starts at 40 × 56 × 40 voxels, of which 2 patches fit 8 GiB" in whole.reason


def test_too_little_memory_is_refused_with_what_to_do():
    with pytest.raises(PlanError, match=r"1e-06 GiB are not enough for 2 classes.*--memory"):
        largest_network(budget(1e-6), Grid((1.0, 1.0), (512.0, 512.0)))


def test_the_axis_that_covers_most_of_the_case_shrinks_first():
    grid = Grid(spacing=(1.0, 1.0), median_shape=(512.0, 128.0))
    start = topology_for(grid.spacing, (128.0, 128.0))
    smaller = shrunk(start, grid, fits=lambda topology: topology != start)
    assert smaller is not None
    assert smaller.patch_shape[0] == 128
    assert smaller.patch_shape[1] < 128


def test_the_batch_fills_the_memory():
    network = largest_network(budget(), Grid((1.0, 1.0, 1.0), (40.0, 56.0, 40.0))).value
    assert batch_size(network, budget(), 1e12).value == round(
        560e6 / network.activation_count() * 2
    )


def test_a_batch_holds_at_most_a_twentieth_of_the_data_and_two_patches_at_least():
    network = largest_network(budget(), Grid((1.0, 1.0, 1.0), (40.0, 56.0, 40.0))).value
    voxels = prod(network.topology.patch_shape)
    assert batch_size(network, budget(), 100.0 * voxels).value == 5
    assert batch_size(network, budget(), 10.0 * voxels).value == 2


def residual(memory_gib, grid=LARGE):
    small = MemoryBudget(
        network=ResidualEncoderUNet, in_channels=1, num_classes=2, memory_gib=memory_gib
    )
    return largest_network(small, grid).value, small


@pytest.mark.parametrize("memory_gib", [4.0, 8.0, 19.9, 20.0, 24.0, 35.9, 36.0, 40.0, 80.0])
@pytest.mark.parametrize("grid", [LARGE, Grid((1.0, 1.0), (4000.0, 4000.0))], ids=["3d", "2d"])
def test_a_scaled_preset_is_predicted_to_need_no_more_than_was_asked_for(memory_gib, grid):
    network, small = residual(memory_gib, grid)
    batch = batch_size(network, small, 1e12).value
    assert predicted_memory_gib(network, batch) <= memory_gib * 1.25
    assert predicted_memory_gib(network, small.reference(len(grid.spacing)).smallest_batch) <= (
        memory_gib
    )


@pytest.mark.parametrize(
    ("memory_gib", "preset", "patch"),
    [
        (8.0, "M", (128, 128, 128)),
        (24.0, "L", (192, 192, 192)),
        (40.0, "XL", (256, 224, 224)),
    ],
)
def test_the_presets_of_the_residual_encoder_follow_the_memory(memory_gib, preset, patch):
    network, small = residual(memory_gib)
    assert small.reference(3).preset == preset
    assert network.topology.patch_shape == patch


@pytest.mark.parametrize(
    ("memory_gib", "preset"),
    [(1.0, "M"), (19.9, "M"), (20.0, "L"), (35.9, "L"), (36.0, "XL"), (400.0, "XL")],
)
def test_a_card_is_planned_for_by_the_nearest_preset(memory_gib, preset):
    for num_axes in (2, 3):
        assert ResidualEncoderUNet.memory_reference(num_axes, memory_gib).preset == preset


def test_a_batch_of_the_residual_encoder_may_hold_the_whole_dataset():
    network, small = residual(8.0, Grid((1.0, 1.0, 1.0), (40.0, 56.0, 40.0)))
    voxels = prod(network.topology.patch_shape)
    assert batch_size(network, small, 10.0 * voxels).value == 10
