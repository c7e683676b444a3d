"""Linear interpolation along one axis, written so that any piece equals the same piece of a whole.

Every output value is one gather, two multiplications and one addition, each rounded by itself to
float32. Nothing depends on what is computed beside it, so a volume worked through in slabs gives
the same bits as the whole array.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int
from numpy.typing import NDArray

from autoseg.preprocessing.interpolation import nearest_positions


@dataclass(frozen=True)
class AxisSampling:
    """How each voxel of a new axis is made of two neighbouring voxels of the old one.

    Attributes:
        lower: Index of the neighbour before it, ascending.
        upper: Index of the neighbour behind it.
        lower_weight: What the first neighbour counts; the two sum to one.
        upper_weight: What the second neighbour counts.
        is_identity: Whether the new axis is the old one.
        is_nearest: Whether each new voxel is a copy of one old voxel.
    """

    lower: Int[np.ndarray, " target"]
    upper: Int[np.ndarray, " target"]
    lower_weight: Float32[np.ndarray, " target"]
    upper_weight: Float32[np.ndarray, " target"]
    is_identity: bool
    is_nearest: bool

    def piece(self, start: int, stop: int) -> tuple["AxisSampling", int, int]:
        """Return the sampling of some new voxels, and the range of old ones that they need.

        The piece's indices count from the first old voxel of that range.
        """
        first, last = int(self.lower[start]), int(self.upper[stop - 1]) + 1
        chosen = slice(start, stop)
        sampling = AxisSampling(
            lower=self.lower[chosen] - first,
            upper=self.upper[chosen] - first,
            lower_weight=self.lower_weight[chosen],
            upper_weight=self.upper_weight[chosen],
            is_identity=self.is_identity,
            is_nearest=self.is_nearest,
        )
        return sampling, first, last

    @property
    def size(self) -> int:
        """Voxels of the new axis."""
        return int(self.lower.size)

    def apply(self, values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
        """Return the values resampled along an axis, counted from the first."""
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
        """Return the values resampled along an axis in given memory.

        Args:
            values: What to resample.
            axis: Counted from the first.
            first: Holds the result afterwards, and has its shape.
            second: Of the same shape; overwritten.
        """
        # the indices are in range: "clip" only spares numpy a copy that could be undone
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
    """Return how to resample an axis of `source` voxels to `target` voxels.

    Both axes span the same length; a voxel stands at its centre, and beyond the outermost centres
    the outermost voxel goes on.

    Args:
        source: Voxels of the old axis.
        target: Voxels of the new axis.
        order: 0 takes the nearest voxel, 1 interpolates linearly.

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
