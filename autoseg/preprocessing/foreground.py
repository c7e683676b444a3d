"""Sample foreground positions per class or region, so that training can centre patches on them."""

import numpy as np
from jaxtyping import Int, Integer
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray, VoxelList
from autoseg.core.labels import LabelScheme
from autoseg.core.random import generator
from autoseg.preprocessing.crop import Bounds, bounding_box, crop

Slab = Integer[np.ndarray, " _voxels"]

SMALLEST_SAMPLE = 10_000
"""Minimum number of positions kept per class. Source: nnU-Net v2, foreground oversampling."""

SAMPLED_SHARE = 0.01
"""Share of positions kept of a larger class. Source: as above."""

LARGEST_SAMPLE = 100_000
"""Maximum number of positions kept per class and case; nnU-Net has no such limit."""

SLAB_VOXELS = 2**18
"""Voxels grouped by class at a time."""

SEED = 0
"""Fixed seed: the sample is part of the prepared data, so it must depend only on the case."""


def sample_foreground(
    classes: LabelArray, labels: LabelScheme, case_name: str
) -> tuple[VoxelList, ...]:
    """Sample random voxel positions of each target, without replacement.

    The volume is processed in slabs, so that memory does not grow with its size. Without an ignore
    value, voxels outside the foreground's bounding box are not read.

    Args:
        classes: Class index per voxel.
        labels: Classes and regions of the dataset.
        case_name: Name of the case, which seeds the sample.

    Returns:
        Sorted positions (int32, array order). The first entry has positions of any annotated voxel,
        including background, if the dataset has an ignore value, and is empty if not. The other
        entries have the positions of one target each.
    """
    sparse = labels.ignored_index is not None
    # the draw for background is unused without an ignore value; it keeps the random state, and
    # so the samples, identical to those of earlier versions
    anywhere = tuple(range(labels.num_classes)) if sparse else (0,)
    groups = (anywhere, *labels.target_classes)
    bounds = tuple((0, size) for size in classes.shape) if sparse else bounding_box(classes)
    inside = np.ascontiguousarray(crop(classes, bounds))
    flat = inside.ravel()
    slabs = [flat[start : start + SLAB_VOXELS] for start in range(0, flat.size, SLAB_VOXELS)]
    counts = _counts_per_slab(slabs, labels.num_classes)
    members = np.stack([np.isin(range(counts.shape[1]), group) for group in groups], axis=1)
    sizes = counts @ members
    totals = sizes.sum(axis=0) + (classes.size - inside.size) * members[0]
    random = generator(SEED, "foreground", case_name)
    ranks = [_chosen_ranks(int(total), random) for total in totals]
    wanted = range(0 if sparse else 1, len(groups))
    sampled: list[list[NDArray[np.intp]]] = [[] for _ in groups]
    passed, start = np.zeros(len(groups), dtype=np.int64), 0
    for slab, own_counts, own_sizes in zip(slabs, counts, sizes, strict=True):
        by_class = _grouped(slab, own_counts, background=sparse)
        for index in wanted:
            limits = (passed[index], passed[index] + own_sizes[index])
            low, high = np.searchsorted(ranks[index], limits)
            if low < high:
                voxels = _union([by_class[member] for member in groups[index]])
                sampled[index].append(voxels[ranks[index][low:high] - passed[index]] + start)
        passed, start = passed + own_sizes, start + slab.size
    return tuple(_as_positions(parts, inside.shape, bounds) for parts in sampled)


def _counts_per_slab(slabs: list[Slab], num_classes: int) -> Int[np.ndarray, "slabs classes"]:
    """Count the voxels of each class in each slab; ignored voxels have an extra last column."""
    length = max(num_classes, *(int(slab.max()) + 1 for slab in slabs))
    return np.stack([np.bincount(slab, minlength=length) for slab in slabs])


def _chosen_ranks(total: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw the ranks (in array order) of the voxels to keep from a group of `total` voxels."""
    size = max(min(SMALLEST_SAMPLE, total), int(np.ceil(SAMPLED_SHARE * total)))
    return np.sort(random.choice(total, min(size, LARGEST_SAMPLE), replace=False, shuffle=False))


def _grouped(
    slab: Slab, counts: Int[np.ndarray, " classes"], *, background: bool
) -> list[NDArray[np.intp]]:
    """Return the flat positions of each class in array order; background only if requested."""
    positions = np.arange(slab.size) if background else np.flatnonzero(slab != 0)
    order = np.argsort(slab[positions], kind="stable")
    sizes = counts if background else [0, *counts[1:]]
    return np.split(positions[order], np.cumsum(sizes)[:-1])


def _union(parts: list[NDArray[np.intp]]) -> NDArray[np.intp]:
    """Return the combined positions of several classes in array order."""
    return parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts))


def _as_positions(
    parts: list[NDArray[np.intp]], shape: tuple[int, ...], bounds: Bounds
) -> VoxelList:
    """Convert flat positions in a box to positions in the whole array, which `bounds` refer to."""
    flat = np.concatenate(parts) if parts else np.empty(0, dtype=np.intp)
    starts = np.array([start for start, _ in bounds])
    positions: VoxelList = np.stack(np.unravel_index(flat, shape), axis=1) + starts
    return positions.astype(np.int32)
