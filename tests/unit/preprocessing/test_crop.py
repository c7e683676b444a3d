import numpy as np

from autoseg.preprocessing.crop import bounding_box, crop, fill_holes, nonzero_voxels


def test_a_voxel_counts_as_nonzero_if_any_channel_is() -> None:
    voxels = np.zeros((2, 3, 3), dtype=np.float32)
    voxels[0, 0, 0], voxels[1, 2, 1] = 1, -5
    assert np.argwhere(nonzero_voxels(voxels)).tolist() == [[0, 0], [2, 1]]


def test_holes_are_filled_and_bays_are_not() -> None:
    ring = np.ones((1, 5, 5), dtype=np.float32)
    ring[0, 2, 2] = 0
    ring[0, 0, 0] = 0
    mask = fill_holes(nonzero_voxels(ring))
    assert mask[2, 2]
    assert not mask[0, 0]


def test_the_bounding_box_is_tight_and_an_empty_mask_keeps_everything() -> None:
    mask = np.zeros((4, 5, 6), dtype=bool)
    assert bounding_box(mask) == ((0, 4), (0, 5), (0, 6))
    mask[1, 2, 0] = mask[2, 2, 5] = True
    assert bounding_box(mask) == ((1, 3), (2, 3), (0, 6))


def test_the_box_of_labels_is_that_of_their_mask() -> None:
    classes = np.zeros((4, 5, 6), dtype=np.uint16)
    classes[1, 2, 3] = 300
    classes[2, 2, 5] = 7
    assert bounding_box(classes) == bounding_box(classes > 0) == ((1, 3), (2, 3), (3, 6))


def test_holes_of_a_cropped_mask_are_those_of_the_whole() -> None:
    mask = np.random.default_rng(0).random((12, 13, 14)) < 0.6
    mask[0] = mask[:, :2] = mask[:, :, -1] = False
    bounds = bounding_box(mask)
    assert np.array_equal(fill_holes(crop(mask, bounds)), crop(fill_holes(mask), bounds))
    assert fill_holes(mask).sum() > mask.sum()
