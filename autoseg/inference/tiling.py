"""Positions and weights of the tiles of a sliding window.

The tiles of a volume are all combinations of one start per axis, and their Gaussian weight is a
product of one curve per axis. This module therefore handles one axis at a time: it computes the
starts, and for each start a curve that is normalised by the sum over all tiles. The weights of all
tiles sum to one at every voxel, so prediction does not have to accumulate the weights.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Float16, Float32

STEP = 0.5
"""Distance between tiles, as a fraction of the patch. Source: nnU-Net (Isensee et al. 2021)."""

GAUSSIAN_SIGMA = 1 / 8
"""Standard deviation of the importance curve, as a fraction of the patch. Source: nnU-Net."""

NNUNET_PEAK = 10.0
"""Largest weight in nnU-Net's blending. Source: nnU-Net 2.8.1."""


@dataclass(frozen=True)
class AxisTiles:
    """The tiles along one axis.

    Attributes:
        starts: First voxel of each tile, ascending.
        weights: Weight of each voxel of each tile; the weights of all tiles sum to one at every
            voxel.
    """

    starts: tuple[int, ...]
    weights: Float32[np.ndarray, "tiles patch"]


def tile_starts(size: int, patch: int, *, step: float = STEP) -> tuple[int, ...]:
    """Compute the first voxel of every tile along an axis: evenly spaced, covering all voxels.

    Args:
        size: Length of the axis, voxels; at least `patch`.
        patch: Length of a tile, voxels.
        step: Largest distance between two tiles, as a fraction of the patch; 0 < step <= 1.

    Raises:
        ValueError: If the axis is shorter than a tile.
    """
    if size < patch:
        msg = f"an axis of {size} voxels is shorter than a tile of {patch}; pad it first."
        raise ValueError(msg)
    steps = ceil((size - patch) / max(1.0, patch * step))
    return tuple(round(index * (size - patch) / max(1, steps)) for index in range(steps + 1))


def importance_curve(patch: int) -> Float32[np.ndarray, " patch"]:
    """Return the weight of each voxel of a tile along one axis: a Gaussian with a peak of 1.

    Voxels near the border of a tile are predicted with half of their context missing. The curve is
    symmetric and nowhere zero: at its ends, at four sigma, it is e⁻⁸.

    Source: nnU-Net (Isensee et al. 2021), sigma = patch / 8.
    """
    offsets = np.arange(patch) - (patch - 1) / 2
    curve = np.exp(-0.5 * (offsets / (patch * GAUSSIAN_SIGMA)) ** 2)
    return np.asarray(curve, dtype=np.float32)


def axis_tiles(size: int, patch: int, *, step: float = STEP) -> AxisTiles:
    """Compute the tiles along an axis, with weights that sum to one at every voxel.

    Args:
        size: Length of the axis, voxels; at least `patch`.
        patch: Length of a tile, voxels.
        step: Largest distance between two tiles, as a fraction of the patch; 0 < step <= 1.
    """
    starts = tile_starts(size, patch, step=step)
    curve = importance_curve(patch).astype(np.float64)
    total = np.zeros(size)
    for start in starts:
        total[start : start + patch] += curve
    weights = np.stack([curve / total[start : start + patch] for start in starts])
    return AxisTiles(starts=starts, weights=weights.astype(np.float32))


def nnunet_weights(patch: tuple[int, ...]) -> Float16[np.ndarray, "*patch"]:
    """Return the tile weights for models that nnU-Net trained.

    Unlike `importance_curve`, the peak is half a voxel after the middle of an even axis, and half
    precision raises the corners: weights that round to 0 are set to the smallest positive weight.

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
