"""Expected calibration errors of probabilities that are right, and of some that are not."""

import numpy as np
import pytest

from autoseg.evaluation.metrics.ece import BINS, CalibrationError


def error_of(probabilities, truth):
    error = CalibrationError()
    error.add(np.asarray(probabilities, dtype=np.float32), np.asarray(truth, dtype=bool))
    return error.value()


def test_probabilities_that_come_true_as_often_as_they_say_have_no_error():
    random = np.random.default_rng(0)
    probabilities = random.random(200_000)
    assert error_of(probabilities, random.random(200_000) < probabilities) < 0.006


def test_an_error_by_hand():
    """Of four voxels at 0.9 three are true: off by 0.15; of six at 0.1 none is: off by 0.1."""
    found = error_of([0.9] * 4 + [0.1] * 6, [1, 1, 1, 0] + [0] * 6)
    assert found == pytest.approx(0.4 * 0.15 + 0.6 * 0.1)


def test_certainty_that_is_always_wrong_is_the_largest_error():
    assert error_of([0.0, 1.0], [1, 0]) == 1


def test_the_upper_end_of_a_bin_belongs_to_it():
    """In one bin the two would cancel; in the next, both errors count."""
    edge = np.float32(3 / BINS)
    assert error_of([edge, edge - 0.01], [0, 1]) == pytest.approx((1 - 2 * 3 / BINS + 0.01) / 2)


def test_blocks_add_up_and_certain_ones_need_no_array():
    random = np.random.default_rng(1)
    probabilities, truth = random.random(1000).astype(np.float32), random.random(1000) < 0.3
    probabilities[600:] = 0
    error = CalibrationError()
    error.add(probabilities[:250], truth[:250])
    error.add(probabilities[250:600], truth[250:600])
    error.add_certain(400, int(truth[600:].sum()))
    assert error.value() == pytest.approx(error_of(probabilities, truth))


def test_without_any_voxel_there_is_none():
    assert CalibrationError().value() is None
