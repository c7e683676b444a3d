"""Linear interpolation along one axis with bit-identical results for slabs and whole arrays.

Every output value is one gather, two multiplications and one addition, each rounded to float32. No
value depends on its neighbours in the output, so interpolating a volume slab by slab gives the same
bits as interpolating the whole array.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int
from numpy.typing import NDArray

from autoseg.preprocessing.interpolation import nearest_positions


@dataclass(frozen=True)
class AxisSampling:
    """Indices and weights of the two source voxels of every target voxel along an axis.

    Attributes:
        lower: Index of the source voxel before the target voxel, ascending.
        upper: Index of the source voxel after the target voxel.
        lower_weight: Weight of the lower voxel; the two weights sum to one.
        upper_weight: Weight of the upper voxel.
        is_identity: Whether source and target axis are the same.
        is_nearest: Whether each target voxel is a copy of one source voxel.
    """

    lower: Int[np.ndarray, " target"]
    upper: Int[np.ndarray, " target"]
    lower_weight: Float32[np.ndarray, " target"]
    upper_weight: Float32[np.ndarray, " target"]
    is_identity: bool
    is_nearest: bool

    def piece(self, start: int, stop: int) -> tuple["AxisSampling", int, int]:
        """Return the sampling of a range of target voxels, and the source range that it needs.

        The indices of the returned sampling are relative to the start of the source range.

        Returns:
            The sampling, the first source voxel, and one past the last source voxel.
        """
        first, last = int(self.lower[start]), int(self.upper[stop - 1]) + 1
        targets = slice(start, stop)
        sampling = AxisSampling(
            lower=self.lower[targets] - first,
            upper=self.upper[targets] - first,
            lower_weight=self.lower_weight[targets],
            upper_weight=self.upper_weight[targets],
            is_identity=self.is_identity,
            is_nearest=self.is_nearest,
        )
        return sampling, first, last

    @property
    def size(self) -> int:
        """Number of target voxels."""
        return int(self.lower.size)

    def apply(self, values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
        """Resample values along an axis (non-negative)."""
        if self.is_identity:
            return values
        shape = (*values.shape[:axis], self.size, *values.shape[axis + 1 :])
        first, second = np.empty(shape, np.float32), np.empty(shape, np.float32)
        return self.apply_into(values, axis, first, second)

    def apply_into(
        self,
        values: NDArray[np.float32],
        axis: int,
        first: NDArray[np.float32],
        second: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Resample values along an axis without allocating memory.

        Args:
            values: Values to resample.
            axis: Axis to resample; non-negative.
            first: Buffer of the result's shape; receives the result.
            second: Buffer of the same shape; overwritten.

        Returns:
            `first`.
        """
        # all indices are in range; mode="raise" would make numpy copy into a temporary buffer
        np.take(values, self.lower, axis=axis, out=first, mode="clip")
        if self.is_nearest:
            return first
        shape = tuple(-1 if dim == axis else 1 for dim in range(values.ndim))
        np.take(values, self.upper, axis=axis, out=second, mode="clip")
        first *= self.lower_weight.reshape(shape)
        second *= self.upper_weight.reshape(shape)
        first += second
        return first


def axis_sampling(source: int, target: int, *, order: int) -> AxisSampling:
    """Build the sampling from an axis of `source` voxels to an axis of `target` voxels.

    Both axes span the same length. Values are located at voxel centres, and positions beyond the
    outermost centres take the value of the outermost voxel.

    Args:
        source: Number of source voxels.
        target: Number of target voxels.
        order: 0 for nearest-neighbour, 1 for linear interpolation.

    Source: the coordinates of `skimage.transform.resize` (mode "edge") and of
        `scipy.ndimage.zoom` (`grid_mode=True`).
    """
    centres = (np.arange(target) + 0.5) * (source / target) - 0.5
    positions = np.clip(centres, 0, source - 1)
    lower = nearest_positions(source, target) if order == 0 else np.floor(positions).astype(np.intp)
    fraction = np.zeros(target) if order == 0 else positions - lower
    return AxisSampling(
        lower=lower,
        upper=np.minimum(lower + (fraction > 0), source - 1),
        lower_weight=(1 - fraction).astype(np.float32),
        upper_weight=fraction.astype(np.float32),
        is_identity=source == target,
        is_nearest=order == 0,
    )
