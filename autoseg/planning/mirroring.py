"""Along which axes images may be mirrored without turning one class into another.

A mirrored left kidney looks like a right one, and a mirrored head of the hippocampus lies where
its tail belongs. Where classes keep to their sides, mirroring teaches the network what is not so.
"""

import re

import numpy as np
from jaxtyping import Bool, Float

from autoseg.core.formatting import percent
from autoseg.core.labels import LabelScheme
from autoseg.documents.fingerprint import Fingerprint
from autoseg.planning.planned_value import OWN, PlannedValue

LEAST_CASES = 6
"""Fewer cases show nothing: 6 of 6 on the same side have a chance of 3 % by coin tosses."""

SAME_SIDE_SHARE = 0.95
"""Share of the cases in which two classes must lie in the same order."""

LEAST_DISTANCE = 0.05
"""Distance of two centres, as a share of the image, below which their order means nothing."""

SIDE_WORDS = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)
"""Words in class names that speak of a side."""

AXIS_NAMES = {3: ("superior", "posterior", "left"), 2: ("row", "column")}
"""What the canonical axes run along, by number of axes."""

Centres = Float[np.ndarray, "cases classes axes"]


def mirror_axes(fingerprint: Fingerprint) -> PlannedValue[tuple[int, ...]]:
    """Return the canonical axes that may be mirrored, in training and prediction alike.

    An axis stays out if two classes lie in the same order along it in nearly all cases, or if
    class names speak of left and right and it is the axis from side to side.
    """
    against = _ordered_pairs(fingerprint)
    labels = fingerprint.labels
    names = (*labels.names, *(region.name for region in labels.regions))
    named = [name for name in names if SIDE_WORDS.search(name)]
    if named:
        side = fingerprint.num_axes - 1
        against.setdefault(side, f"{named[0]!r} is named after a side")
    axes = tuple(axis for axis in range(fingerprint.num_axes) if axis not in against)
    axis_names = AXIS_NAMES[fingerprint.num_axes]
    if not against:
        reason = "no two classes keep to their sides along an axis, and no name speaks of a side"
    else:
        reasons = (f"{axis_names[axis]} axis: {why}" for axis, why in sorted(against.items()))
        reason = f"not along the {'; not along the '.join(reasons)}"
    return PlannedValue(axes, "mirror_axes", reason, OWN)


def _ordered_pairs(fingerprint: Fingerprint) -> dict[int, str]:
    """Return, for each axis along which two classes keep an order, a sentence on such a pair."""
    centres = _centres(fingerprint)
    names = fingerprint.labels.names
    differs = _told_apart(fingerprint.labels)
    found: dict[int, str] = {}
    for first in range(1, len(names) - 1):
        if len(found) == fingerprint.num_axes:
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
            if distance >= LEAST_DISTANCE and axis not in found:
                found[axis] = (
                    f"{names[first]} and {names[first + 1 + later]} lie in the same order in "
                    f"{percent(share[later, axis])} of {cases[later]} cases, {percent(distance)} "
                    "of the image apart"
                )
    return found


def _told_apart(labels: LabelScheme) -> Bool[np.ndarray, "classes classes"]:
    """Return which pairs of classes some target separates; in the same regions, they are one."""
    members = np.array(
        [
            [index in target for target in labels.target_classes]
            for index in range(labels.num_classes)
        ]
    )
    return np.asarray((members[:, None] != members[None]).any(axis=-1))


def _centres(fingerprint: Fingerprint) -> Centres:
    absent = (np.nan,) * fingerprint.num_axes
    return np.array(
        [
            [absent if centre is None else centre for centre in case.class_centres]
            for case in fingerprint.cases
        ],
        dtype=np.float64,
    )
