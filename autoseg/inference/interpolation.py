"""Interpolate the classes of a small block in preallocated buffers.

Every value is a sum of two neighbours per axis, each product and sum rounded to float32. No value
depends on other values of the block, so blocks have the same bits as the whole array.

Sixty classes and a hundred blocks need thousands of short-lived arrays. Allocating each of them
from the system, which zeroes the memory, takes longer than the arithmetic. Each block therefore
reuses its buffers.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from autoseg.preprocessing.interpolation import AxisSampling

AxisSamplings: TypeAlias = tuple[AxisSampling, AxisSampling, AxisSampling]
"""How to resample planes, rows and columns."""


class BlockInterpolation:
    """Resamples one class after the other to the voxels of a block."""

    def __init__(self, samplings: AxisSamplings, source: tuple[int, ...]) -> None:
        """Allocate the buffers.

        Args:
            samplings: How to resample planes, rows and columns.
            source: Number of planes, rows and columns before resampling.
        """
        planes, rows, _ = source
        self._planes, along_rows, along_columns = samplings
        wide, high = along_columns.size, along_rows.size
        self.shape = (self._planes.size, high, wide)
        self._in_plane = [  # columns first, where the gather is smallest
            (sampling, axis, [np.empty(shape, np.float32) for _ in range(2)])
            for sampling, axis, shape in (
                (along_columns, 2, (planes, rows, wide)),
                (along_rows, 1, (planes, high, wide)),
            )
            if not sampling.is_identity
        ]
        self._deep = None if self._planes.is_identity else np.empty(self.shape, np.float32)
        self._plane = np.empty((high, wide), np.float32)

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resample an array `planes rows columns`.

        The result is overwritten by the next call, and may be `values` itself.
        """
        for sampling, axis, buffers in self._in_plane:
            values = _resample(values, axis, sampling, buffers)
        return values if self._deep is None else self._resample_planes(values, self._deep)

    def _resample_planes(
        self, values: NDArray[np.float32], result: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Fill the planes of `result` one by one, which needs no gather of whole planes."""
        along, other = self._planes, self._plane
        for index, plane in enumerate(result):
            lower, upper = values[along.lower[index]], values[along.upper[index]]
            if along.is_nearest:
                plane[...] = lower
                continue
            np.multiply(lower, along.lower_weight[index], out=plane)
            np.multiply(upper, along.upper_weight[index], out=other)
            np.add(plane, other, out=plane)
        return result


class RunningArgmax:
    """Running argmax over the classes of a block; of equal scores, the lowest class wins."""

    def __init__(self, first: NDArray[np.float32], dtype: np.dtype[np.generic]) -> None:
        """Start with class 0 everywhere.

        Args:
            first: Scores of class 0; copied.
            dtype: Type of the class indices.
        """
        self._best = first.copy()
        self._wins = np.empty(first.shape, bool)
        self._new = np.empty(first.shape, dtype)
        self.classes = np.zeros(first.shape, dtype)
        self.lowest = float(first.min())

    def update(self, index: int, scores: NDArray[np.float32]) -> None:
        """Assign a class to the voxels where it scores higher than all previous classes.

        Args:
            index: The class; higher than all previous ones.
            scores: Scores of the class; finite.
        """
        np.greater(scores, self._best, out=self._wins)
        if not self._wins.any():
            return
        np.maximum(self._best, scores, out=self._best)
        # indices rise, so the last winner has the highest index: np.maximum is vectorised and much
        # faster than a masked assignment
        mask = self._wins.view(np.uint8)
        np.multiply(mask, self._new.dtype.type(index), out=self._new)
        np.maximum(self.classes, self._new, out=self.classes)
        self.lowest = float(self._best.min())


def _resample(
    values: NDArray[np.float32],
    axis: int,
    sampling: AxisSampling,
    buffers: Sequence[NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Resample values along an axis (non-negative) into the first of two buffers."""
    first, second = buffers
    # all indices are in range; mode="raise" would make numpy copy into a temporary buffer
    np.take(values, sampling.lower, axis=axis, out=first, mode="clip")
    if sampling.is_nearest:
        return first
    shape = tuple(-1 if dim == axis else 1 for dim in range(values.ndim))
    np.take(values, sampling.upper, axis=axis, out=second, mode="clip")
    first *= sampling.lower_weight.reshape(shape)
    second *= sampling.upper_weight.reshape(shape)
    first += second
    return first
