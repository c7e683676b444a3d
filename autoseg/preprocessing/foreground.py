"""Where the voxels of each class or region are, so that training can centre patches on them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray, VoxelList
from autoseg.core.labels import LabelScheme
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
    classes: LabelArray, labels: LabelScheme, case_name: str
) -> tuple[VoxelList, ...]:
    """Return, for each target, random positions of its voxels (int32, array order).

    They are drawn without replacement and sorted. The first entry is for the others: with an
    ignore value, positions of any annotated voxel, background included, so that patches find the
    annotations; else empty. The volume is worked through plane by plane, so that memory does not
    grow with it.
    """
    sparse = labels.ignored_index is not None
    # every group costs a draw; that of the background is made though nobody asks for it, so that
    # cases come out as those that were prepared by earlier versions
    anywhere = tuple(range(labels.num_classes)) if sparse else (0,)
    groups = (anywhere, *labels.target_classes)
    counts = _counts_per_plane(classes, labels.num_classes)
    members = np.stack([np.isin(range(counts.shape[1]), group) for group in groups], axis=1)
    sizes = counts @ members
    random = generator(SEED, "foreground", case_name)
    ranks = [_chosen_ranks(int(total), random) for total in sizes.sum(axis=0)]
    ends = np.cumsum(sizes, axis=0)
    found: list[list[NDArray[np.intp]]] = [[] for _ in groups]
    for number, plane in enumerate(classes):
        grouped = _Grouped.of(plane, counts[number], background=sparse)
        for index in np.flatnonzero(sizes[number]):
            if index == 0 and not sparse:
                continue
            passed = ends[number, index] - sizes[number, index]
            low, high = np.searchsorted(ranks[index], (passed, ends[number, index]))
            if low < high:
                inside = grouped.union(groups[index])[ranks[index][low:high] - passed]
                found[index].append(inside + number * plane.size)
    return tuple(_as_positions(parts, classes.shape) for parts in found)


def _counts_per_plane(classes: LabelArray, num_classes: int) -> Int[np.ndarray, "planes classes"]:
    """Return the voxels of each class in each plane; those ignored, if any, in a last column."""
    length = max(num_classes, int(classes.max(initial=0)) + 1)
    return np.stack([np.bincount(plane.ravel(), minlength=length) for plane in classes])


def _chosen_ranks(total: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return which of a group's voxels are kept, counted in array order."""
    size = max(min(SMALLEST_SAMPLE, total), int(np.ceil(SAMPLED_SHARE * total)))
    return np.sort(random.choice(total, min(size, LARGEST_SAMPLE), replace=False, shuffle=False))


@dataclass(frozen=True)
class _Grouped:
    """Flat positions of a plane's voxels, grouped by class, each group in array order.

    Attributes:
        positions: Of all classes, ascending by class.
        ends: Where each class ends among them.
    """

    positions: NDArray[np.intp]
    ends: NDArray[np.intp]

    @classmethod
    def of(
        cls, plane: LabelArray, counts: Int[np.ndarray, " classes"], *, background: bool
    ) -> "_Grouped":
        """Return the positions of the foreground, or of all."""
        flat = plane.ravel()
        positions = np.arange(flat.size) if background else np.flatnonzero(flat)
        kept = counts.copy()
        kept[0] = counts[0] if background else 0
        order = np.argsort(flat[positions], kind="stable")
        return cls(positions=positions[order], ends=np.cumsum(kept))

    def union(self, group: tuple[int, ...]) -> NDArray[np.intp]:
        """Return the positions of several classes together, in array order."""
        starts = np.concatenate([[0], self.ends])
        parts = [self.positions[starts[index] : self.ends[index]] for index in group]
        return parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts))


def _as_positions(parts: list[NDArray[np.intp]], shape: tuple[int, ...]) -> VoxelList:
    flat = np.concatenate(parts) if parts else np.empty(0, dtype=np.intp)
    return np.stack(np.unravel_index(flat, shape), axis=1).astype(np.int32)
