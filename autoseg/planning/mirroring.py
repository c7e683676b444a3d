"""Find the axes along which images can be mirrored without turning one class into another.

A mirrored left kidney looks like a right one, and the head of a mirrored hippocampus is where its
tail should be. If classes keep a fixed order along an axis, mirroring that axis trains the network
on wrong labels.
"""

import re

import numpy as np
from jaxtyping import Bool, Float

from autoseg.core.formatting import format_percent
from autoseg.core.labels import LabelScheme
from autoseg.documents.fingerprint import Fingerprint
from autoseg.planning.planned_value import OWN, PlannedValue

LEAST_CASES = 6
"""Minimum number of cases: a random order is the same in 6 of 6 cases with a probability of 3 %."""

SAME_SIDE_SHARE = 0.95
"""Minimum share of cases with two classes in the same order for that order to count as fixed."""

LEAST_DISTANCE = 0.05
"""Distance of two centres, as a share of the image, below which their order is ignored."""

SIDE_WORDS = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)
"""Words in class names that refer to a side."""

AXIS_NAMES = {3: ("superior", "posterior", "left"), 2: ("row", "column")}
"""Directions of the canonical axes, by number of axes."""

Centres = Float[np.ndarray, "cases classes axes"]


def mirror_axes(fingerprint: Fingerprint) -> PlannedValue[tuple[int, ...]]:
    """Return the canonical axes that may be mirrored in training and prediction.

    An axis is excluded if two classes are in the same order along it in nearly all cases, or if it
    is the left-right axis and a class name contains left or right.
    """
    excluded = _ordered_pairs(fingerprint)
    labels = fingerprint.labels
    names = (*labels.names, *(region.name for region in labels.regions))
    sided = [name for name in names if SIDE_WORDS.search(name)]
    if sided:
        side = fingerprint.num_axes - 1
        excluded.setdefault(side, f"the name {sided[0]!r} contains a side")
    axes = tuple(axis for axis in range(fingerprint.num_axes) if axis not in excluded)
    axis_names = AXIS_NAMES[fingerprint.num_axes]
    if not excluded:
        reason = "no two classes keep a fixed order along an axis, and no name contains a side"
    else:
        reasons = (f"{axis_names[axis]} axis: {why}" for axis, why in sorted(excluded.items()))
        reason = f"not along the {'; not along the '.join(reasons)}"
    return PlannedValue(axes, "mirror_axes", reason, OWN)


def _ordered_pairs(fingerprint: Fingerprint) -> dict[int, str]:
    """Return a sentence on a pair of classes in fixed order, for each axis that has such a pair."""
    centres = _centres(fingerprint)
    names = fingerprint.labels.names
    differs = _distinguished(fingerprint.labels)
    reasons: dict[int, str] = {}
    for first in range(1, len(names) - 1):
        if len(reasons) == fingerprint.num_axes:
            break
        apart = centres[:, first, None] - centres[:, first + 1 :]
        cases = (~np.isnan(apart[..., 0])).sum(axis=0)
        share = np.maximum((apart > 0).sum(axis=0), (apart < 0).sum(axis=0)) / np.maximum(
            cases[:, None], 1
        )
        keeps_order = (share >= SAME_SIDE_SHARE) & (cases[:, None] >= LEAST_CASES)
        keeps_order &= differs[first, first + 1 :, None]
        for later, axis in np.argwhere(keeps_order).tolist():
            distance = float(np.nanmedian(np.abs(apart[:, later, axis])))
            if distance >= LEAST_DISTANCE and axis not in reasons:
                reasons[axis] = (
                    f"{names[first]} and {names[first + 1 + later]} are in the same order in "
                    f"{format_percent(share[later, axis])} of {cases[later]} cases, "
                    f"{format_percent(distance)} of the image apart"
                )
    return reasons


def _distinguished(labels: LabelScheme) -> Bool[np.ndarray, "classes classes"]:
    """Return a mask of class pairs that differ in at least one target.

    Classes that belong to the same regions are not distinguished.
    """
    members = np.array([np.isin(range(labels.num_classes), part) for part in labels.target_classes])
    return np.asarray((members[:, :, None] != members[:, None]).any(axis=0))


def _centres(fingerprint: Fingerprint) -> Centres:
    absent = (np.nan,) * fingerprint.num_axes
    centres = [[centre or absent for centre in case.class_centres] for case in fingerprint.cases]
    return np.array(centres, dtype=np.float64)
