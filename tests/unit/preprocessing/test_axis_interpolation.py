import numpy as np
import pytest
from scipy import ndimage
from skimage.transform import resize

from autoseg.preprocessing.interpolation import matrix_blocks, nearest_positions, resize_axis

SIZES = [(1, 1), (1, 5), (5, 1), (2, 3), (7, 4), (30, 63), (64, 65), (65, 200), (200, 129)]


def matrix(old: int, new: int, order: int) -> np.ndarray:
    whole = np.zeros((new, old))
    for block in matrix_blocks(old, new, order):
        whole[block.outputs, block.inputs] = block.weights
    return whole


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize(("old", "new"), SIZES)
def test_the_matrix_is_what_resizing_the_identity_gives(old: int, new: int, order: int) -> None:
    expected = resize(
        np.eye(old), (new, old), order=order, mode="edge", anti_aliasing=False, clip=False
    )
    np.testing.assert_allclose(matrix(old, new, order), expected, atol=1e-7)


def test_a_long_axis_is_cut_into_blocks_that_stay_near_their_outputs() -> None:
    blocks = matrix_blocks(1000, 1500, 3)
    assert [block.outputs.start for block in blocks] == list(range(0, 1500, 32))
    assert max(block.inputs.stop - block.inputs.start for block in blocks) < 70


def test_blocks_are_computed_once_and_cannot_be_changed() -> None:
    first, again = matrix_blocks(9, 12, 3), matrix_blocks(9, 12, 3)
    assert first is again
    with pytest.raises(ValueError, match="read-only"):
        first[0].weights[0, 0] = 1


def test_nearest_positions_are_those_of_scipy_and_skimage() -> None:
    for old in range(1, 20):
        for new in range(1, 30):
            line = np.arange(old, dtype=np.float64)
            coordinates = (np.arange(new) + 0.5) * (old / new) - 0.5
            scipys = ndimage.map_coordinates(line, [coordinates], order=0, mode="nearest")
            skimages = resize(line[:, None], (new, 1), order=0, mode="edge", anti_aliasing=False)
            assert np.array_equal(nearest_positions(old, new), scipys)
            assert np.array_equal(nearest_positions(old, new), skimages[:, 0])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_axis_of_a_view_that_is_not_contiguous_is_resized(axis: int) -> None:
    whole = np.random.default_rng(0).normal(size=(8, 7, 6)).astype(np.float32)
    view = whole.transpose(2, 0, 1)[:, ::-1]
    result = resize_axis(view, axis, 11, 3)
    expected = resize_axis(np.ascontiguousarray(view), axis, 11, 3)
    np.testing.assert_allclose(result, expected, atol=1e-6)
    assert result.shape == (*view.shape[:axis], 11, *view.shape[axis + 1 :])


def test_an_axis_that_has_its_size_is_left_alone() -> None:
    volume = np.ones((3, 4), dtype=np.float32)
    assert resize_axis(volume, 1, 4, 3) is volume
