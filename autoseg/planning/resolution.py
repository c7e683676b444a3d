"""Resolution of a configuration, with its reasons."""

from dataclasses import dataclass
from math import prod

from autoseg.core.formatting import number, numbers
from autoseg.core.geometry import coarsen_spacing
from autoseg.planning.dataset_traits import DatasetTraits
from autoseg.planning.memory import Grid
from autoseg.planning.planned_value import OWN, PlannedValue


@dataclass(frozen=True)
class Resolution:
    """Resolution that images are resampled to.

    Attributes:
        grid: Spacing and median shape.
        dataset_voxels: Approximate number of voxels of all cases together.
        spacing: The spacing with its reason; the value may be in another axis order.
        median_shape: The median shape with its reason.
    """

    grid: Grid
    dataset_voxels: float
    spacing: PlannedValue[tuple[float, ...]]
    median_shape: PlannedValue[tuple[float, ...]]


def full_resolution(traits: DatasetTraits) -> Resolution:
    """Return the target resolution on all axes."""
    return Resolution(traits.grid, traits.voxels, traits.spacing, traits.median_shape)


def plane_resolution(traits: DatasetTraits) -> Resolution:
    """Return the target resolution on the two finest axes."""
    return Resolution(traits.plane, traits.voxels, traits.spacing, traits.median_shape)


def coarser(full: Resolution, factor: float) -> Resolution:
    """Return a resolution with a coarser spacing of the finest axes.

    Args:
        full: The full resolution.
        factor: Factor by which the spacing grows, at least 1.
    """
    grid = full.grid
    spacing = coarsen_spacing(grid.spacing, factor)
    sizes = zip(grid.median_shape, grid.spacing, spacing, strict=True)
    shape = tuple(max(1.0, float(round(size * fine / coarse))) for size, fine, coarse in sizes)
    reason = f"{number(factor)} times as coarse as {numbers(grid.spacing)} along its finest axes"
    size = f"{numbers(grid.median_shape)} voxels at the coarser spacing"
    return Resolution(
        grid=Grid(spacing=spacing, median_shape=shape),
        dataset_voxels=full.dataset_voxels * prod(shape) / prod(grid.median_shape),
        spacing=PlannedValue(spacing, "coarser", reason, OWN),
        median_shape=PlannedValue(shape, "coarser", size, OWN),
    )
