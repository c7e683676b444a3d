"""Class weights of the loss: equal, or larger for rare classes."""

from typing import Literal

import numpy as np
from jaxtyping import Float

from autoseg.core.formatting import format_number, format_percent
from autoseg.losses import Loss
from autoseg.planning.planned_value import OWN, PlannedValue

LossWeighting = Literal["planned", "equal", "frequency"]

POWER = 0.5
"""Power of the inverse frequency in `frequency_weights`. Of the powers 0.1, 0.25 and 0.5, this one
cost least Dice where the imbalance was largest. Source: as `EVIDENCE`."""

HELPFUL_IMBALANCE = 100.0
"""Ratio of the most to the least frequent foreground class from which on the planner uses
`frequency_weights`. Source: a value between the ratios of `EVIDENCE`."""

EVIDENCE = (
    "with Dice plus cross-entropy, these weights lost 0.07 of the mean Dice at a ratio of 31; at a "
    "ratio of 400 they changed it by +0.001 and the rarest class by +0.029, both within chance"
)
"""The measurements behind power and ratio. Source: docs/pages/experiments.md, "Class weights"."""

SMALLEST_WEIGHT = 0.5
"""The bounds keep a single very rare or very frequent class from dominating the loss."""
LARGEST_WEIGHT = 3.0

Weights = tuple[float, ...] | None
EQUAL: Weights = None
"""All weights are 1."""

RULE = "loss_weights"
SOURCE = "square root of median-frequency balancing, Eigen & Fergus, ICCV 2015"


def loss_weights(
    frequencies: tuple[float, ...],
    loss: type[Loss],
    weighting: LossWeighting = "planned",
    *,
    has_regions: bool = False,
) -> PlannedValue[Weights]:
    """Return the weight of each class in the loss, background first; None if all are 1.

    Args:
        frequencies: Share of each class among all voxels, background first.
        loss: The loss. By default, a loss that needs class weights gets those of `class_weights`,
            and other losses those of `frequency_weights` beyond `HELPFUL_IMBALANCE`.
        weighting: "equal" or "frequency" (`frequency_weights` at any imbalance) replaces this rule.
        has_regions: Whether regions are predicted, which overlap; their weights are equal.
    """
    present = np.asarray([share for share in frequencies[1:] if share > 0])
    if reason := _reason_for_equal(present.size, weighting, has_regions=has_regions):
        return PlannedValue(EQUAL, RULE, reason, OWN)
    if "class_weights" not in loss.model_fields:
        return PlannedValue(EQUAL, RULE, "this loss has no class weights", OWN)
    shares = (
        f"foreground classes cover {format_percent(present.min(), 4)} to "
        f"{format_percent(present.max(), 4)} of all voxels, median "
        f"{format_percent(float(np.median(present)), 4)}"
    )
    if weighting == "planned" and loss.needs_class_weights:
        return PlannedValue(class_weights(frequencies), "class_weights", shares, SOURCE)
    by_frequency = f"weights by frequency to the power of -{format_number(POWER)}"
    if weighting == "frequency":
        reason = f"{shares}; requested: {by_frequency}"
        return PlannedValue(frequency_weights(frequencies, POWER), RULE, reason, OWN)
    imbalance = present.max() / present.min()
    is_weighted = imbalance >= HELPFUL_IMBALANCE
    reason = (
        f"{shares}, a ratio of {format_number(round(imbalance, 1))}; {by_frequency} are used from "
        f"a ratio of {format_number(HELPFUL_IMBALANCE)}: {EVIDENCE}"
    )
    weights = frequency_weights(frequencies, POWER) if is_weighted else EQUAL
    return PlannedValue(weights, RULE, reason, OWN)


def _reason_for_equal(num_present: int, weighting: LossWeighting, *, has_regions: bool) -> str:
    """Return the reason why classes must have equal weights; empty if there is none."""
    if weighting == "equal":
        return "requested"
    if has_regions:
        return "regions overlap: each has its own binary cross-entropy, all with equal weight"
    return "" if num_present > 1 else "fewer than two foreground classes occur: all weights are 1"


def frequency_weights(frequencies: tuple[float, ...], power: float) -> Weights:
    """Return weights by a power of the inverse frequency; None if all weights are 1.

    The weights of the foreground classes that occur are between 0.5 and 3, and their mean is 1. The
    weights of the background and of classes that never occur are 1.

    Args:
        frequencies: Share of each class among all voxels, background first.
        power: Power of the inverse frequency, in [0, 1]; 0 makes all weights 1.
    """
    present = np.asarray([share for share in frequencies[1:] if share > 0])
    if present.size < 2:
        return EQUAL
    raw = present**-power
    # the mean of the bounded weights is a piecewise linear function of the scale
    scales = np.sort(np.concatenate([SMALLEST_WEIGHT / raw, LARGEST_WEIGHT / raw]))
    means = [_bounded(scale * raw).mean() for scale in scales]
    return _weights(frequencies, raw * np.interp(1.0, means, scales))


def class_weights(frequencies: tuple[float, ...]) -> Weights:
    """Return weights for losses that consist of them, background first; None if all are 1.

    The weight of a foreground class is √(median foreground frequency / its own frequency), clipped
    to 0.5 … 3. The weight of the background is 1, because foreground sampling balances it against
    the foreground. The weight of a class that never occurs is 1.

    Source: square root of median-frequency balancing, Eigen & Fergus, ICCV 2015.
    """
    present = np.asarray([share for share in frequencies[1:] if share > 0])
    return _weights(frequencies, np.sqrt(np.median(present) / present))


Values = Float[np.ndarray, " classes"]


def _bounded(values: Values) -> Values:
    return np.asarray(values.clip(SMALLEST_WEIGHT, LARGEST_WEIGHT))


def _weights(frequencies: tuple[float, ...], values: Values) -> Weights:
    """Return bounded weights of all classes from values of the foreground classes that occur."""
    weights = np.ones(len(frequencies))
    is_present = np.asarray(frequencies) > 0
    is_present[0] = False
    weights[is_present] = _bounded(values).round(3)
    return EQUAL if (weights == 1.0).all() else tuple(weights.tolist())
