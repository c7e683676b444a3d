"""Nearest targets against brute force, where the search has to take each of its turns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from autoseg.evaluation import nearest
from autoseg.evaluation.comparison import surface, surface_distances
from autoseg.evaluation.nearest import nearest_distances

SPACINGS = [(1.0, 1.0, 1.0), (0.7, 3.0, 1.1), (2.5, 0.8, 0.8), (0.3, 0.3, 5.0)]


def brute_force(points, targets, spacing):
    """Compare all pairs."""
    places = (np.argwhere(mask) * np.asarray(spacing) for mask in (points, targets))
    return cdist(*places).min(axis=1)


def random_mask(random, shape, count):
    """Return a mask of some voxels, at least one."""
    mask = np.zeros(shape, dtype=bool)
    mask.flat[random.choice(mask.size, size=min(count, mask.size), replace=False)] = True
    return mask


def assert_exact(points, targets, spacing):
    found = nearest_distances(points, targets, spacing)
    np.testing.assert_allclose(found, brute_force(points, targets, spacing), rtol=1e-14, atol=0)


@settings(max_examples=150, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    spacing=st.tuples(*[st.sampled_from((0.1, 0.7, 1.0, 3.3))] * 3),
    counts=st.tuples(*[st.integers(1, 60)] * 2),
    seed=st.integers(0, 1000),
)
def test_distances_are_those_of_brute_force(shape, spacing, counts, seed):
    random = np.random.default_rng(seed)
    assert_exact(*(random_mask(random, shape, count) for count in counts), spacing)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("axis", range(3))
def test_targets_at_the_other_end_are_found(spacing, axis):
    """The reach has to grow to the whole length, for points outside of the targets' box."""
    shape = [7, 9, 8]
    shape[axis] = 70
    points, targets = np.zeros((2, *shape), dtype=bool)
    np.moveaxis(points, axis, 0)[:2] = True
    np.moveaxis(targets, axis, 0)[-1, 2:4] = True
    assert_exact(points, targets, spacing)
    assert_exact(targets, points, spacing)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_few_points_far_from_many_near_ones(spacing):
    random = np.random.default_rng(3)
    points, targets = np.zeros((2, 30, 40, 50), dtype=bool)
    targets[2:6, 3:20, 4:30] = True
    points[3:7, 2:19, 5:31] = random.random((4, 17, 26)) < 0.5
    points[28, 1, 49] = points[5, 39, 0] = points[4, 3, 48] = True
    assert_exact(points, targets, spacing)


@pytest.mark.parametrize("block", [1, 7, 40])
def test_blocks_do_not_show(block, monkeypatch):
    random = np.random.default_rng(4)
    points, targets = (random_mask(random, (5, 23, 17), count) for count in (200, 9))
    whole = nearest_distances(points, targets, (1.0, 0.9, 1.3))
    monkeypatch.setattr(nearest, "BLOCK_VOXELS", block)
    np.testing.assert_array_equal(nearest_distances(points, targets, (1.0, 0.9, 1.3)), whole)


@pytest.mark.parametrize("planes", [254, 255, 256, 300])
def test_columns_longer_than_a_byte_counts(planes):
    """The steps between planes are counted in the smallest type that can hold them."""
    points, targets = np.zeros((2, planes, 2, 3), dtype=bool)
    points[0, 0, 0] = targets[-1, 0, 0] = targets[-1, 1, 2] = points[planes // 2] = True
    assert_exact(points, targets, (1.0, 2.0, 0.5))


@pytest.mark.parametrize("spacing", [*SPACINGS, (2.0, 1.0, 0.5), (0.7, 0.9)])
def test_surface_distances_do_not_depend_on_the_order_of_the_axes(spacing):
    random = np.random.default_rng(5)
    shape = (9, 14, 11)[: len(spacing)]
    prediction, reference = (random.random(shape) < share for share in (0.7, 0.1))
    found = surface_distances(prediction, reference, spacing)
    rims = surface(prediction), surface(reference)
    for distances, expected in zip(
        found,
        (brute_force(*rims, spacing), brute_force(*rims[::-1], spacing)),
        strict=True,
    ):
        np.testing.assert_allclose(np.sort(distances), np.sort(expected), rtol=1e-14)


def test_masks_in_any_memory_order_are_searched():
    random = np.random.default_rng(6)
    prediction, reference = (random.random((8, 9, 10)) < 0.2 for _ in range(2))
    found = surface_distances(prediction, reference, (2.0, 1.0, 1.5))
    other = surface_distances(
        np.asfortranarray(prediction), np.asfortranarray(reference), (2.0, 1.0, 1.5)
    )
    for one, two in zip(found, other, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_picture_searched_in_bands_of_rows_has_the_same_distances(monkeypatch) -> None:
    random = np.random.default_rng(0)
    points, targets = (random_mask(random, (1, 40, 23), count) for count in (150, 12))
    spacing = (1.0, 0.7, 1.3)
    at_once = nearest_distances(points, targets, spacing)
    monkeypatch.setattr(nearest, "BAND_VOXELS", 70)
    assert nearest_distances(points, targets, spacing).tobytes() == at_once.tobytes()
    assert_exact(points, targets, spacing)
