"""Where the voxels of each class or region are, so that training can centre patches on them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Integer
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray, VoxelList
from autoseg.core.labels import LabelScheme
from autoseg.core.random import generator
from autoseg.preprocessing.crop import Bounds, bounding_box, crop

Slab = Integer[np.ndarray, "planes rows columns"]

SMALLEST_SAMPLE = 10_000
"""Positions kept of a class that has as many. Source: nnU-Net v2, foreground oversampling."""

SAMPLED_SHARE = 0.01
"""Share of a larger class that is kept. Source: as above."""

LARGEST_SAMPLE = 100_000
"""Positions that are enough for any class of one case; nnU-Net has no such bound."""

SLAB_VOXELS = 2**18
"""Voxels that are grouped by class at a time."""

SEED = 0
"""The sample is part of the prepared data, so it depends on nothing but the case."""


def sample_foreground(
    classes: LabelArray, labels: LabelScheme, case_name: str
) -> tuple[VoxelList, ...]:
    """Return, for each target, random positions of its voxels (int32, array order).

    They are drawn without replacement and sorted. The first entry is for the others: with an
    ignore value, positions of any annotated voxel, background included, so that patches find the
    annotations; else empty. The volume is worked through in slabs, so that memory does not grow
    with it, and outside the foreground's bounding box only where the background is asked for.
    """
    sparse = labels.ignored_index is not None
    # every group costs a draw; that of the background is made though nobody asks for it, so that
    # cases come out as those that were prepared by earlier versions
    anywhere = tuple(range(labels.num_classes)) if sparse else (0,)
    groups = (anywhere, *labels.target_classes)
    bounds = tuple((0, size) for size in classes.shape) if sparse else bounding_box(classes)
    inside = np.ascontiguousarray(crop(classes, bounds))
    slabs = _slabs(inside)
    counts = _counts_per_slab(slabs, labels.num_classes)
    members = np.stack([np.isin(range(counts.shape[1]), group) for group in groups], axis=1)
    sizes = counts @ members
    totals = sizes.sum(axis=0) + (classes.size - inside.size) * members[0]
    random = generator(SEED, "foreground", case_name)
    ranks = [_chosen_ranks(int(total), random) for total in totals]
    wanted = range(0 if sparse else 1, len(groups))
    found: list[list[NDArray[np.intp]]] = [[] for _ in groups]
    passed, start = np.zeros(len(groups), dtype=np.int64), 0
    for slab, own_counts, own_sizes in zip(slabs, counts, sizes, strict=True):
        grouped = _Grouped.of(slab, own_counts, background=sparse)
        for index in wanted:
            limits = (passed[index], passed[index] + own_sizes[index])
            low, high = np.searchsorted(ranks[index], limits)
            if low < high:
                voxels = grouped.union(groups[index])[ranks[index][low:high] - passed[index]]
                found[index].append(voxels + start)
        passed, start = passed + own_sizes, start + slab.size
    return tuple(_as_positions(parts, inside.shape, bounds) for parts in found)


def _slabs(classes: LabelArray) -> list[Slab]:
    """Return runs of planes, each of about `SLAB_VOXELS`; a picture counts as one plane."""
    planes = classes[None] if classes.ndim == 2 else classes
    length = max(1, SLAB_VOXELS // planes[0].size)
    return [planes[start : start + length] for start in range(0, len(planes), length)]


def _counts_per_slab(slabs: list[Slab], num_classes: int) -> Int[np.ndarray, "slabs classes"]:
    """Return the voxels of each class in each slab; those ignored, if any, in a last column."""
    length = max(num_classes, *(int(slab.max()) + 1 for slab in slabs))
    return np.stack([np.bincount(slab.ravel(), minlength=length) for slab in slabs])


def _chosen_ranks(total: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return which of a group's voxels are kept, counted in array order."""
    size = max(min(SMALLEST_SAMPLE, total), int(np.ceil(SAMPLED_SHARE * total)))
    return np.sort(random.choice(total, min(size, LARGEST_SAMPLE), replace=False, shuffle=False))


@dataclass(frozen=True)
class _Grouped:
    """Flat positions of a slab's voxels, grouped by class, each group in array order.

    Attributes:
        positions: Of all classes, ascending by class.
        ends: Where each class ends among them.
    """

    positions: NDArray[np.intp]
    ends: NDArray[np.intp]

    @classmethod
    def of(cls, slab: Slab, counts: Int[np.ndarray, " classes"], *, background: bool) -> "_Grouped":
        """Return the positions of the foreground, or of all."""
        flat = slab.ravel()
        positions = np.arange(flat.size) if background else np.flatnonzero(flat != 0)
        kept = counts.copy()
        kept[0] = counts[0] if background else 0
        order = np.argsort(flat[positions], kind="stable")
        return cls(positions=positions[order], ends=np.cumsum(kept))

    def union(self, group: tuple[int, ...]) -> NDArray[np.intp]:
        """Return the positions of several classes together, in array order."""
        starts = np.concatenate([[0], self.ends])
        parts = [self.positions[starts[index] : self.ends[index]] for index in group]
        return parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts))


def _as_positions(
    parts: list[NDArray[np.intp]], shape: tuple[int, ...], bounds: Bounds
) -> VoxelList:
    """Return positions in the whole array, of flat ones in a box of that shape and place."""
    flat = np.concatenate(parts) if parts else np.empty(0, dtype=np.intp)
    starts = np.array([start for start, _ in bounds])
    positions: VoxelList = np.stack(np.unravel_index(flat, shape), axis=1) + starts
    return positions.astype(np.int32)
