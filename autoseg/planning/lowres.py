"""Plan a low resolution for cases that are much larger than a patch."""

from math import prod

from autoseg.architectures import Architecture
from autoseg.core.formatting import format_number, format_percent, format_shape
from autoseg.core.geometry import LengthUnit
from autoseg.planning.memory import Grid, MemoryBudget, largest_network
from autoseg.planning.planned_value import PlannedValue
from autoseg.planning.resolution import Resolution

SMALLEST_COVERAGE = 0.25
"""Minimum share of the median case that a patch should cover. Source: nnU-Net 2.8.1."""

COARSENING = 1.03
"""Factor by which the spacing grows per attempt. Source: nnU-Net 2.8.1."""

SIMILAR_SPACING = 2.0
"""Only finer axes are coarsened until all axes are within this factor. Source: nnU-Net 2.8.1."""

SMALLEST_REDUCTION = 2.0
"""Minimum factor by which the low resolution reduces voxels. Source: nnU-Net 2.8.1."""

RULE = "low_resolution"


def low_resolution(
    fullres: PlannedValue[Architecture],
    budget: MemoryBudget,
    full: Resolution,
    unit: LengthUnit = "mm",
) -> tuple[Resolution, PlannedValue[Architecture]] | None:
    """Coarsen the spacing until a patch covers a quarter of the median case.

    Args:
        fullres: The network at full resolution.
        budget: Memory budget of both networks.
        full: The full resolution.
        unit: Unit of voxel sizes, for the reason.

    Returns:
        The low resolution and the largest network that fits into memory there; None if a patch at
        full resolution already covers a quarter of the median case, or if the result has more than
        half the voxels of the full resolution.
    """
    fine = full.grid
    voxels = low_voxels = prod(fine.median_shape)
    grid, network = fine, fullres
    while prod(network.value.topology.patch_shape) / low_voxels < SMALLEST_COVERAGE:
        spacing = _coarser(grid.spacing)
        scales = zip(fine.spacing, spacing, fine.median_shape, strict=True)
        shape = [old / new * size for old, new, size in scales]
        low_voxels = prod(shape)
        grid = Grid(spacing, tuple(max(1.0, float(round(size))) for size in shape))
        network = largest_network(budget, grid)
    if voxels / low_voxels < SMALLEST_REDUCTION:
        return None
    covered = prod(fullres.value.topology.patch_shape) / voxels
    share = low_voxels / voxels
    coarsening = (
        f"a patch of 3d_fullres covers {format_percent(covered, 4)} of the median case, so its "
        f"spacing of {format_shape(fine.spacing)} {unit} grows in steps of "
        f"{format_percent(COARSENING - 1)}, first on axes over {SIMILAR_SPACING:g} times finer "
        f"than the coarsest, until a patch covers {format_percent(SMALLEST_COVERAGE)}"
    )
    reduction = (
        f"{format_shape(fine.median_shape)} voxels at the coarser spacing: "
        f"{format_number(1 / share)} times fewer; a low resolution needs at least "
        f"{SMALLEST_REDUCTION:g} times fewer"
    )
    resolution = Resolution(
        dataset_voxels=full.dataset_voxels * share,
        spacing=PlannedValue(grid.spacing, RULE, coarsening),
        median_shape=PlannedValue(grid.median_shape, RULE, reduction),
    )
    return resolution, network


def _coarser(spacing: tuple[float, ...]) -> tuple[float, ...]:
    """Return a slightly coarser spacing; the finest axes are coarsened first."""
    coarsest = max(spacing)
    finer = [coarsest / mm > SIMILAR_SPACING for mm in spacing]
    return tuple(
        mm * COARSENING if is_finer or not any(finer) else mm
        for mm, is_finer in zip(spacing, finer, strict=True)
    )
