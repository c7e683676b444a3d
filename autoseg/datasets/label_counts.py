"""How often each value occurs in a label map."""

import numpy as np

from autoseg.core.arrays import LabelArray

CHUNK_VOXELS = 2**20
"""Counted at a time: `numpy.bincount` makes 8 bytes of every voxel."""


def label_counts(values: LabelArray) -> dict[int, int]:
    """Return the number of voxels of every value that occurs, ascending; values are unsigned."""
    if values.dtype.itemsize <= 2:
        flat = values.ravel()
        counts = np.zeros(int(values.max(initial=0)) + 1, dtype=np.int64)
        for start in range(0, flat.size, CHUNK_VOXELS):
            counts += np.bincount(flat[start : start + CHUNK_VOXELS], minlength=counts.size)
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    found, numbers = np.unique(values, return_counts=True)
    return {int(value): int(number) for value, number in zip(found, numbers, strict=True)}
