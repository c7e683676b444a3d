"""Find values far from those of the other cases."""

from collections.abc import Sequence

import numpy as np

LARGEST_SCORE = 3.5
"""Largest modified z-score of usual values.

Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993."""

SCALE, MEAN_SCALE = 0.6745, 0.7979
"""Ratios of the median and of the mean absolute deviation to the standard deviation of a normal
distribution."""

FEWEST = 8
"""Fewest values among which outliers are looked for."""


def outlier_scores(values: Sequence[float | None]) -> tuple[float, ...]:
    """Return the modified z-score of each value; 0 for None, or with too few values.

    The mean absolute deviation is used if more than half of the values are equal.
    """
    known = np.array([value for value in values if value is not None], np.float64)
    if known.size < FEWEST:
        return (0.0,) * len(values)
    median = float(np.median(known))
    deviations = np.abs(known - median)
    spread = float(np.median(deviations)) / SCALE or float(deviations.mean()) / MEAN_SCALE
    if spread == 0:
        return (0.0,) * len(values)
    return tuple(0.0 if value is None else (value - median) / spread for value in values)


def outliers(names: Sequence[str], values: Sequence[float | None]) -> dict[str, float]:
    """Return the names of the outliers with their scores, the furthest first."""
    scores = zip(names, outlier_scores(values), strict=True)
    found = [(name, score) for name, score in scores if abs(score) > LARGEST_SCORE]
    return dict(sorted(found, key=lambda entry: -abs(entry[1])))
