"""Where the voxels of each class are, so that training can centre patches on them."""

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray, VoxelList
from autoseg.core.random import generator

SMALLEST_SAMPLE = 10_000
"""Positions kept of a class that has as many. Source: nnU-Net v2, foreground oversampling."""

SAMPLED_SHARE = 0.01
"""Share of a larger class that is kept. Source: as above."""

LARGEST_SAMPLE = 100_000
"""Positions that are enough for any class of one case; nnU-Net has no such bound."""

SEED = 0
"""The sample is part of the prepared data, so it depends on nothing but the case."""


def sample_foreground(
    classes: LabelArray, num_classes: int, case_name: str
) -> tuple[VoxelList, ...]:
    """Return, by class index, random positions of voxels of that class (int32, array order).

    They are drawn without replacement and sorted; the background has none. The volume is worked
    through plane by plane, so that memory does not grow with it.
    """
    counts = _counts_per_plane(classes, num_classes)
    random = generator(SEED, "foreground", case_name)
    ranks = [_chosen_ranks(int(total), random) for total in counts.sum(axis=0)]
    found: list[list[NDArray[np.intp]]] = [[] for _ in range(num_classes)]
    passed = np.zeros(num_classes, dtype=np.int64)
    for number, plane in enumerate(classes):
        after = passed + counts[number]
        ends = np.cumsum(counts[number, 1:])
        by_class = _foreground_by_class(plane)
        for index in np.flatnonzero(counts[number, 1:]) + 1:
            low, high = np.searchsorted(ranks[index], (passed[index], after[index]))
            first = ends[index - 1] - counts[number, index]
            inside = by_class[first + ranks[index][low:high] - passed[index]]
            found[index].append(inside + number * plane.size)
        passed = after
    return tuple(_as_positions(parts, classes.shape) for parts in found)


def _counts_per_plane(classes: LabelArray, num_classes: int) -> Int[np.ndarray, "planes classes"]:
    return np.stack([np.bincount(plane.ravel(), minlength=num_classes) for plane in classes])


def _chosen_ranks(total: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return which of a class's voxels are kept, counted in array order."""
    size = max(min(SMALLEST_SAMPLE, total), int(np.ceil(SAMPLED_SHARE * total)))
    return np.sort(random.choice(total, min(size, LARGEST_SAMPLE), replace=False, shuffle=False))


def _foreground_by_class(plane: LabelArray) -> NDArray[np.intp]:
    """Return flat positions of the foreground, grouped by class, each group in array order."""
    flat = plane.ravel()
    positions = np.flatnonzero(flat)
    return positions[np.argsort(flat[positions], kind="stable")]


def _as_positions(parts: list[NDArray[np.intp]], shape: tuple[int, ...]) -> VoxelList:
    flat = np.concatenate(parts) if parts else np.empty(0, dtype=np.intp)
    return np.stack(np.unravel_index(flat, shape), axis=1).astype(np.int32)
