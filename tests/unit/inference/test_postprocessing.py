"""Only the largest component of the union of some label values is kept."""

import numpy as np
import pytest
from skimage import measure

from autoseg.documents.selection import LargestComponent
from autoseg.inference.postprocessing import keep_largest, postprocess


def step(*values):
    return LargestComponent(values=values, dice_before=0.5, dice_after=0.6)


def test_the_smaller_parts_of_a_value_become_background():
    values = np.array([[3, 3, 0, 3], [0, 0, 0, 0], [7, 0, 3, 0]], dtype=np.uint8)
    kept = keep_largest(values, step(3), background=9)
    np.testing.assert_array_equal(kept, [[3, 3, 0, 9], [0, 0, 0, 0], [7, 0, 9, 0]])
    assert kept.dtype == values.dtype
    assert values[0, 3] == 3


def test_touching_values_are_one_part_of_their_union():
    values = np.array([[1, 2, 2, 0, 1, 1]], dtype=np.uint8)
    np.testing.assert_array_equal(keep_largest(values, step(1, 2), 0), [[1, 2, 2, 0, 0, 0]])
    np.testing.assert_array_equal(keep_largest(values, step(1), 0), [[0, 2, 2, 0, 1, 1]])


def test_corners_connect():
    values = np.eye(4, dtype=np.uint8)[None].repeat(2, axis=0)
    values[1] = 0
    np.testing.assert_array_equal(keep_largest(values, step(1), 0), values)


def test_of_equal_parts_all_stay():
    values = np.array([[5, 5, 0, 5, 5, 0, 5]], dtype=np.uint16)
    np.testing.assert_array_equal(keep_largest(values, step(5), 0), [[5, 5, 0, 5, 5, 0, 0]])


@pytest.mark.parametrize("values", [np.zeros((3, 4), np.uint8), np.full((2, 3, 4), 8, np.uint8)])
def test_a_map_without_several_parts_stays(values):
    np.testing.assert_array_equal(keep_largest(values, step(8), 0), values)


def test_steps_follow_one_another():
    values = np.array([[1, 1, 1, 2, 0, 2, 2]], dtype=np.uint8)
    both = postprocess(values, (step(1, 2), step(2)), 0)
    np.testing.assert_array_equal(both, [[1, 1, 1, 2, 0, 0, 0]])
    other_way = postprocess(values, (step(2), step(1, 2)), 0)
    np.testing.assert_array_equal(other_way, [[1, 1, 1, 0, 0, 0, 0]])
    assert postprocess(values, (), 0) is values


def test_random_maps_are_as_labelled_by_scikit_image():
    rng = np.random.default_rng(0)
    for shape in ((40, 50), (12, 20, 16)):
        values = rng.choice([0, 1, 2], p=[0.9, 0.06, 0.04], size=shape).astype(np.uint8)
        components = measure.label(values > 0)
        sizes = np.bincount(components.ravel())[1:]
        largest = np.isin(components, 1 + np.flatnonzero(sizes == sizes.max()))
        np.testing.assert_array_equal(keep_largest(values, step(1, 2), 0), values * largest)
