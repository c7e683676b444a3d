import numpy as np

from autoseg.preprocessing.crop import bounding_box, nonzero_mask


def test_a_voxel_counts_as_nonzero_if_any_channel_is() -> None:
    voxels = np.zeros((2, 3, 3), dtype=np.float32)
    voxels[0, 0, 0], voxels[1, 2, 1] = 1, -5
    assert np.argwhere(nonzero_mask(voxels)).tolist() == [[0, 0], [2, 1]]


def test_holes_are_filled_and_bays_are_not() -> None:
    ring = np.ones((1, 5, 5), dtype=np.float32)
    ring[0, 2, 2] = 0
    ring[0, 0, 0] = 0
    mask = nonzero_mask(ring)
    assert mask[2, 2]
    assert not mask[0, 0]


def test_the_bounding_box_is_tight_and_an_empty_mask_keeps_everything() -> None:
    mask = np.zeros((4, 5, 6), dtype=bool)
    assert bounding_box(mask) == ((0, 4), (0, 5), (0, 6))
    mask[1, 2, 0] = mask[2, 2, 5] = True
    assert bounding_box(mask) == ((1, 3), (2, 3), (0, 6))
