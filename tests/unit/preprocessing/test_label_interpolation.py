import numpy as np
import pytest
from skimage.transform import resize

from autoseg.preprocessing import label_interpolation
from autoseg.preprocessing.label_interpolation import resize_labels

SHAPES = [
    ((6, 7, 8), (9, 5, 8)),
    ((6, 7, 8), (3, 14, 16)),
    ((1, 5, 5), (4, 9, 2)),
    ((20, 15), (31, 9)),
    ((20, 15), (10, 15)),
]


def weights_of_classes(classes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    masks = [(classes == value).astype(np.float64) for value in range(classes.max() + 1)]
    return np.stack(
        [resize(mask, shape, order=1, mode="edge", anti_aliasing=False) for mask in masks]
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("old", "new"), SHAPES)
def test_the_largest_linear_weight_wins_and_ties_go_to_the_higher_class(old, new, dtype) -> None:
    classes = np.random.default_rng(0).integers(0, 4, old).astype(dtype)
    weights = weights_of_classes(classes, new)
    leading = weights > weights.max(axis=0) - 1e-6
    expected = len(weights) - 1 - np.argmax(leading[::-1], axis=0)
    result = resize_labels(classes, new)
    assert result.dtype == dtype
    assert np.array_equal(result, expected)


@pytest.mark.parametrize(("old", "new"), SHAPES)
def test_ties_go_to_the_class_of_the_nearest_voxel_where_asked(old, new) -> None:
    classes = np.random.default_rng(0).integers(0, 4, old).astype(np.uint8)
    weights = weights_of_classes(classes, new)
    leading = weights > weights.max(axis=0) - 1e-6
    nearest = resize(classes, new, order=0, mode="edge", preserve_range=True).astype(np.uint8)
    is_leading = np.take_along_axis(leading, nearest[None], axis=0)[0]
    expected = np.where(is_leading, nearest, np.argmax(leading, axis=0))
    assert np.array_equal(resize_labels(classes, new, "nearest"), expected)


def test_a_nearest_class_that_lost_leaves_ties_to_the_lowest() -> None:
    classes = np.array([[[3, 1], [1, 1]], [[2, 2], [2, 3]]], dtype=np.uint8)
    assert resize_labels(classes, (1, 1, 1), "nearest").item() == 1
    assert resize_labels(classes, (1, 1, 1), "highest").item() == 2


def test_slabs_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = np.random.default_rng(0).integers(0, 4, (9, 8, 7)).astype(np.uint8)
    at_once = resize_labels(classes, (20, 13, 7))
    monkeypatch.setattr(label_interpolation, "SLAB_VOXELS", 3 * 13 * 7)
    assert np.array_equal(resize_labels(classes, (20, 13, 7)), at_once)


def test_where_three_classes_meet_none_falls_back_to_the_background() -> None:
    classes = np.array([[1, 2], [3, 3]], dtype=np.uint8)
    middle = resize_labels(classes, (3, 3))[1, 1]
    assert middle == 3
    corner = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 3, 3]], dtype=np.uint8)
    assert resize_labels(corner, (9, 13)).min() > 0


def test_a_line_one_voxel_wide_survives_halving() -> None:
    classes = np.zeros((8, 8), dtype=np.uint8)
    classes[:, 3] = 1
    assert resize_labels(classes, (4, 4))[:, 1].tolist() == [1, 1, 1, 1]


def test_the_same_shape_returns_the_array_itself() -> None:
    classes = np.ones((3, 4), dtype=np.uint8)
    assert resize_labels(classes, (3, 4)) is classes


@pytest.mark.parametrize("new", [(21, 13, 12), (5, 6, 12), (17, 14, 3), (2, 2, 2)])
def test_structures_amid_background_come_out_as_in_the_whole_volume(new) -> None:
    classes = np.zeros((11, 14, 12), dtype=np.uint8)
    classes[4:7, 5:9, 11:] = np.random.default_rng(0).integers(0, 4, (3, 4, 1))
    weights = weights_of_classes(classes, new)
    leading = weights > weights.max(axis=0) - 1e-6
    expected = len(weights) - 1 - np.argmax(leading[::-1], axis=0)
    assert np.array_equal(resize_labels(classes, new), expected)


def test_a_voxel_between_all_new_ones_vanishes() -> None:
    classes = np.zeros((9, 9), dtype=np.uint8)
    classes[0, 0] = 1
    assert resize_labels(classes, (3, 3)).tolist() == np.zeros((3, 3)).tolist()


def test_an_empty_map_stays_empty() -> None:
    assert not resize_labels(np.zeros((3, 4), dtype=np.uint16), (6, 2)).any()
