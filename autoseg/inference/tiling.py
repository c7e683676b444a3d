"""Where a sliding window looks, and how much each of its voxels counts.

The tiles of a volume are all combinations of one start per axis, and the Gaussian that weighs them
is a product of one curve per axis. So everything here is about a single axis: its starts, and for
each start a curve that is already divided by what all tiles put on that voxel. The weights of all
tiles then sum to one at every voxel, and no sum of weights has to be kept while predicting.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Float16, Float32

STEP = 0.5
"""Distance between tiles, as a fraction of the patch. Source: nnU-Net (Isensee et al. 2021)."""

GAUSSIAN_SIGMA = 1 / 8
"""Width of the importance curve, as a fraction of the patch. Source: nnU-Net."""


NNUNET_PEAK = 10.0
"""Largest weight in nnU-Net's blending. Source: nnU-Net 2.8.1."""


@dataclass(frozen=True)
class AxisTiles:
    """The tiles along one axis.

    Attributes:
        starts: First voxel of each tile, ascending.
        weights: Per tile, how much each of its voxels counts; over all tiles they sum to one at
            every voxel.
    """

    starts: tuple[int, ...]
    weights: Float32[np.ndarray, "tiles patch"]


def tile_starts(size: int, patch: int, *, step: float = STEP) -> tuple[int, ...]:
    """Return the first voxel of every tile along an axis: evenly spaced, covering all voxels.

    Args:
        size: Voxels of the axis, at least `patch`.
        patch: Voxels of a tile.
        step: Largest distance between two tiles, as a fraction of the patch.

    Raises:
        ValueError: If the axis is shorter than a tile.
    """
    if size < patch:
        msg = f"an axis of {size} voxels is shorter than a tile of {patch}; pad it first."
        raise ValueError(msg)
    steps = ceil((size - patch) / max(1.0, patch * step))
    return tuple(round(index * (size - patch) / max(1, steps)) for index in range(steps + 1))


def importance_curve(patch: int) -> Float32[np.ndarray, " patch"]:
    """Return how much each voxel of a tile counts along one axis: a Gaussian with its peak at 1.

    A voxel near a tile's border is predicted with half of its context missing. The curve is
    symmetric and nowhere zero: its ends, four sigma out, are e⁻⁸.

    Source: nnU-Net (Isensee et al. 2021), sigma = patch / 8.
    """
    offsets = np.arange(patch) - (patch - 1) / 2
    curve = np.exp(-0.5 * (offsets / (patch * GAUSSIAN_SIGMA)) ** 2)
    return np.asarray(curve, dtype=np.float32)


def axis_tiles(size: int, patch: int, *, step: float = STEP) -> AxisTiles:
    """Return the tiles along an axis of `size` voxels, with weights that sum to one."""
    starts = tile_starts(size, patch, step=step)
    curve = importance_curve(patch).astype(np.float64)
    total = np.zeros(size)
    for start in starts:
        total[start : start + patch] += curve
    weights = np.stack([curve / total[start : start + patch] for start in starts])
    return AxisTiles(starts=starts, weights=weights.astype(np.float32))


def nnunet_weights(patch: tuple[int, ...]) -> Float16[np.ndarray, "*patch"]:
    """Return how much each voxel of a tile counts where models of nnU-Net predict.

    Unlike `importance_curve` it peaks half a voxel behind the middle of an even axis, and half
    precision lifts the corners: what would round to 0 gets the smallest weight above it.

    Source: nnU-Net 2.8.1.
    """
    weights = np.full(patch, NNUNET_PEAK)
    for axis, size in enumerate(patch):
        offsets = np.arange(size) - size // 2
        curve = np.exp(-0.5 * (offsets / (size * GAUSSIAN_SIGMA)) ** 2)
        weights = weights * np.expand_dims(
            curve, [other for other in range(len(patch)) if other != axis]
        )
    halved = weights.astype(np.float16)
    halved[halved == 0] = halved[halved > 0].min()
    return np.asarray(halved)
