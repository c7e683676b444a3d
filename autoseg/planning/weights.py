"""Class weights of the loss: equal, except for losses that need class weights."""

import numpy as np

from autoseg.core.formatting import format_percent
from autoseg.planning.planned_value import OWN, PlannedValue

SMALLEST_WEIGHT = 0.5
"""The bounds keep a single very rare or very frequent class from dominating the loss."""
LARGEST_WEIGHT = 3.0

Weights = tuple[float, ...] | None
EQUAL: Weights = None
"""All weights are 1."""

RULE = "class_weights"
SOURCE = "square root of median-frequency balancing, Eigen & Fergus, ICCV 2015"


def equal_weights() -> PlannedValue[Weights]:
    """Return equal weights (None) for cross-entropy.

    Together with a Dice term, weights by frequency did not help: docs/pages/experiments.md.
    """
    reason = "with a Dice term, weights by frequency did not raise Dice (see the experiments)"
    return PlannedValue(EQUAL, "equal_weights", reason, OWN)


def class_weights(
    frequencies: tuple[float, ...], *, has_regions: bool = False
) -> PlannedValue[Weights]:
    """Return the weight of each class in cross-entropy, background first; None if all are 1.

    The weight of a foreground class is √(median foreground frequency / its own frequency), clipped
    to 0.5 … 3. The weight of the background is 1, because the Dice term and foreground sampling
    balance it against the foreground. The weight of a class that never occurs is 1.

    Args:
        frequencies: Share of each class among all voxels, background first.
        has_regions: Whether regions are predicted, which overlap; their weights are equal.
    """
    if has_regions:
        reason = "regions overlap: each has its own binary cross-entropy, all with equal weight"
        return PlannedValue(EQUAL, RULE, reason, SOURCE)
    foreground = np.asarray(frequencies[1:])
    present = foreground[foreground > 0]
    if present.size < 2:
        reason = "fewer than two foreground classes occur, so all weights are 1"
        return PlannedValue(EQUAL, RULE, reason, SOURCE)
    with np.errstate(divide="ignore"):
        balanced = np.sqrt(np.median(present) / foreground)
    bounded = np.clip(balanced, SMALLEST_WEIGHT, LARGEST_WEIGHT).round(3)
    weights = (1.0, *np.where(foreground > 0, bounded, 1.0).tolist())
    reason = (
        f"foreground classes cover {format_percent(present.min(), 4)} to "
        f"{format_percent(present.max(), 4)} of all voxels, median "
        f"{format_percent(float(np.median(present)), 4)}"
    )
    if all(weight == 1.0 for weight in weights):
        return PlannedValue(EQUAL, RULE, f"{reason}: all weights are 1", SOURCE)
    return PlannedValue(weights, RULE, reason, SOURCE)
