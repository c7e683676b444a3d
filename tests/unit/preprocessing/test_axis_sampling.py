"""One axis is resampled as in scikit-image and scipy; pieces equal the whole."""

import numpy as np
import pytest
from resampled import resampled, resized
from scipy import ndimage
from skimage.transform import resize

from autoseg.preprocessing.interpolation import axis_sampling


@pytest.mark.parametrize("target", [5, 8, 12, 13, 24, 31])
def test_linear_interpolation_is_that_of_scikit_image_and_scipy(target):
    values = np.random.default_rng(0).standard_normal((12, 7)).astype(np.float32)
    found = resized(values, target, 0, order=1)
    by_skimage = resize(values, (target, 7), order=1, mode="edge", anti_aliasing=False)
    by_scipy = ndimage.zoom(values, (target / 12, 1), order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(found, by_skimage, atol=1e-5)
    np.testing.assert_allclose(found, by_scipy, atol=1e-5)


def test_the_nearest_voxel_is_that_of_scikit_image():
    values = np.arange(11, dtype=np.float32)[:, None]
    found = resized(values, 25, 0, order=0)
    expected = resize(values, (25, 1), order=0, mode="edge", anti_aliasing=False)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("order", [0, 1])
def test_a_piece_has_the_bits_of_the_whole(order):
    values = np.random.default_rng(0).standard_normal((12, 3)).astype(np.float32)
    sampling = axis_sampling(12, 29, order=order)
    piece, first, stop = sampling.piece(7, 15)
    np.testing.assert_array_equal(
        resampled(values[first:stop], piece, 0), resampled(values, sampling, 0)[7:15]
    )
