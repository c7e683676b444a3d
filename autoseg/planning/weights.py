"""Class weights of the loss: equal, except for a loss that is made of weights."""

import numpy as np

from autoseg.core.formatting import number
from autoseg.planning.planned_value import OWN, PlannedValue

SMALLEST_WEIGHT = 0.5
"""Bounds keep one very rare or very frequent class from ruling the loss."""
LARGEST_WEIGHT = 3.0

Weights = tuple[float, ...] | None

RULE = "class_weights"
SOURCE = "square root of median-frequency balancing, Eigen & Fergus, ICCV 2015"


def equal_weights() -> PlannedValue[Weights]:
    """Return that all classes count alike in cross-entropy.

    Beside a Dice term, weights by frequency were tried and lost: docs/pages/experiments.md.
    """
    reason = "weights by frequency did not raise Dice beside the Dice term (see the experiments)"
    return PlannedValue(None, "equal_weights", reason, OWN)


def class_weights(
    frequencies: tuple[float, ...], *, has_regions: bool = False
) -> PlannedValue[Weights]:
    """Return the weight of each class in cross-entropy, background first, or none if all equal 1.

    A foreground class weighs √(median foreground frequency / its own frequency), kept between
    0.5 and 3. The background weighs 1, because the balance between it and the foreground is what
    the Dice term and foreground sampling are for. A class that never occurs weighs 1.

    Args:
        frequencies: Share of each class among all voxels, background first.
        has_regions: Whether regions are predicted, which overlap; they all weigh the same.
    """
    if has_regions:
        reason = "regions overlap: each has a binary cross-entropy of its own, and all count alike"
        return PlannedValue(None, RULE, reason, SOURCE)
    foreground = np.asarray(frequencies[1:])
    present = foreground[foreground > 0]
    if present.size < 2:
        reason = "fewer than two foreground classes occur: there is nothing to balance"
        return PlannedValue(None, RULE, reason, SOURCE)
    with np.errstate(divide="ignore"):
        balanced = np.sqrt(np.median(present) / foreground)
    bounded = np.clip(balanced, SMALLEST_WEIGHT, LARGEST_WEIGHT).round(3)
    weights = (1.0, *np.where(foreground > 0, bounded, 1.0).tolist())
    reason = (
        f"foreground classes hold {_percent(present.min())} to {_percent(present.max())} of all "
        f"voxels, median {_percent(float(np.median(present)))}"
    )
    if all(weight == 1.0 for weight in weights):
        return PlannedValue(None, RULE, f"{reason}: all are alike", SOURCE)
    return PlannedValue(weights, RULE, reason, SOURCE)


def _percent(share: float) -> str:
    return f"{number(100 * float(share))} %"
