"""How often each value occurs in a label map."""

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray

CHUNK_VOXELS = 2**20
"""Counted at a time: `numpy.bincount` makes 8 bytes of every voxel."""

FEW_VALUES = 16
"""Up to so many values it is faster to look for each than to count all at once: 0.08 ns per voxel
and value against 1.7 ns per voxel."""


def label_counts(values: LabelArray) -> dict[int, int]:
    """Return the number of voxels of every value that occurs, ascending; values are unsigned."""
    if values.dtype.itemsize <= 2:
        counts = np.zeros(int(values.max(initial=0)) + 1, dtype=np.int64)
        flat = values.ravel()
        for start in range(0, flat.size, CHUNK_VOXELS):
            counts += _counts(flat[start : start + CHUNK_VOXELS], counts.size)
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    found, numbers = np.unique(values, return_counts=True)
    return {int(value): int(number) for value, number in zip(found, numbers, strict=True)}


def _counts(chunk: LabelArray, num_values: int) -> NDArray[np.int64]:
    if num_values > FEW_VALUES:
        return np.bincount(chunk, minlength=num_values)
    return np.array([np.count_nonzero(chunk == value) for value in range(num_values)])
