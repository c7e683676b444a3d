"""The order of unlabelled images: uncertain, and unlike what is known."""

import numpy as np
import pytest

from autoseg.core.labels import Region
from autoseg.evaluation.ranking import flip_disagreement, fold_disagreement, order_by_gain

TARGETS = (Region(name="a", values=(1,), written_as=1), Region(name="b", values=(2,), written_as=2))


def unit(*values: float) -> np.ndarray:
    return np.array(values) / np.linalg.norm(values)


def test_folds_that_agree_have_no_disagreement():
    values = np.array([[0, 1], [2, 2]])
    assert fold_disagreement([values, values, values], TARGETS) == 0


def test_disagreement_is_one_minus_the_mean_dice_of_pairs():
    one, other = np.array([1, 1, 0, 0]), np.array([0, 1, 1, 0])
    assert fold_disagreement([one, other], TARGETS) == pytest.approx(0.5)
    assert fold_disagreement([one, other, other], TARGETS) == pytest.approx(1 / 3)


def test_a_target_that_only_one_fold_finds_is_a_whole_disagreement():
    assert fold_disagreement([np.array([1, 0]), np.array([0, 0])], TARGETS) == 1


def test_targets_that_no_fold_finds_do_not_count():
    assert fold_disagreement([np.zeros(3, int)] * 2, TARGETS) == 0
    assert fold_disagreement([np.zeros(3, int)], TARGETS) is None


def test_disagreement_of_flips_ignores_unknown_targets():
    assert flip_disagreement([(0.9, None), (0.7, None)]) == pytest.approx(0.2)
    assert flip_disagreement([(None,)]) is None


def test_of_two_equal_images_one_is_chosen_early_and_the_other_last():
    features = np.stack([unit(1, 0, 0), unit(1, 0, 0), unit(0, 1, 0)])
    order = order_by_gain(np.array([0.5, 0.4, 0.1]), features, np.zeros((0, 3)))
    assert [index for index, _, _ in order] == [0, 2, 1]


def test_an_image_like_a_labelled_one_is_not_new():
    features = np.stack([unit(1, 0.05, 0), unit(0, 1, 0)])
    order = order_by_gain(np.array([0.5, 0.2]), features, unit(1, 0, 0)[None])
    assert order[0][0] == 1
    assert order[1][2] < 0.01


def test_the_more_uncertain_of_equally_new_images_is_first():
    features = np.stack([unit(1, 0, 0), unit(0, 1, 0), unit(0, 0, 1)])
    order = order_by_gain(np.array([0.1, 0.3, 0.2]), features, np.zeros((0, 3)))
    assert [index for index, _, _ in order] == [1, 2, 0]
    assert order[0][1] == pytest.approx(0.3)
