"""Resolution of a configuration, with its reasons."""

from dataclasses import dataclass
from math import prod

from autoseg.core.formatting import format_number, format_shape
from autoseg.core.geometry import coarsen_spacing
from autoseg.planning.dataset_traits import DatasetTraits
from autoseg.planning.memory import Grid
from autoseg.planning.planned_value import OWN, PlannedValue


@dataclass(frozen=True)
class Resolution:
    """Resolution that images are resampled to.

    Attributes:
        dataset_voxels: Approximate number of voxels of all cases together.
        spacing: Target voxel size, mm, planned axis order.
        median_shape: Median case shape, voxels, planned axis order.
    """

    dataset_voxels: float
    spacing: PlannedValue[tuple[float, ...]]
    median_shape: PlannedValue[tuple[float, ...]]

    @property
    def grid(self) -> Grid:
        """Voxel grid that patches are cut from."""
        return Grid(spacing=self.spacing.value, median_shape=self.median_shape.value)


def full_resolution(traits: DatasetTraits, num_axes: int) -> Resolution:
    """Return the target resolution on all axes, or on the two finest axes."""
    return Resolution(
        dataset_voxels=traits.voxels,
        spacing=traits.spacing.with_value(traits.grid.spacing[-num_axes:]),
        median_shape=traits.median_shape.with_value(traits.grid.median_shape[-num_axes:]),
    )


def coarser(full: Resolution, factor: float) -> Resolution:
    """Return a resolution with a coarser spacing of the finest axes; `factor` is at least 1."""
    grid = full.grid
    spacing = coarsen_spacing(grid.spacing, factor)
    sizes = zip(grid.median_shape, grid.spacing, spacing, strict=True)
    shape = tuple(max(1.0, float(round(size * fine / coarse))) for size, fine, coarse in sizes)
    fine = format_shape(grid.spacing)
    reason = f"{format_number(factor)} times as coarse as {fine} along its finest axes"
    size = f"{format_shape(grid.median_shape)} voxels at the coarser spacing"
    return Resolution(
        dataset_voxels=full.dataset_voxels * prod(shape) / prod(grid.median_shape),
        spacing=PlannedValue(spacing, "coarser", reason, OWN),
        median_shape=PlannedValue(shape, "coarser", size, OWN),
    )
