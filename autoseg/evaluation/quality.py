"""Turn how far networks agree with themselves into the Dice to expect, by the cross-validation."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from jaxtyping import Float
from scipy.optimize import isotonic_regression

from autoseg.documents.quality import QualityCurve

FEWEST_CASES = 5
"""With fewer held-out cases that have the class there is no curve: any line would fit."""

FEWEST_FOR_STEPS = 20
"""From here on the curve is any rising one; with fewer cases a rising straight line."""

Column = Float[np.ndarray, " cases"]
Points = Float[np.ndarray, " points"]


def quality_curve(
    name: str, agreements: Sequence[float | None], dice: Sequence[float | None]
) -> QualityCurve | None:
    """Return the Dice to expect of one target at any agreement; None with too few cases.

    Dice never falls as agreement rises. The error is that of cases which the curve was fitted
    without (leave one out). Where the mean Dice errs no more than that, it is the curve.

    Args:
        name: Of the target.
        agreements: Of each held-out case; None where there is none.
        dice: Of the same cases; None where it is not defined.

    Source: Barlow et al., "Statistical Inference under Order Restrictions" (1972), for the rising
        curve of least squares.
    """
    known = [
        (a, d) for a, d in zip(agreements, dice, strict=True) if a is not None and d is not None
    ]
    if len(known) < FEWEST_CASES:
        return None
    x, y = np.array(sorted(known), dtype=np.float64).T
    fitted = partial(_fitted, is_straight=len(x) < FEWEST_FOR_STEPS)
    curves = (fitted(np.delete(x, left), np.delete(y, left)) for left in range(len(x)))
    expected = [np.interp(at, *curve) for at, curve in zip(x, curves, strict=True)]
    error = float(np.abs(np.array(expected) - y).mean())
    error_of_mean = float(np.abs((y.sum() - y) / (len(y) - 1) - y).mean())
    points, values = fitted(x, y)
    if error_of_mean <= error:
        points, values, error = x[:1], np.array([y.mean()]), error_of_mean
    return QualityCurve(
        name=name,
        agreements=tuple(points.tolist()),
        dice=tuple(values.tolist()),
        error=error,
        cases=len(x),
    )


def _fitted(x: Column, y: Column, *, is_straight: bool) -> tuple[Points, Points]:
    """Return a rising curve as points to interpolate between; beyond them it is level.

    Args:
        x: Agreements, ascending.
        y: Dice.
        is_straight: Whether the curve has to be a line.
    """
    if not is_straight:
        points, inverse = np.unique(x, return_inverse=True)
        counts = np.bincount(inverse)
        means = np.bincount(inverse, weights=y) / counts
        return points, np.clip(isotonic_regression(means, weights=counts).x, 0.0, 1.0)
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread if spread else 0.0
    ends = np.array([x[0], x[-1]]) if x[0] < x[-1] else x[:1]
    return ends, np.clip(y.mean() + max(0.0, slope) * (ends - x.mean()), 0.0, 1.0)
