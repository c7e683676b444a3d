"""How far a mean over cases may be off: bootstrap confidence intervals.

The cases are drawn again and again, with replacement and all their classes together, and the mean
is taken of each draw; the middle 95 % of these means are the interval. A draw in which a class has
no score, though some case has one, says nothing about the mean over all classes and is left out.

Source: Efron & Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13: percentile
    intervals, from at least 1000 resamples.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from autoseg.documents.report import CaseScores, MetricName, Report
from autoseg.documents.selection import Estimate

RESAMPLES = 2000
"""Draws of the cases: the ends of an interval then vary by a few percent of its width."""

ENDS_PERCENT = (2.5, 97.5)
"""Percentiles of the resampled means between which 95 % of them lie."""

SEED = 0
"""Of the draws: equal scores give equal intervals."""

ScoreTable = Float[np.ndarray, "cases classes"]
"""One metric; NaN where it is not defined."""


def score_table(report: Report, metric: MetricName) -> ScoreTable:
    """Return one metric of every case and class; NaN where it is not defined."""
    return metric_table(report.cases, len(report.classes), metric)


def metric_table(cases: Sequence[CaseScores], num_classes: int, metric: MetricName) -> ScoreTable:
    """Return one metric of scored cases; NaN where it is not defined."""
    rows = [[scores.metric(metric) for scores in case.classes] for case in cases]
    return np.array(rows, dtype=np.float64).reshape(len(cases), num_classes)


class Estimates(NamedTuple):
    """Means over cases.

    Attributes:
        classes: Of every class.
        overall: The mean over classes of these.
    """

    classes: tuple[Estimate, ...]
    overall: Estimate


def estimate(scores: ScoreTable) -> Estimate:
    """Return the mean over classes of the mean over cases, with its interval.

    Without at least two cases that define each class, or where nothing is defined, there is none.
    """
    return estimates(scores).overall


def estimates(scores: ScoreTable) -> Estimates:
    """Return the mean over cases of every class and the mean of these, with their intervals.

    A class that fewer than two cases define has no interval.
    """
    every, draws = np.ones((1, len(scores)), dtype=np.int64), _draws(len(scores))
    means, resampled = _class_means(scores, every), _class_means(scores, draws)
    counts = np.count_nonzero(~np.isnan(scores), axis=0).tolist()
    classes = tuple(
        _estimate(means[:, place], resampled[:, place], count) for place, count in enumerate(counts)
    )
    overall = _estimate(_over_classes(means), _over_all(resampled, scores), fewest_cases(scores))
    return Estimates(classes, overall)


def fewest_cases(scores: ScoreTable) -> int:
    """Return how many cases define the class that the fewest do, of those that any does."""
    counts = np.count_nonzero(~np.isnan(scores), axis=0)
    return int(counts[counts > 0].min(initial=len(scores))) if counts.any() else 0


def difference(first: ScoreTable, second: ScoreTable) -> Estimate:
    """Return by how much the second mean is larger than the first, with its interval.

    Args:
        first: Scores of some cases.
        second: Scores of the same cases in the same order: both are drawn together, so that what
            makes a case hard for both does not widen the interval.
    """
    every, draws = np.ones((1, len(first)), dtype=np.int64), _draws(len(first))
    means = [_over_classes(_class_means(scores, every)) for scores in (first, second)]
    resampled = [_over_all(_class_means(scores, draws), scores) for scores in (first, second)]
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


def _draws(num_cases: int) -> Integer[np.ndarray, "draws cases"]:
    """Return how often each draw holds each case."""
    if not num_cases:
        return np.zeros((RESAMPLES, 0), dtype=np.int64)
    shares = np.full(num_cases, 1 / num_cases)
    return np.random.default_rng(SEED).multinomial(num_cases, shares, size=RESAMPLES)


def _class_means(
    scores: ScoreTable, draws: Integer[np.ndarray, "draws cases"]
) -> Float[np.ndarray, "draws classes"]:
    """Return the mean over drawn cases of each class; NaN where nothing is defined."""
    defined = ~np.isnan(scores)
    totals = draws @ np.where(defined, scores, 0.0)
    counts = draws @ defined.astype(np.float64)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


def _over_all(
    means: Float[np.ndarray, "draws classes"], scores: ScoreTable
) -> Float[np.ndarray, " draws"]:
    """Return the mean over classes of each draw; NaN where one is missing that some case has."""
    is_known = ~np.isnan(scores).all(axis=0)
    is_missing = np.isnan(means[:, is_known]).any(axis=1)
    return np.where(is_missing, np.nan, _over_classes(means))


def _over_classes(means: Float[np.ndarray, "draws classes"]) -> Float[np.ndarray, " draws"]:
    """Return the mean of those classes that have one; NaN where none has."""
    has_class = ~np.isnan(means)
    sums, numbers = np.where(has_class, means, 0.0).sum(axis=1), has_class.sum(axis=1)
    return np.where(numbers > 0, sums / np.maximum(numbers, 1), np.nan)
