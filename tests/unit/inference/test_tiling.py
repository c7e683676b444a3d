"""Tiles cover an axis evenly, and their weights sum to one."""

import numpy as np
import pytest

from autoseg.inference.tiling import axis_tiles, importance_curve, tile_starts


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
