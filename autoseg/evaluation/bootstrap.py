"""Bootstrap confidence intervals of means over cases.

The cases are resampled with replacement, each with the scores of all its classes. The mean of every
resample is computed, and the central 95 % of these means are the interval. A resample is skipped
for the mean over classes if it lacks all cases that define one of the classes.

Source: Efron & Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13: percentile
    intervals, from at least 1000 resamples.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from autoseg.documents.report import CaseScores, Report
from autoseg.documents.selection import Estimate

RESAMPLES = 2000
"""Number of resamples. With 2000, interval ends vary by a few percent of the interval's width."""

ENDS_PERCENT = (2.5, 97.5)
"""Percentiles of the resampled means that bound the 95 % interval."""

SEED = 0
"""Seed of the resampling: equal scores always give equal intervals."""

ScoreTable = Float[np.ndarray, "cases classes"]
"""Values of one metric; NaN where it is undefined."""

Draws = Integer[np.ndarray, "draws cases"]
"""Number of times that each draw contains each case."""


def score_table(report: Report, metric: str) -> ScoreTable:
    """Return the values of one metric for all cases and classes of a report."""
    return metric_table(report.cases, len(report.classes), metric)


def metric_table(cases: Sequence[CaseScores], num_classes: int, metric: str) -> ScoreTable:
    """Return the values of one metric as an array.

    Args:
        cases: Scored cases, all with the same classes.
        num_classes: Number of classes; needed when there are no cases.
        metric: Name of the metric.

    Returns:
        One row per case and one column per class; NaN where the metric is undefined.
    """
    rows = [[scores.metric(metric) for scores in case.classes] for case in cases]
    return np.array(rows, dtype=np.float64).reshape(len(cases), num_classes)


class Estimates(NamedTuple):
    """Means over cases, with intervals.

    Attributes:
        classes: Mean over cases of each class.
        overall: Mean over classes of these means.
    """

    classes: tuple[Estimate, ...]
    overall: Estimate


def estimates(scores: ScoreTable) -> Estimates:
    """Estimate the mean over cases of each class, and the mean over classes.

    A class that fewer than two cases define has no interval, and neither has the mean over classes
    then. There is no value if no case defines any class.
    """
    means, resampled = (_class_means(scores, draws) for draws in _draws(len(scores)))
    counts = np.count_nonzero(~np.isnan(scores), axis=0).tolist()
    classes = tuple(
        _estimate(means[:, place], resampled[:, place], count) for place, count in enumerate(counts)
    )
    mean, resampled_mean = (_over_classes(entry, scores) for entry in (means, resampled))
    return Estimates(classes, _estimate(mean, resampled_mean, fewest_cases(scores)))


def fewest_cases(scores: ScoreTable) -> int:
    """Return the smallest number of defining cases over the classes that any case defines."""
    counts = np.count_nonzero(~np.isnan(scores), axis=0)
    return int(counts[counts > 0].min(initial=len(scores))) if counts.any() else 0


def difference(first: ScoreTable, second: ScoreTable) -> Estimate:
    """Estimate the difference of two means, second minus first, by a paired bootstrap.

    Args:
        first: Scores of some cases.
        second: Scores of the same cases in the same order. Both are resampled together, so that
            cases that are hard for both do not widen the interval.
    """
    mean, resampled = (
        _over_classes(_class_means(second, draws), second)
        - _over_classes(_class_means(first, draws), first)
        for draws in _draws(len(first))
    )
    return _estimate(mean, resampled, min(fewest_cases(first), fewest_cases(second)))


def _estimate(
    mean: Float[np.ndarray, "1"], resampled: Float[np.ndarray, " draws"], num_cases: int
) -> Estimate:
    value = None if np.isnan(mean[0]) else float(mean[0])
    defined = resampled[~np.isnan(resampled)]
    if value is None or num_cases < 2 or not len(defined):
        return Estimate(value=value)
    low, high = np.percentile(defined, ENDS_PERCENT)
    return Estimate(value=value, low=float(low), high=float(high))


def _draws(num_cases: int) -> tuple[Integer[np.ndarray, "1 cases"], Draws]:
    """Return a draw that contains each case once, and the resamples."""
    once = np.ones((1, num_cases), dtype=np.int64)
    if not num_cases:
        return once, np.zeros((RESAMPLES, 0), dtype=np.int64)
    shares = np.full(num_cases, 1 / num_cases)
    return once, np.random.default_rng(SEED).multinomial(num_cases, shares, size=RESAMPLES)


def _class_means(scores: ScoreTable, draws: Draws) -> Float[np.ndarray, "draws classes"]:
    """Return the mean of each class in each draw; NaN where no drawn case defines it."""
    defined = ~np.isnan(scores)
    totals = draws @ np.where(defined, scores, 0.0)
    counts = draws @ defined.astype(np.float64)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


def _over_classes(
    means: Float[np.ndarray, "draws classes"], scores: ScoreTable
) -> Float[np.ndarray, " draws"]:
    """Return the mean over classes of each draw; NaN where it lacks a class that a case defines."""
    is_known = ~np.isnan(scores).all(axis=0)
    is_missing = np.isnan(means[:, is_known]).any(axis=1) | ~is_known.any()
    return np.where(is_missing, np.nan, np.nansum(means, axis=1) / max(1, is_known.sum()))
