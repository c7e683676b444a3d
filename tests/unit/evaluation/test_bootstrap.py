"""Intervals hold what they promise and leave undefined values out."""

import numpy as np
import pytest
from scipy import stats

from autoseg.documents.selection import Estimate
from autoseg.evaluation.bootstrap import difference, estimates, fewest_cases


def estimate(scores):
    return estimates(scores).overall


def test_an_interval_is_that_of_scipy():
    scores = np.random.default_rng(1).beta(8, 2, size=(30, 1))
    expected = stats.bootstrap(
        (scores[:, 0],), np.mean, method="percentile", n_resamples=20_000, rng=2
    ).confidence_interval
    found = estimate(scores)
    width = expected.high - expected.low
    assert found.value == pytest.approx(scores.mean())
    assert found.low == pytest.approx(expected.low, abs=0.06 * width)
    assert found.high == pytest.approx(expected.high, abs=0.06 * width)


def test_an_interval_holds_the_truth_in_about_95_percent_of_samples():
    random = np.random.default_rng(3)
    found = [estimate(random.normal(0.5, 0.1, size=(40, 2))) for _ in range(200)]
    hits = sum(entry.low <= 0.5 <= entry.high for entry in found)
    assert 0.89 <= hits / 200 <= 0.99


def test_equal_scores_give_equal_intervals():
    scores = np.random.default_rng(4).random((7, 3))
    assert estimate(scores) == estimate(scores.copy())


def test_every_class_weighs_the_same_however_many_cases_have_it():
    scores = np.array([[1.0, np.nan], [1.0, np.nan], [1.0, 0.0]])
    assert estimate(scores).value == pytest.approx(0.5)


def test_a_class_that_one_case_has_leaves_no_interval_of_the_mean_over_classes():
    """Draws without it would be means over the other classes, another quantity."""
    scores = np.array([[1.0, np.nan], [1.0, np.nan], [1.0, 0.0]])
    found = estimates(scores)
    assert found.overall == Estimate(value=0.5)
    assert (found.classes[0].low, found.classes[0].high) == (1.0, 1.0)


def test_draws_without_a_rare_class_do_not_count():
    scores = np.full((20, 2), np.nan)
    scores[:, 0], scores[:2, 1] = 0.95, (0.3, 0.4)
    found = estimate(scores)
    assert found.value == pytest.approx(0.65)
    assert found.low == pytest.approx(0.625)
    assert found.high == pytest.approx(0.675)


def test_a_gain_that_rests_on_one_case_has_no_interval():
    first = np.full((8, 2), np.nan)
    first[:, 0], first[3, 1] = 0.9, 0.5
    second = first.copy()
    second[3, 1] = 0.54
    found = difference(first, second)
    assert found.value == pytest.approx(0.02)
    assert found.low is found.high is None
    assert fewest_cases(first) == 1


@pytest.mark.parametrize("shape", [(1, 2), (3, 1)])
def test_what_is_nowhere_defined_has_neither_value_nor_interval(shape):
    assert estimate(np.full(shape, np.nan)) == Estimate(value=None)


def test_no_case_gives_no_value():
    assert estimate(np.zeros((0, 2))) == Estimate(value=None)


def test_one_case_has_a_value_without_an_interval():
    assert estimate(np.array([[0.25, 0.75]])) == Estimate(value=0.5)


def test_a_difference_is_drawn_in_pairs():
    """What makes cases hard for both leaves the difference narrow."""
    hardness = np.random.default_rng(5).random((20, 1))
    found = difference(hardness, hardness + 0.01)
    assert found.value == pytest.approx(0.01)
    assert found.low == pytest.approx(0.01)
    assert found.high == pytest.approx(0.01)


def test_a_difference_is_positive_where_the_second_is_larger():
    assert difference(np.array([[0.1], [0.2]]), np.array([[0.4], [0.5]])).value > 0


def test_each_class_has_the_interval_that_it_would_have_alone():
    scores = np.random.default_rng(6).random((12, 3))
    found = estimates(scores)
    for place, entry in enumerate(found.classes):
        alone = estimate(scores[:, [place]])
        assert entry.model_dump() == pytest.approx(alone.model_dump())
    assert found.overall == estimate(scores)


def test_a_class_of_a_single_case_has_no_interval():
    scores = np.array([[0.1, 0.5], [0.3, np.nan], [0.5, np.nan]])
    first, second = estimates(scores).classes
    assert second == Estimate(value=0.5)
    assert first.low < first.value < first.high
