"""clDice of tubes whose centre lines are known."""

import numpy as np
import pytest

from autoseg.evaluation.comparison import Comparison
from autoseg.evaluation.metrics.cldice import CentreLineDice


def centre_line_dice(prediction, reference):
    shape = reference.shape
    pair = Comparison(prediction, reference, (1.0,) * len(shape), 1.0, shape)
    return CentreLineDice().compute(pair)


def tube(stop, width=5):
    """Return a straight tube from column 4 on, seven high at most, about row 10."""
    mask = np.zeros((21, 60), dtype=bool)
    mask[10 - width // 2 : 11 + width // 2, 4:stop] = True
    return mask


def test_equal_tubes_agree():
    assert centre_line_dice(tube(54), tube(54)) == 1


def test_the_width_of_a_tube_does_not_matter():
    wide, narrow = tube(54, width=7), tube(54, width=3)
    assert centre_line_dice(narrow, wide) == pytest.approx(1, abs=0.05)
    dice = 2 * (narrow & wide).sum() / (narrow.sum() + wide.sum())
    assert dice < 0.65


def test_half_a_vessel_is_half_of_the_line():
    """All that is predicted is right; of the true line, 25 of 50 voxels are found."""
    found = centre_line_dice(tube(29, width=1), tube(54, width=1))
    assert found == pytest.approx(2 * 1 * 0.5 / 1.5)


def test_a_gap_costs_little_of_a_line_of_two_dimensions_or_three():
    broken = tube(54, width=1)
    broken[:, 20:25] = False
    expected = 2 * 1 * 0.9 / 1.9
    assert centre_line_dice(broken, tube(54, width=1)) == pytest.approx(expected)
    volumes = (np.stack([np.zeros_like(one), one]) for one in (broken, tube(54, width=1)))
    assert centre_line_dice(*volumes) == pytest.approx(expected)


def test_lines_apart_have_nothing_in_common():
    assert centre_line_dice(np.roll(tube(54), 10, axis=0), tube(54)) == 0


@pytest.mark.parametrize("empty", [0, 1])
def test_an_empty_mask_gives_zero(empty):
    masks = [tube(54), tube(54)]
    masks[empty] = np.zeros_like(masks[empty])
    assert centre_line_dice(*masks) == 0


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 2), (4, 4), (1, 1, 1), (2, 2, 2), (3, 3, 3)])
def test_the_smallest_objects_have_a_line_too(shape):
    mask = np.pad(np.ones(shape, dtype=bool), 1)
    assert centre_line_dice(mask, mask) == 1
    assert centre_line_dice(mask[(slice(1, -1),) * len(shape)], np.ones(shape, dtype=bool)) == 1
