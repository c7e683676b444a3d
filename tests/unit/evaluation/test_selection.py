"""The best of equals is the simplest, and a pair has to be better beyond noise."""

import numpy as np
import pytest

from autoseg.documents.report import ClassScores
from autoseg.evaluation.cases import ScoredCase
from autoseg.evaluation.selection import FEWEST_CASES, ScoredCandidate, choose, leaderboard
from autoseg.evaluation.summary import build_report


def class_scores(dice):
    return ClassScores(
        dice=dice,
        iou=dice,
        hd95_mm=None if not dice else 10 * (1 - dice),
        assd_mm=None,
        nsd=dice,
        reference_voxels=9,
        predicted_voxels=9,
    )


def report(rows):
    """Return the report on cases with these Dice, one list per case, one entry per class."""
    return build_report(
        ScoredCase(
            name=f"case_{index:02d}",
            tolerance_mm=1.0,
            values=tuple(range(1, len(row) + 1)),
            scores=tuple(class_scores(dice) for dice in row),
        )
        for index, row in enumerate(rows)
    )


def candidate(name, dice, seconds=None):
    """Return a candidate; members are joined with `+`, and a number stands for a class's Dice."""
    rows = [row if isinstance(row, list) else [row] for row in dice]
    return ScoredCandidate(tuple(name.split("+")), report(rows), seconds, memory_gib=1.0)


HARDNESS = np.random.default_rng(0).uniform(0.6, 0.9, size=20)
NOISE = np.random.default_rng(1).normal(0, 0.03, size=20)


def test_the_best_single_configuration_wins():
    choice = choose([candidate("2d", HARDNESS), candidate("3d", HARDNESS + 0.05)])
    assert choice.candidate.name == "3d"
    assert "20 scored cases" in choice.reason
    assert f"{HARDNESS.mean():.3f}" in choice.reason


def test_a_pair_that_is_better_on_all_cases_wins():
    gain = 0.01 + 0.3 * NOISE
    choice = choose([candidate("2d", HARDNESS), candidate("2d+3d", HARDNESS + gain)])
    assert choice.candidate.members == ("2d", "3d")
    assert f"{gain.mean():+.3f} (95 % interval +0.0" in choice.reason


def test_a_pair_whose_gain_may_be_noise_loses():
    gain = NOISE - NOISE.mean() + 0.005
    choice = choose([candidate("2d", HARDNESS), candidate("2d+3d", HARDNESS + gain)])
    assert choice.candidate.name == "2d"
    assert "+0.005 (95 % interval -0.0" in choice.reason
    assert "may be noise" in choice.reason


def test_a_pair_that_gains_too_little_loses_however_sure_the_gain_is():
    choice = choose([candidate("2d", HARDNESS), candidate("2d+3d", HARDNESS + 0.0005)])
    assert choice.candidate.name == "2d"
    assert "no pair is better" in choice.reason


def test_a_pair_beyond_noise_wins_over_a_better_one_that_may_be_noise():
    sure = candidate("2d+3d", HARDNESS + 0.004)
    unsure = candidate("2d+low", HARDNESS + NOISE - NOISE.mean() + 0.005)
    assert choose([candidate("2d", HARDNESS), unsure, sure]).candidate is sure


def test_few_cases_never_speak_for_a_pair():
    few = HARDNESS[: FEWEST_CASES - 1]
    choice = choose([candidate("2d", few), candidate("2d+3d", few + 0.05)])
    assert choice.candidate.name == "2d"
    assert f"fewer than {FEWEST_CASES} cases" in choice.reason
    enough = HARDNESS[:FEWEST_CASES]
    choice = choose([candidate("2d", enough), candidate("2d+3d", enough + 0.05)])
    assert choice.candidate.name == "2d + 3d"


def test_of_equal_configurations_the_faster_one_is_chosen():
    slow, fast = candidate("3d", HARDNESS + 0.0005, 9.0), candidate("2d", HARDNESS, 2.0)
    choice = choose([slow, fast])
    assert choice.candidate is fast
    assert "2 against 9 s per case" in choice.reason


def test_of_equal_configurations_without_known_times_the_better_one_is_chosen():
    better = candidate("3d", HARDNESS + 0.0005)
    assert choose([candidate("2d", HARDNESS), better]).candidate is better


def test_a_configuration_that_is_clearly_worse_is_not_chosen_for_its_speed():
    slow, fast = candidate("3d", HARDNESS + 0.002, 9.0), candidate("2d", HARDNESS, 2.0)
    assert choose([slow, fast]).candidate is slow


def test_a_pair_is_compared_with_the_best_single_not_with_the_faster_equal():
    slow, fast = candidate("3d", HARDNESS + 0.0009, 9.0), candidate("2d", HARDNESS, 2.0)
    pair = candidate("2d+3d", HARDNESS + 0.0015, 11.0)
    assert choose([slow, fast, pair]).candidate is fast


def test_the_only_configuration_is_chosen_and_called_so():
    choice = choose([candidate("2d", HARDNESS)])
    assert choice.candidate.name == "2d"
    assert "only configuration to compare" in choice.reason


def test_absent_classes_count_in_no_mean():
    rows = [[float(value), None] for value in HARDNESS]
    rows[0][1] = 0.5
    (entry,) = leaderboard([candidate("2d", rows)])
    assert entry.dice.value == pytest.approx((HARDNESS.mean() + 0.5) / 2)


def test_contenders_without_any_dice_are_still_chosen_from():
    choice = choose([candidate("2d", [None, None], 1.0), candidate("3d", [None, None], 2.0)])
    assert choice.candidate.name == "2d"
    assert "undefined" in choice.reason
    assert leaderboard([choice.candidate])[0].dice.value is None


def test_the_leaderboard_begins_with_the_best_and_of_equals_with_the_simpler():
    entries = leaderboard(
        [
            candidate("2d+3d", HARDNESS, 3.0),
            candidate("low", HARDNESS - 0.1, 1.0),
            candidate("3d", HARDNESS, 2.0),
            candidate("2d", HARDNESS, 1.0),
        ]
    )
    assert [entry.name for entry in entries] == ["2d", "3d", "2d + 3d", "low"]
    first = entries[0]
    assert first.dice.low < first.dice.value < first.dice.high
    assert first.hd95_mm.value == pytest.approx(10 * (1 - HARDNESS.mean()))
    assert (first.seconds_per_case, first.memory_gib) == (1.0, 1.0)
