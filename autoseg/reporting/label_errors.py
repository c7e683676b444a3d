"""Find labels that confident held-out predictions contradict.

Source: Northcutt, Jiang and Chuang, Confident learning: estimating uncertainty in dataset labels,
    JAIR 2021: a label is suspicious if another class is predicted with at least the mean
    probability that the class has where it is labelled. Here each class is compared with the rest,
    so that overlapping regions are treated in the same way.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from autoseg.core.arrays import LabelArray
from autoseg.reporting.score_section import Reliability

BINS = 15
"""Number of bins of equal width. Source: Guo et al., On calibration of modern neural networks,
ICML 2017."""

CERTAIN = 1 / 255
"""Smaller probabilities are stored as 0. Voxels of the background with them are not averaged: they
are far from the class, and would let nothing else count as confident."""

LARGEST_THRESHOLD = 0.98
"""Largest threshold, so that a network that is always certain contradicts labels, too."""

MOST_REGIONS = 3
"""Regions listed per case."""

Counts = Float[np.ndarray, "targets"]


@dataclass(frozen=True)
class ConfidenceSums:
    """Sums of the probabilities of each target, over the voxels of one case or of many.

    Attributes:
        positive: Sum of the probabilities where the target is labelled, and number of these voxels;
            shape (2, targets).
        negative: Sum of one minus the probability where it is not labelled but not ruled out, and
            number of these voxels; shape (2, targets).
        bins: Per bin of the predicted probability: number of voxels, sum of probabilities, and
            number of voxels that have the target; shape (3, bins), over all targets.
        cases: Number of cases.
    """

    positive: Float[np.ndarray, "two targets"]
    negative: Float[np.ndarray, "two targets"]
    bins: Float[np.ndarray, "three bins"]
    cases: int = 0

    @classmethod
    def empty(cls, targets: int) -> "ConfidenceSums":
        """Return the sums over no voxel."""
        return cls(np.zeros((2, targets)), np.zeros((2, targets)), np.zeros((3, BINS)))

    def add(
        self,
        target: int,
        probabilities: Float[np.ndarray, " voxels"],
        truth: Bool[np.ndarray, " voxels"],
    ) -> None:
        """Add voxels of one target.

        Args:
            target: Index of the target.
            probabilities: Its predicted probabilities, 0 … 1.
            truth: Whether the voxels are labelled as it.
        """
        own = probabilities[truth]
        others = probabilities[~truth & (probabilities >= CERTAIN)]
        self.positive[:, target] += own.sum(dtype=np.float64), own.size
        self.negative[:, target] += (1 - others).sum(dtype=np.float64), others.size
        places = np.clip((probabilities * BINS).astype(np.intp), 0, BINS - 1)
        for row, weights in enumerate((None, probabilities, truth)):
            self.bins[row] += np.bincount(places, weights, BINS)

    @property
    def thresholds(self) -> tuple[Counts, Counts]:
        """Probabilities from which on a target is confidently present, and confidently absent."""
        positive, negative = (
            np.clip(sums[0] / np.maximum(sums[1], 1), 0.5, LARGEST_THRESHOLD)
            for sums in (self.positive, self.negative)
        )
        return positive, negative

    @property
    def reliability(self) -> Reliability:
        """Share of the voxels that have a target, by its predicted probability."""
        used = self.bins[0] > 0
        means, shares = self.bins[1:, used] / self.bins[0, used]
        return Reliability(tuple(means.tolist()), tuple(shares.tolist()), self.cases)


def merged(parts: Iterable[ConfidenceSums], targets: int) -> ConfidenceSums:
    """Return the sums over several cases.

    Args:
        parts: Sums of each case.
        targets: Number of targets.
    """
    total, count = ConfidenceSums.empty(targets), 0
    for part in parts:
        for name in ("positive", "negative", "bins"):
            getattr(total, name)[...] += getattr(part, name)
        count += 1
    return ConfidenceSums(total.positive, total.negative, total.bins, count)


@dataclass(frozen=True)
class SuspiciousRegion:
    """Connected voxels whose label is contradicted.

    Attributes:
        target: Index of the target.
        is_missing: Whether it is predicted but not labelled; otherwise, labelled but not predicted.
        voxels: Number of voxels.
        centre: Voxel in their middle, counted from 0, canonical axis order.
    """

    target: int
    is_missing: bool
    voxels: int
    centre: tuple[int, ...]


@dataclass(frozen=True)
class LabelErrors:
    """Suspicious labels of one case.

    Attributes:
        name: Name of the case.
        score: Suspicious voxels, without those at borders, per labelled or predicted voxel.
        regions: The largest regions.
    """

    name: str
    score: float
    regions: tuple[SuspiciousRegion, ...]


def find_label_errors(
    name: str, missing: LabelArray, extra: LabelArray, foreground: int
) -> LabelErrors:
    """Find the regions of suspicious voxels of a case.

    Voxels at the surface of regions are not counted: borders of labels vary, errors are thick.

    Args:
        name: Name of the case.
        missing: One plus the index of the target that is confidently predicted but not labelled, in
            every voxel; 0 for none.
        extra: The same of the target that is labelled but confidently not predicted.
        foreground: Number of voxels that are labelled or predicted.
    """
    regions, total = [], 0
    for is_missing, targets in ((True, missing), (False, extra)):
        boxes = ndimage.find_objects(np.asarray(targets))
        for index, box in enumerate(boxes):
            if box is None:
                continue
            for inner, region in _regions(targets[box] == index + 1, index, is_missing=is_missing):
                total += inner
                starts = (part.start for part in box)
                centre = tuple(map(sum, zip(region.centre, starts, strict=True)))
                if inner:
                    regions.append(replace(region, centre=centre))
    regions.sort(key=lambda region: -region.voxels)
    return LabelErrors(name, total / max(1, foreground), tuple(regions[:MOST_REGIONS]))


def _regions(
    mask: Bool[np.ndarray, "*shape"], target: int, *, is_missing: bool
) -> Iterator[tuple[int, SuspiciousRegion]]:
    """Yield the regions of a mask, each with the number of its voxels inside of its surface."""
    components, count = ndimage.label(mask)
    inside = ndimage.binary_erosion(np.pad(mask, 1))[(slice(1, -1),) * mask.ndim]
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    inner = np.bincount(components[inside], minlength=count + 1)
    for index, part in enumerate(ndimage.find_objects(components), start=1):
        middle = _centre(components[part] == index)
        centre = tuple(place + own.start for place, own in zip(middle, part, strict=True))
        yield int(inner[index]), SuspiciousRegion(target, is_missing, int(sizes[index]), centre)


def _centre(mask: Bool[np.ndarray, "*shape"]) -> Sequence[int]:
    """Return the voxel of a mask that is the furthest from its surface."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[(slice(1, -1),) * mask.ndim]
    return [int(place) for place in np.unravel_index(int(np.argmax(depth)), mask.shape)]
