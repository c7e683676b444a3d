"""Interpolation and argmax of a block in reused buffers equal those of plain arrays."""

from itertools import product

import numpy as np
import pytest
from resampled import resampled

from autoseg.inference.interpolation import BlockInterpolation, RunningArgmax
from autoseg.preprocessing.interpolation import axis_sampling

SOURCE = (4, 6, 5)


@pytest.mark.parametrize("orders", list(product((0, 1), repeat=3)))
@pytest.mark.parametrize("target", [(4, 6, 5), (9, 6, 5), (4, 11, 5), (4, 6, 12), (3, 13, 4)])
def test_a_block_has_the_bits_of_axis_after_axis(orders, target):
    pieces = tuple(
        axis_sampling(source, size, order=order)
        for source, size, order in zip(SOURCE, target, orders, strict=True)
    )
    interpolate = BlockInterpolation(pieces, SOURCE)
    assert interpolate.shape == target
    random = np.random.default_rng(0)
    for _ in range(2):  # the second time in used memory
        values = random.standard_normal(SOURCE).astype(np.float32)
        expected = values
        for axis in (2, 1, 0):
            expected = resampled(expected, pieces[axis], axis)
        np.testing.assert_array_equal(interpolate(values.copy()), expected)


@pytest.mark.parametrize("num_classes", [2, 7, 256, 300])
def test_winners_are_the_first_of_the_highest(num_classes):
    random = np.random.default_rng(0)
    scores = random.integers(-3, 3, (num_classes, 3, 5, 7)).astype(np.float32)
    winners = RunningArgmax(scores[0], np.dtype(np.uint8 if num_classes <= 256 else np.uint16))
    for index in range(1, num_classes):
        winners.update(index, scores[index])
        assert winners.lowest == scores[: index + 1].max(axis=0).min()
    np.testing.assert_array_equal(winners.classes, scores.argmax(axis=0))


def test_a_block_that_keeps_its_shape_is_not_copied():
    values = np.ones(SOURCE, np.float32)
    same = tuple(axis_sampling(size, size, order=1) for size in SOURCE)
    assert BlockInterpolation(same, SOURCE)(values) is values


def test_the_first_scores_stay_as_they_are():
    first = np.zeros((1, 2, 2), np.float32)
    RunningArgmax(first, np.dtype(np.uint8)).update(1, first + 1)
    assert not first.any()
