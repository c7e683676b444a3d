"""Plan a low resolution for cases that are much larger than a patch."""

from dataclasses import dataclass
from math import prod

from autoseg.architectures import Architecture
from autoseg.core.formatting import number, numbers, percent
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


@dataclass(frozen=True)
class LowResolutionStage:
    """A coarser resolution and its network.

    Attributes:
        resolution: Spacing and median shape, with their reasons.
        architecture: The largest network that fits into memory at this resolution.
    """

    resolution: Resolution
    architecture: Architecture


def low_resolution(
    fullres: Architecture, budget: MemoryBudget, full: Resolution
) -> LowResolutionStage | None:
    """Coarsen the spacing until a patch covers a quarter of the median case.

    Args:
        fullres: The network at full resolution.
        budget: Memory budget of both networks.
        full: The full resolution.

    Returns:
        The low resolution; None if a patch at full resolution already covers a quarter of the
        median case, or if the result has more than half the voxels of the full resolution.
    """
    voxels = prod(full.grid.median_shape)
    spacing, low_voxels, low = full.grid.spacing, voxels, fullres
    median_shape = full.grid.median_shape
    while prod(low.topology.patch_shape) / low_voxels < SMALLEST_COVERAGE:
        spacing = _coarser(spacing)
        shape = _size_at(spacing, full.grid)
        low_voxels = prod(shape)
        median_shape = tuple(max(1.0, float(round(size))) for size in shape)
        low = largest_network(budget, Grid(spacing=spacing, median_shape=median_shape))
    if voxels / low_voxels < SMALLEST_REDUCTION:
        return None
    covered = prod(fullres.topology.patch_shape) / voxels
    share = low_voxels / voxels
    resolution = Resolution(
        grid=Grid(spacing=spacing, median_shape=median_shape),
        dataset_voxels=full.dataset_voxels * share,
        spacing=_spacing_choice(spacing, full.grid, covered),
        median_shape=_median_choice(median_shape, full.grid, 1 / share),
    )
    return LowResolutionStage(resolution=resolution, architecture=low)


def _spacing_choice(
    spacing: tuple[float, ...], full: Grid, covered: float
) -> PlannedValue[tuple[float, ...]]:
    reason = (
        f"a patch of 3d_fullres covers {number(100 * covered)} % of the median case, so its "
        f"spacing of {numbers(full.spacing)} mm grows in steps of {percent(COARSENING - 1)}, "
        f"first on axes over {SIMILAR_SPACING:g} times finer than the coarsest, until a patch "
        f"covers {percent(SMALLEST_COVERAGE)}"
    )
    return PlannedValue(spacing, RULE, reason)


def _median_choice(
    median_shape: tuple[float, ...], full: Grid, reduction: float
) -> PlannedValue[tuple[float, ...]]:
    reason = (
        f"{numbers(full.median_shape)} voxels at the coarser spacing: {number(reduction)} times "
        f"fewer; a low resolution needs at least {SMALLEST_REDUCTION:g} times fewer"
    )
    return PlannedValue(median_shape, RULE, reason)


def _size_at(spacing: tuple[float, ...], full: Grid) -> list[float]:
    """Return the median shape at a spacing, unrounded."""
    return [
        fine / coarse * size
        for fine, coarse, size in zip(full.spacing, spacing, full.median_shape, strict=True)
    ]


def _coarser(spacing: tuple[float, ...]) -> tuple[float, ...]:
    """Return a slightly coarser spacing; the finest axes are coarsened first."""
    coarsest = max(spacing)
    finer = [coarsest / mm > SIMILAR_SPACING for mm in spacing]
    return tuple(
        mm * COARSENING if is_finer or not any(finer) else mm
        for mm, is_finer in zip(spacing, finer, strict=True)
    )
