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


def estimate(scores: ScoreTable) -> Estimate:
    """Estimate the mean over classes of the mean over cases.

    The estimate has no interval if fewer than two cases define one of the classes, and no value
    if no case defines any class.
    """
    return estimates(scores).overall


def estimates(scores: ScoreTable) -> Estimates:
    """Estimate the mean over cases of each class, and the mean over classes.

    A class that fewer than two cases define has no interval.
    """
    every, draws = np.ones((1, len(scores)), dtype=np.int64), _resample_counts(len(scores))
    means, resampled = _class_means(scores, every), _class_means(scores, draws)
    counts = np.count_nonzero(~np.isnan(scores), axis=0).tolist()
    classes = tuple(
        _estimate(means[:, place], resampled[:, place], count) for place, count in enumerate(counts)
    )
    overall = _estimate(
        _over_defined_classes(means), _over_all_classes(resampled, scores), fewest_cases(scores)
    )
    return Estimates(classes, overall)


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
    every, draws = np.ones((1, len(first)), dtype=np.int64), _resample_counts(len(first))
    means = [_over_defined_classes(_class_means(scores, every)) for scores in (first, second)]
    resampled = [
        _over_all_classes(_class_means(scores, draws), scores) for scores in (first, second)
    ]
    count = min(fewest_cases(first), fewest_cases(second))
    return _estimate(means[1] - means[0], resampled[1] - resampled[0], count)


def _estimate(
    mean: Float[np.ndarray, "1"], resampled: Float[np.ndarray, " draws"], num_cases: int
) -> Estimate:
    value = None if np.isnan(mean[0]) else float(mean[0])
    defined = resampled[~np.isnan(resampled)]
    if value is None or num_cases < 2 or not len(defined):
        return Estimate(value=value)
    low, high = np.percentile(defined, ENDS_PERCENT)
    return Estimate(value=value, low=float(low), high=float(high))


def _resample_counts(num_cases: int) -> Integer[np.ndarray, "draws cases"]:
    """Return the number of times that each resample contains each case."""
    if not num_cases:
        return np.zeros((RESAMPLES, 0), dtype=np.int64)
    shares = np.full(num_cases, 1 / num_cases)
    return np.random.default_rng(SEED).multinomial(num_cases, shares, size=RESAMPLES)


def _class_means(
    scores: ScoreTable, draws: Integer[np.ndarray, "draws cases"]
) -> Float[np.ndarray, "draws classes"]:
    """Return the mean of each class in each resample; NaN where no drawn case defines it."""
    defined = ~np.isnan(scores)
    totals = draws @ np.where(defined, scores, 0.0)
    counts = draws @ defined.astype(np.float64)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


def _over_all_classes(
    means: Float[np.ndarray, "draws classes"], scores: ScoreTable
) -> Float[np.ndarray, " draws"]:
    """Return the mean over classes of each resample; NaN where it lacks a defined class."""
    is_known = ~np.isnan(scores).all(axis=0)
    is_missing = np.isnan(means[:, is_known]).any(axis=1)
    return np.where(is_missing, np.nan, _over_defined_classes(means))


def _over_defined_classes(means: Float[np.ndarray, "draws classes"]) -> Float[np.ndarray, " draws"]:
    """Return the mean over the classes that are not NaN; NaN if all are."""
    has_class = ~np.isnan(means)
    sums, numbers = np.where(has_class, means, 0.0).sum(axis=1), has_class.sum(axis=1)
    return np.where(numbers > 0, sums / np.maximum(numbers, 1), np.nan)
