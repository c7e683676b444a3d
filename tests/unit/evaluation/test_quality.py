"""Expected Dice rises with agreement, and its error is that on unseen cases."""

import numpy as np
import pytest

from autoseg.evaluation.quality import FEWEST_CASES, FEWEST_FOR_STEPS, quality_curve

MANY = np.linspace(0.5, 1.0, FEWEST_FOR_STEPS)
FEW = np.linspace(0.5, 1.0, FEWEST_CASES)


def curve(agreements, dice):
    return quality_curve("organ", [float(a) for a in agreements], [float(d) for d in dice])


def test_few_cases_give_a_straight_line():
    found = curve(FEW, 2 * FEW - 1)
    assert found.expected_dice(0.6) == pytest.approx(0.2)
    assert found.expected_dice(0.0) == pytest.approx(0.0)
    assert found.cases == FEWEST_CASES


def test_many_cases_give_any_rising_curve():
    found = curve(MANY, MANY**4)
    assert found.expected_dice(MANY[7]) == pytest.approx(MANY[7] ** 4)
    assert found.error < 0.03


@pytest.mark.parametrize("agreements", [FEW, MANY], ids=["few", "many"])
def test_expected_dice_never_falls_as_agreement_rises(agreements):
    noisy = np.clip(agreements + np.random.default_rng(0).normal(0, 0.2, len(agreements)), 0, 1)
    found = [curve(agreements, noisy).expected_dice(at) for at in np.linspace(0, 1, 50)]
    assert np.all(np.diff(found) >= -1e-12)
    assert 0 <= min(found) <= max(found) <= 1


@pytest.mark.parametrize("agreements", [FEW, MANY], ids=["few", "many"])
def test_where_agreement_tells_nothing_the_mean_is_expected(agreements):
    found = curve(agreements, 1 - agreements)
    mean = float((1 - agreements).mean())
    assert found.expected_dice(0.55) == pytest.approx(mean)
    assert found.expected_dice(0.95) == pytest.approx(mean)


def test_the_error_is_that_on_cases_left_out():
    rough = [0.2, 0.9, 0.3, 0.8, 0.4]
    found = curve([0.9] * 5, rough)
    left_out = [abs(np.mean(rough[:i] + rough[i + 1 :]) - rough[i]) for i in range(5)]
    assert found.error == pytest.approx(np.mean(left_out))
    assert found.expected_dice(0.1) == pytest.approx(np.mean(rough))


def test_equal_agreements_share_a_value():
    found = curve([0.8] * 15 + [0.9] * 15, [0.4, 0.5, 0.6] * 5 + [0.8] * 15)
    assert found.agreements == (0.8, 0.9)
    assert found.dice == pytest.approx((0.5, 0.8))


def test_cases_without_agreement_or_dice_are_left_out_and_too_few_give_no_curve():
    agreements = [*FEW.tolist(), None, 0.7]
    dice = [*FEW.tolist(), 0.1, None]
    assert quality_curve("organ", agreements, dice).cases == FEWEST_CASES
    assert quality_curve("organ", agreements[1:], dice[1:]) is None


def test_the_mean_is_expected_where_the_curve_errs_more_than_it():
    random = np.random.default_rng(1)
    found = quality_curve("organ", random.random(40).tolist(), random.random(40).tolist())
    assert len(found.dice) == 1
