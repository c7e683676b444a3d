"""The streamed export is bit-identical to resampling the whole array."""

import tracemalloc
from itertools import pairwise, product

import numpy as np
import pytest
from resampled import resized

from autoseg.core.case import InverseTransform
from autoseg.inference import export
from autoseg.inference.blending import LogitsSlab
from autoseg.inference.export import SeamBuffer, class_map


def restoration(axis_order, full_shape, crop, prepared_shape):
    axes = len(full_shape)
    return InverseTransform(
        axis_order=axis_order,
        full_shape=full_shape,
        crop=crop,
        spacing=(1.0,) * axes,
        prepared_shape=prepared_shape,
        prepared_spacing=(1.0,) * axes,
    )


def last_region(logits):
    """Return one more than the last index above 0, or 0."""
    numbers = np.arange(1, len(logits) + 1).reshape(-1, *(1,) * (logits.ndim - 1))
    return np.max(np.where(logits > 0, numbers, 0), axis=0)


def whole_array_way(logits, restoration, orders, decide=lambda scores: np.argmax(scores, axis=0)):
    """Resample the whole array, decide (argmax by default), and undo the crop."""
    for axis in reversed(range(logits.ndim - 1)):
        target = restoration.cropped_shape[axis]
        logits = resized(logits, target, axis + 1, order=orders[axis])
    classes = decide(logits)
    planned_shape = [restoration.full_shape[axis] for axis in restoration.axis_order]
    planned = np.zeros(planned_shape, dtype=np.uint16)
    planned[tuple(slice(*bounds) for bounds in restoration.crop)] = classes
    return planned.transpose(np.argsort(restoration.axis_order))


def slabs_of(logits, heights):
    """Cut logits into slabs, heights repeated in a cycle."""
    volume = logits[:, None] if logits.ndim == 3 else logits
    start, turn = 0, 0
    while start < volume.shape[1]:
        stop = min(start + heights[turn % len(heights)], volume.shape[1])
        yield LogitsSlab(start=start, logits=volume[:, start:stop])
        start, turn = stop, turn + 1


def strips_of(logits, groups, num_strips):
    """Cut logits into strips of rows, and these into slabs, in the order of large volumes.

    Args:
        logits: Of the whole prepared image.
        groups: Heights of the groups of planes that are finished together, repeated in a cycle;
            each strip's part of them comes in slabs of at most two planes.
        num_strips: How many strips.
    """
    volume = logits[:, None] if logits.ndim == 3 else logits
    edges = np.linspace(0, volume.shape[2], num_strips + 1).round().astype(int)
    start, turn = 0, 0
    while start < volume.shape[1]:
        stop = min(start + groups[turn % len(groups)], volume.shape[1])
        for (low, high), first in product(pairwise(edges), range(start, stop, 2)):
            last = min(first + 2, stop)
            yield LogitsSlab(first, volume[:, first:last, low:high], row=int(low))
        start, turn = stop, turn + 1


CASES = {  # axis order, whole shape, crop, prepared shape, interpolation orders
    "isotropic, enlarged": (
        *((0, 1, 2), (21, 26, 30), ((2, 20), (1, 24), (3, 30)), (9, 11, 13), (1, 1, 1)),
    ),
    "isotropic, reduced": (
        *((0, 1, 2), (8, 9, 10), ((0, 7), (2, 9), (0, 10)), (19, 20, 21), (1, 1, 1)),
    ),
    "coarse axis taken separately": (
        *((2, 0, 1), (30, 24, 11), ((1, 9), (3, 28), (0, 24)), (13, 20, 19), (0, 1, 1)),
    ),
    "planes kept as they are": (
        *((1, 2, 0), (14, 10, 15), ((1, 9), (0, 15), (2, 13)), (8, 9, 22), (1, 1, 1)),
    ),
    "nothing resampled": (*((0, 1, 2), (7, 8, 9), ((0, 7), (0, 8), (0, 9)), (7, 8, 9), (1, 1, 1)),),
    "single plane enlarged": (
        *((0, 1, 2), (4, 8, 9), ((0, 4), (0, 8), (0, 9)), (1, 5, 5), (1, 1, 1)),
    ),
    "two axes": (*((0, 1), (33, 40), ((3, 30), (0, 37)), (20, 61), (1, 1)),),
    "two axes, swapped": (*((1, 0), (33, 40), ((2, 39), (4, 33)), (50, 17), (1, 1)),),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("heights", [(1,), (3, 1, 5), (100,)], ids=str)
@pytest.mark.parametrize("block_planes", [1, 8])
def test_streaming_equals_the_whole_array_bit_for_bit(monkeypatch, case, heights, block_planes):
    axis_order, full_shape, crop, prepared_shape, orders = case
    monkeypatch.setattr(export, "BLOCK_PLANES", block_planes)
    monkeypatch.setattr(export, "BLOCK_VOXELS", 60)
    way_back = restoration(axis_order, full_shape, crop, prepared_shape)
    rng = np.random.default_rng(7)
    logits = rng.standard_normal((5, *prepared_shape)).astype(np.float32)
    found = class_map(slabs_of(logits, heights), way_back, orders=orders, workers=2)
    assert found.shape == full_shape
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, whole_array_way(logits, way_back, orders))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("groups", [(1,), (3, 1, 5), (100,)], ids=str)
@pytest.mark.parametrize("num_strips", [2, 3, 5])
def test_strips_equal_the_whole_array_bit_for_bit(monkeypatch, case, groups, num_strips):
    axis_order, full_shape, crop, prepared_shape, orders = case
    monkeypatch.setattr(export, "BLOCK_VOXELS", 60)
    way_back = restoration(axis_order, full_shape, crop, prepared_shape)
    logits = np.random.default_rng(7).standard_normal((5, *prepared_shape)).astype(np.float32)
    strips = strips_of(logits, groups, num_strips)
    found = class_map(strips, way_back, orders=orders, workers=2)
    np.testing.assert_array_equal(found, whole_array_way(logits, way_back, orders))


def test_borders_behind_which_nothing_comes_are_not_kept():
    logits = np.zeros((2, 40, 12, 3000), np.float32)
    slabs, borders, most = list(strips_of(logits, (8,), 3)), SeamBuffer(40, num_rows=12), 0
    tracemalloc.start()
    for slab in slabs:
        borders.keep(slab)
        most = max(most, tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    plane, row = logits[:, 0].nbytes, logits[:, 0, 0].nbytes
    assert 0.9 * plane < most <= plane + 2 * (8 + 2) * row


def test_of_a_picture_only_the_last_row_of_a_strip_is_kept():
    logits = np.zeros((2, 1, 12, 30), np.float32)
    borders = SeamBuffer(num_planes=1, num_rows=12)
    for slab in strips_of(logits, (1,), 3):
        borders.keep(slab)
        assert all(kept.logits.shape[2] == 1 for kept in borders.with_neighbours(slab)[1:])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("heights", [(1,), (3, 1, 5)], ids=str)
def test_streamed_regions_equal_the_whole_array_bit_for_bit(monkeypatch, case, heights):
    axis_order, full_shape, crop, prepared_shape, orders = case
    monkeypatch.setattr(export, "BLOCK_VOXELS", 60)
    way_back = restoration(axis_order, full_shape, crop, prepared_shape)
    logits = np.random.default_rng(8).standard_normal((4, *prepared_shape)).astype(np.float32)
    logits[2] -= 9  # a region that is nowhere
    slabs = slabs_of(logits, heights)
    found = class_map(slabs, way_back, orders=orders, workers=2, is_regional=True)
    assert set(np.unique(found)) == {0, 1, 2, 4}
    np.testing.assert_array_equal(found, whole_array_way(logits, way_back, orders, last_region))


def test_a_probability_of_one_half_is_not_in_the_region():
    way_back = restoration((0, 1, 2), (3, 4, 4), ((0, 3), (0, 4), (0, 4)), (3, 4, 4))
    slabs = slabs_of(np.zeros((2, 3, 4, 4), np.float32), (2,))
    assert not class_map(slabs, way_back, orders=(1, 1, 1), workers=1, is_regional=True).any()


def test_more_than_255_regions_need_two_bytes():
    way_back = restoration((0, 1, 2), (1, 2, 2), ((0, 1), (0, 2), (0, 2)), (1, 2, 2))
    slabs = slabs_of(np.ones((256, 1, 2, 2), np.float32), (1,))
    found = class_map(slabs, way_back, orders=(1, 1, 1), workers=1, is_regional=True)
    assert np.all(found == 256)


def test_equal_logits_go_to_the_lowest_class():
    rng = np.random.default_rng(3)
    logits = rng.integers(0, 2, (6, 9, 9, 9)).astype(np.float32)
    way_back = restoration((0, 1, 2), (17, 9, 30), ((0, 17), (0, 9), (0, 30)), (9, 9, 9))
    found = class_map(slabs_of(logits, (4,)), way_back, orders=(1, 1, 1), workers=1)
    np.testing.assert_array_equal(found, whole_array_way(logits, way_back, (1, 1, 1)))


def test_logits_are_rounded_to_half_precision_after_interpolation_where_asked():
    logits = 200 + np.random.default_rng(4).standard_normal((5, 9, 9, 9)).astype(np.float32)
    way_back = restoration((0, 1, 2), (17, 9, 30), ((0, 17), (0, 9), (0, 30)), (9, 9, 9))
    orders = (1, 1, 1)
    exact = class_map(slabs_of(logits, (4,)), way_back, orders=orders, workers=1)
    found = class_map(
        slabs_of(logits, (4,)), way_back, orders=orders, workers=1, in_half_precision=True
    )
    expected = whole_array_way(
        logits, way_back, orders, lambda scores: np.argmax(scores.astype(np.float16), axis=0)
    )
    np.testing.assert_array_equal(found, expected)
    assert 0.02 < np.mean(found != exact) < 0.5


def test_skipping_hopeless_classes_changes_nothing():
    """Smooth, distant classes are skipped in most blocks without changing the result."""
    centres = np.random.default_rng(1).uniform(0, 24, (12, 3))
    grid = np.stack(np.meshgrid(*[np.arange(24)] * 3, indexing="ij"), axis=-1)
    distances = [np.linalg.norm(grid - centre, axis=-1) for centre in centres]
    logits = (8 - np.stack(distances)).astype(np.float32)
    way_back = restoration((0, 1, 2), (48, 50, 31), ((0, 48), (0, 50), (0, 31)), (24, 24, 24))
    found = class_map(slabs_of(logits, (5,)), way_back, orders=(1, 1, 1), workers=2)
    assert np.unique(found).size == 12
    np.testing.assert_array_equal(found, whole_array_way(logits, way_back, (1, 1, 1)))


def test_more_than_256_classes_need_two_bytes():
    logits = np.zeros((300, 1, 2, 2), dtype=np.float32)
    logits[299] = 1
    way_back = restoration((0, 1, 2), (1, 2, 2), ((0, 1), (0, 2), (0, 2)), (1, 2, 2))
    found = class_map(slabs_of(logits, (1,)), way_back, orders=(1, 1, 1), workers=1)
    assert found.dtype == np.uint16
    assert np.all(found == 299)


def test_missing_planes_are_an_error_and_not_background():
    logits = np.zeros((2, 4, 5, 5), dtype=np.float32)
    way_back = restoration((0, 1, 2), (8, 5, 5), ((0, 8), (0, 5), (0, 5)), (5, 5, 5))
    with pytest.raises(ValueError, match="do not cover 10 of 40 rows"):
        class_map(slabs_of(logits, (2,)), way_back, orders=(1, 1, 1), workers=1)


def test_missing_rows_are_an_error_and_not_background():
    logits = np.zeros((2, 4, 6, 5), dtype=np.float32)
    way_back = restoration((0, 1, 2), (4, 6, 5), ((0, 4), (0, 6), (0, 5)), (4, 6, 5))
    with pytest.raises(ValueError, match="do not cover 12 of 24 rows"):
        class_map(list(strips_of(logits, (4,), 2))[:2], way_back, orders=(1, 1, 1), workers=1)
