"""Fit curves from TTA consistency (agreement) to the expected Dice, by cross-validation."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from jaxtyping import Float
from scipy.optimize import isotonic_regression

from autoseg.documents.quality import QualityCurve

FEWEST_CASES = 5
"""No curve is fitted to fewer held-out cases with the class: any line would fit."""

FEWEST_FOR_STEPS = 20
"""Number of cases from which on the curve is isotonic; with fewer cases it is a rising line."""

Column = Float[np.ndarray, " cases"]
Points = Float[np.ndarray, " points"]


def quality_curve(
    name: str, agreements: Sequence[float | None], dice: Sequence[float | None]
) -> QualityCurve | None:
    """Fit the expected Dice of one target as a function of the agreement.

    The expected Dice never falls as the agreement rises. The error of the curve is its
    leave-one-out error. If the mean Dice has an equal or lower leave-one-out error, the curve is
    this constant.

    Args:
        name: Name of the target.
        agreements: Agreement of each held-out case; None where unknown.
        dice: Dice of the same cases; None where undefined.

    Returns:
        The curve, or None if there are fewer than `FEWEST_CASES` cases with both values.

    Source: Barlow et al., "Statistical Inference under Order Restrictions" (1972), for isotonic
        regression.
    """
    known = [
        (a, d) for a, d in zip(agreements, dice, strict=True) if a is not None and d is not None
    ]
    if len(known) < FEWEST_CASES:
        return None
    x, y = np.array(sorted(known), dtype=np.float64).T
    fit = partial(_fit_curve, is_straight=len(x) < FEWEST_FOR_STEPS)
    curves = (fit(np.delete(x, left), np.delete(y, left)) for left in range(len(x)))
    expected = [np.interp(at, *curve) for at, curve in zip(x, curves, strict=True)]
    error = float(np.abs(np.array(expected) - y).mean())
    error_of_mean = float(np.abs((y.sum() - y) / (len(y) - 1) - y).mean())
    points, values = fit(x, y)
    if error_of_mean <= error:
        points, values, error = x[:1], np.array([y.mean()]), error_of_mean
    return QualityCurve(
        name=name,
        agreements=tuple(points.tolist()),
        dice=tuple(values.tolist()),
        error=error,
        cases=len(x),
    )


def _fit_curve(x: Column, y: Column, *, is_straight: bool) -> tuple[Points, Points]:
    """Fit a rising line, or an isotonic curve, to the Dice `y` at ascending agreements `x`.

    Returns points to interpolate between. The curve is constant beyond them.
    """
    if not is_straight:
        points, inverse = np.unique(x, return_inverse=True)
        counts = np.bincount(inverse)
        means = np.bincount(inverse, weights=y) / counts
        return points, np.clip(isotonic_regression(means, weights=counts).x, 0.0, 1.0)
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread if spread else 0.0
    ends = np.unique(x[[0, -1]])
    return ends, np.clip(y.mean() + max(0.0, slope) * (ends - x.mean()), 0.0, 1.0)
