"""Whatever the sizes, tiles cover every voxel and their weights sum to one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autoseg.inference.tiling import axis_tiles


@given(
    patch=st.integers(1, 96),
    beyond=st.integers(0, 300),
    step=st.sampled_from([0.25, 0.5, 0.75, 1.0]),
)
def test_tiles_cover_every_voxel_with_weights_that_sum_to_one(patch, beyond, step):
    size = patch + beyond
    tiles = axis_tiles(size, patch, step=step)
    total = np.zeros(size)
    for start, weights in zip(tiles.starts, tiles.weights, strict=True):
        total[start : start + patch] += weights
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    assert np.all(tiles.weights > 0)
    assert tiles.starts[0] == 0
    assert tiles.starts[-1] == size - patch
    assert np.diff(tiles.starts).max(initial=1) <= max(1, np.ceil(patch * step))
    assert np.diff(tiles.starts).min(initial=1) >= 1
