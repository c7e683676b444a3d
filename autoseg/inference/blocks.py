"""Work through the classes of a small block without asking the system for memory per class.

Sixty classes and a hundred blocks make thousands of short-lived arrays. Getting each of them from
the system, which clears it, takes longer than the arithmetic; so a block keeps what it needs.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from autoseg.inference.interpolation import AxisSampling

Pieces: TypeAlias = tuple[AxisSampling, AxisSampling, AxisSampling]
"""How planes, rows and columns of a block are made."""


class BlockInterpolation:
    """Brings one class after the other onto the voxels of a block."""

    def __init__(self, pieces: Pieces, source: tuple[int, ...]) -> None:
        """Set memory aside.

        Args:
            pieces: How planes, rows and columns are made.
            source: Planes, rows and columns that they are made of.
        """
        planes, rows, _ = source
        self._planes, self._rows, self._columns = pieces
        wide, high = self._columns.size, self._rows.size
        self.shape = (self._planes.size, high, wide)
        self._wide = _pair((planes, rows, wide), is_needed=not self._columns.is_identity)
        self._high = _pair((planes, high, wide), is_needed=not self._rows.is_identity)
        self._deep = None if self._planes.is_identity else np.empty(self.shape, np.float32)
        self._plane = np.empty((high, wide), np.float32)

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return `planes rows columns` resampled: columns first, where there is least to gather.

        The result is overwritten by the next call, and may be `values` itself.
        """
        for sampling, axis, buffers in (
            (self._columns, 2, self._wide),
            (self._rows, 1, self._high),
        ):
            if buffers is not None:
                values = sampling.apply_into(values, axis, *buffers)
        return values if self._deep is None else self._stacked(values, self._deep)

    def _stacked(
        self, values: NDArray[np.float32], result: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Fill the planes of the result one by one: whole planes need not be gathered first."""
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
    """The class of highest score so far, of equals the lowest, at every voxel of a block."""

    def __init__(self, first: NDArray[np.float32], dtype: np.dtype[np.generic]) -> None:
        """Begin with class 0.

        Args:
            first: Its scores; copied.
            dtype: Of the class indices.
        """
        self._best = first.copy()
        self._wins = np.empty(first.shape, bool)
        self._new = np.empty(first.shape, dtype)
        self.classes = np.zeros(first.shape, dtype)
        self.lowest = float(first.min())

    def consider(self, index: int, scores: NDArray[np.float32]) -> None:
        """Let a class take the voxels where it scores higher than all before it.

        Args:
            index: The class; higher than all before it.
            scores: Finite.
        """
        np.greater(scores, self._best, out=self._wins)
        if not self._wins.any():
            return
        np.maximum(self._best, scores, out=self._best)
        # as indices rise, the highest one of winners is the last: vector units do this much faster
        # than an assignment under a mask
        mask = self._wins.view(np.uint8)
        np.multiply(mask, self._new.dtype.type(index), out=self._new)
        np.maximum(self.classes, self._new, out=self.classes)
        self.lowest = float(self._best.min())


def _pair(
    shape: tuple[int, ...], *, is_needed: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    return (np.empty(shape, np.float32), np.empty(shape, np.float32)) if is_needed else None
