"""Count the voxels of each value in a label map."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray

CHUNK_VOXELS = 2**20
"""Voxels counted at a time, to limit memory: `numpy.bincount` converts each to 8 bytes."""

FEW_VALUES = 16
"""Up to this number of values, counting each one separately is faster than `numpy.bincount`:
0.08 ns per voxel and value, compared with 1.7 ns per voxel."""


class ValuesInMap(NamedTuple):
    """Values that occur in a label map.

    Attributes:
        values: The values, ascending.
        edges: Number of voxels of each value along the edges of the map.
    """

    values: tuple[int, ...]
    edges: dict[int, int]


def values_in_map(labels: NDArray[np.integer]) -> ValuesInMap:
    """Return the values in a label map."""
    sides = [np.moveaxis(labels, axis, 0)[[0, -1]].ravel() for axis in range(labels.ndim)]
    values, counts = np.unique(np.concatenate(sides), return_counts=True)
    edges = {int(value): int(count) for value, count in zip(values, counts, strict=True)}
    is_unsigned = labels.dtype.kind == "u"
    found = tuple(label_counts(labels)) if is_unsigned else tuple(map(int, np.unique(labels)))
    return ValuesInMap(found, edges)


def label_counts(values: LabelArray) -> dict[int, int]:
    """Return the number of voxels of each occurring value, ascending; values must be unsigned."""
    if values.dtype.itemsize <= 2:
        counts = np.zeros(int(values.max(initial=0)) + 1, dtype=np.int64)
        flat = values.ravel()
        for start in range(0, flat.size, CHUNK_VOXELS):
            counts += _counts(flat[start : start + CHUNK_VOXELS], counts.size)
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    unique, numbers = np.unique(values, return_counts=True)
    return {int(value): int(number) for value, number in zip(unique, numbers, strict=True)}


def _counts(chunk: LabelArray, num_values: int) -> NDArray[np.int64]:
    if num_values > FEW_VALUES:
        return np.bincount(chunk, minlength=num_values)
    return np.array([np.count_nonzero(chunk == value) for value in range(num_values)])
