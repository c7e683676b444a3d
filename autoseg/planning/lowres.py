"""Whether cases are so much larger than a patch that a low resolution is worth a network."""

from math import prod

from autoseg.architectures import Architecture
from autoseg.planning.memory import Grid, MemoryBudget, largest_network

SMALLEST_COVERAGE = 0.25
"""Share of the median case that a patch should cover. Source: nnU-Net 2.8.1."""

COARSENING = 1.03
"""Factor by which the spacing grows per attempt. Source: nnU-Net 2.8.1."""

SIMILAR_SPACING = 2.0
"""Until all axes are within this factor, only the finer ones are coarsened. Source: the same."""

SMALLEST_REDUCTION = 2.0
"""How many times fewer voxels the low resolution must have. Source: nnU-Net 2.8.1."""


def has_lowres(fullres: Architecture, budget: MemoryBudget, grid: Grid) -> bool:
    """Return whether the reference method would make a `3d_lowres` configuration.

    The spacing is coarsened until a patch covers a quarter of the median case; the resolution
    counts only if it has less than half the voxels of the full one.

    Args:
        fullres: The network at full resolution.
        budget: What it was sized with.
        grid: The full resolution.
    """
    voxels = prod(grid.median_shape)
    spacing, low_voxels = grid.spacing, voxels
    patch_voxels = prod(fullres.topology.patch_shape)
    while patch_voxels / low_voxels < SMALLEST_COVERAGE:
        spacing = _coarser(spacing)
        shape = [
            full / low * size
            for full, low, size in zip(grid.spacing, spacing, grid.median_shape, strict=True)
        ]
        low_voxels = prod(shape)
        low = Grid(spacing=spacing, median_shape=tuple(float(round(size)) for size in shape))
        patch_voxels = prod(largest_network(budget, low).topology.patch_shape)
    return voxels / low_voxels >= SMALLEST_REDUCTION


def _coarser(spacing: tuple[float, ...]) -> tuple[float, ...]:
    """Return a slightly coarser spacing, the finest axes first."""
    coarsest = max(spacing)
    finer = [coarsest / mm > SIMILAR_SPACING for mm in spacing]
    return tuple(
        mm * COARSENING if is_finer or not any(finer) else mm
        for mm, is_finer in zip(spacing, finer, strict=True)
    )
