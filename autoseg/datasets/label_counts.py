"""How often each value occurs in a label map."""

import numpy as np

from autoseg.core.arrays import LabelArray


def label_counts(values: LabelArray) -> dict[int, int]:
    """Return the number of voxels of every value that occurs, ascending; values are unsigned."""
    if values.dtype.itemsize <= 2:
        counts = np.bincount(values.ravel())
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    found, numbers = np.unique(values, return_counts=True)
    return {int(value): int(number) for value, number in zip(found, numbers, strict=True)}
