"""Tiles cover a padded axis evenly, and their weights sum to one."""

import numpy as np
import pytest

from autoseg.core.case import CascadeInput
from autoseg.inference.tiling import Padding, axis_tiles, importance_curve, tile_starts


@pytest.mark.parametrize(
    ("size", "patch", "expected"),
    [
        (8, 8, (0,)),
        (9, 8, (0, 1)),
        (12, 8, (0, 4)),
        (13, 8, (0, 2, 5)),  # 2.5 is rounded to the even neighbour
        (20, 8, (0, 4, 8, 12)),
        (4, 1, (0, 1, 2, 3)),
    ],
)
def test_tiles_are_half_a_patch_apart_at_most_and_evenly_spaced(size, patch, expected):
    assert tile_starts(size, patch) == expected


def test_a_larger_step_needs_fewer_tiles():
    assert tile_starts(20, 8, step=1.0) == (0, 6, 12)


def test_an_axis_shorter_than_the_patch_is_refused():
    with pytest.raises(ValueError, match="shorter than a tile"):
        tile_starts(7, 8)


@pytest.mark.parametrize("patch", [1, 2, 7, 128, 512])
def test_importance_is_a_symmetric_gaussian_without_zeros(patch):
    curve = importance_curve(patch)
    np.testing.assert_array_equal(curve, curve[::-1])
    assert curve.max() == pytest.approx(1.0, abs=0.1 if patch < 8 else 1e-3) or patch == 2
    assert curve.min() > 3e-4


def test_the_curve_falls_to_one_over_root_e_an_eighth_of_the_patch_from_its_centre():
    curve = importance_curve(65)
    assert curve[32] == 1
    assert curve[32 + 8] == pytest.approx(np.exp(-0.5 * (8 / (65 / 8)) ** 2))


def test_voxels_near_a_tile_border_count_less_than_the_same_voxels_inside_the_next_tile():
    tiles = axis_tiles(12, 8)
    assert tiles.starts == (0, 4)
    shared = tiles.weights[0][4:]
    assert np.all(np.diff(shared) < 0)
    np.testing.assert_allclose(shared + tiles.weights[1][:4], 1, rtol=1e-6)


def test_padding_is_zero_and_symmetric_with_an_odd_voxel_behind():
    padding = Padding.around((3, 8, 2), (6, 4, 4))
    padded = padding.apply(np.ones((1, 3, 8, 2), dtype=np.float32))
    assert padded.shape == (1, 6, 8, 4)
    assert padding.shape == (6, 8, 4)
    assert padding.box == (slice(1, 4), slice(0, 8), slice(1, 3))
    np.testing.assert_array_equal(padded[0, :, 0, 1], [0, 1, 1, 1, 0, 0])


def test_a_volume_that_needs_nothing_is_not_copied():
    volume = np.ones((2, 4, 4, 4), dtype=np.float32)
    assert Padding.around((4, 4, 4), (4, 4, 4)).apply(volume) is volume


def test_with_a_margin_all_is_mirrored():
    padding = Padding.around((4,), (6,), (2,))
    np.testing.assert_array_equal(
        padding.apply(np.array([[0, 1, 2, 3]])), [[3, 2, 1, 0, 1, 2, 3, 2, 1, 0]]
    )
    assert padding.shape == (6,)
    assert padding.with_margin((6,)) == (10,)
    assert padding.box == (slice(1, 5),)


def test_a_margin_of_the_plane_leaves_the_axis_in_front_alone():
    padding = Padding.around((3, 5), (1, 5), (1,))
    assert padding.apply(np.zeros((3, 5))).shape == (3, 7)


def test_what_a_previous_stage_predicted_is_framed_like_the_image():
    classes = np.array([[0, 1, 2, 3]])
    padding = Padding.around((1, 1, 4), (1, 1, 6), (0, 0, 2))
    framed = padding.apply_to_cascade_input(CascadeInput(classes=classes, num_channels=3))
    np.testing.assert_array_equal(framed.classes, padding.apply(classes.reshape(1, 1, 4)))
    assert framed.num_channels == 3
    assert padding.apply_to_cascade_input(None) is None


@pytest.mark.parametrize("margin", [(), (3, 2)])
@pytest.mark.parametrize("shape", [(2, 9, 11), (2, 6, 9, 11), (2, 3, 4)])
def test_a_band_equals_that_part_of_the_padded_image(shape, margin) -> None:
    voxels = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    volume = voxels[:, None] if voxels.ndim == 3 else voxels
    padding = Padding.around(volume.shape[1:], (1, 5, 6), margin)
    whole = padding.apply(volume)
    axis = 5 - voxels.ndim
    for start in range(whole.shape[axis]):
        for stop in range(start + 1, whole.shape[axis] + 1):
            expected = np.take(whole, range(start, stop), axis=axis)
            if start < padding.widths[axis - 1][0] + padding.size[axis - 1] and (
                stop > padding.widths[axis - 1][0]
            ):
                assert np.array_equal(padding.apply_to_band(voxels, start, stop), expected)
