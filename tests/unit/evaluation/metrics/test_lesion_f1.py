"""Which components are found, missed and false, by hand and by counting one after the other."""

import numpy as np
import pytest
from scipy import ndimage

from autoseg.evaluation.comparison import Comparison
from autoseg.evaluation.metrics.lesion_f1 import LesionF1


def lesion_f1(prediction, reference):
    shape = reference.shape
    return LesionF1().compute(Comparison(prediction, reference, (1.0,) * len(shape), 1.0, shape))


def mask(text):
    return np.array([[letter == "x" for letter in row] for row in text.split()])


def test_two_found_one_missed_and_one_false():
    """Any common voxel finds a lesion."""
    reference = mask("xx..x..x ........ ........")
    prediction = mask(".x..x... ........ ...xx...")
    assert lesion_f1(prediction, reference) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))


def test_corners_connect():
    corner = mask("x... .x.. .... ...x")
    assert lesion_f1(mask("x... .... .... ...."), corner) == pytest.approx(2 / (2 + 1))


def test_one_prediction_over_two_lesions_finds_both():
    assert lesion_f1(mask("xxxxx"), mask("x...x")) == 1


def test_pieces_of_one_lesion_are_not_false():
    assert lesion_f1(mask("x.x.x"), mask("xxxxx")) == 1


@pytest.mark.parametrize("empty", [0, 1])
def test_an_empty_mask_finds_nothing(empty):
    masks = [mask("x.x"), mask("x.x")]
    masks[empty] = mask("...")
    assert lesion_f1(*masks) == 0


@pytest.mark.parametrize("shape", [(14, 15), (8, 9, 10)])
def test_counting_every_component_by_itself_gives_the_same(shape):
    random = np.random.default_rng(0)
    prediction, reference = (random.random(shape) < 0.06 for _ in range(2))
    near = ndimage.generate_binary_structure(len(shape), len(shape))

    def each(of):
        labelled, count = ndimage.label(of, structure=near)
        return [labelled == number for number in range(1, count + 1)]

    found = sum(bool((one & prediction).any()) for one in each(reference))
    missed = len(each(reference)) - found
    false = sum(not (one & reference).any() for one in each(prediction))
    assert min(found, missed, false) > 0
    expected = 2 * found / (2 * found + missed + false)
    assert lesion_f1(prediction, reference) == pytest.approx(expected)
