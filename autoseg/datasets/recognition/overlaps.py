"""Compare label files of the same image, to tell classes from several annotations of one class."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from autoseg.datasets.recognition.label_series import SAMPLED, LabelSeries, dice
from autoseg.datasets.recognition.tokens import word_set

RATER_WORDS = word_set(
    """
    rater raters reader readers annotator annotators observer observers expert experts
    grader graders st nd rd th maj and or staple consensus majority
    """
)
"""Words that tell apart the annotations of several persons, and ways to merge them."""

VERSION_WORDS = word_set(
    """
    old new corrected revised final v1 v2 v3
    """
)
"""Words that tell apart versions of the same annotation."""

DISJOINT = 0.1
"""Most of the smaller of two masks that another class covers where they meet."""

NESTED = 0.95
"""Least share of a mask that is inside another one which surrounds it."""

ALIKE = 0.8
"""Least Dice of nested masks that mark the same structure."""

UNION = 0.98
"""Least Dice of a mask and some classes of a label map that it repeats."""

MOST_COMPARED = 12
"""Number of cases whose masks are compared."""

MOST_VOXELS = 2**22
"""Number of voxels of a file that are compared; of larger files, they are evenly spaced."""


def are_annotations(series: Sequence[LabelSeries]) -> bool:
    """Return True if masks may mark the same structure twice.

    Masks of classes are disjoint or nested in each image. Only files of the same case are compared.
    """
    if all(one.words & RATER_WORDS for one in series) or any(
        one.words & VERSION_WORDS for one in series
    ):
        return True
    inner: dict[tuple[int, int], set[int]] = defaultdict(set)
    alike: dict[tuple[int, int], list[float]] = defaultdict(list)
    for pair, common, sizes in _compared(series):
        share = common / min(sizes)
        if DISJOINT < share < NESTED:
            return True
        if share >= NESTED:
            inner[pair].add(int(np.argmin(sizes)))
            alike[pair].append(2 * common / sum(sizes))
    is_mutual = any(len(which) > 1 for which in inner.values())
    return is_mutual or any(np.mean(shares) >= ALIKE for shares in alike.values())


def _compared(
    series: Sequence[LabelSeries],
) -> Iterator[tuple[tuple[int, int], int, tuple[int, int]]]:
    """Yield common voxels and sizes of pairs of masks, in a few cases that have most of them."""
    present: dict[int, list[int]] = defaultdict(list)
    for place, one in enumerate(series):
        for number in one.files:
            present[number].append(place)
    ordered = sorted(present, key=lambda number: -len(present[number]))
    seen: set[tuple[int, int]] = set()
    compared = 0
    for number in ordered:
        pairs = set(combinations(present[number], 2))
        if compared >= MOST_COMPARED or (compared >= SAMPLED and pairs <= seen):
            continue
        compared += 1
        for pair, common, sizes in _overlaps(series, present[number], number):
            seen.add(pair)
            yield pair, common, sizes


def _overlaps(
    series: Sequence[LabelSeries], places: Sequence[int], number: int
) -> Iterator[tuple[tuple[int, int], int, tuple[int, int]]]:
    """Yield common voxels and sizes of all pairs of masks of a case that are not empty."""
    masks = {}
    for place in places:
        content = series[place].content(number)
        if content is not None and (mask := _thinned(content.foreground)).any():
            masks[place] = mask
    if len({len(mask) for mask in masks.values()}) != 1:
        return
    stacked = np.stack(list(masks.values()))
    shared = stacked[:, stacked.sum(axis=0) > 1].astype(np.float32)
    common, sizes = shared @ shared.T, stacked.sum(axis=1)
    for (row, first), (column, second) in combinations(enumerate(masks), 2):
        pair_sizes = (int(sizes[row]), int(sizes[column]))
        yield (first, second), int(common[row, column]), pair_sizes


def is_union_of_classes(masks: LabelSeries, maps: LabelSeries) -> bool:
    """Return True if masks repeat some of the classes of label maps of the same cases."""
    compared = 0
    common = [number for number in masks.files if number in maps.files]
    for number in common[:: max(1, len(common) // MOST_COMPARED)]:
        mask, labels = masks.content(number), maps.content(number)
        if mask is None or labels is None or mask.shape != labels.shape:
            continue
        inside, values = _thinned(mask.foreground), _thinned(labels.numbers)
        if not inside.any():
            continue
        chosen = [
            value
            for value in np.unique(values)
            if value > 0 and inside[values == value].mean() > 0.5
        ]
        if dice(np.isin(values, chosen), inside) < UNION:
            return False
        compared += 1
        if compared == SAMPLED:
            break
    return compared > 0


def _thinned(voxels: np.ndarray) -> np.ndarray:
    """Return at most about `MOST_VOXELS` voxels in a row."""
    return voxels.reshape(-1)[:: voxels.size // MOST_VOXELS | 1]
