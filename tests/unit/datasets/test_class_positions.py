import numpy as np
import pytest
from scipy import ndimage

from autoseg.datasets import class_positions as class_positions_module
from autoseg.datasets.class_positions import ClassPosition, class_positions


@pytest.mark.parametrize("shape", [(9, 11), (5, 7, 9)])
def test_centres_are_centres_of_mass(shape) -> None:
    classes = np.random.default_rng(0).integers(0, 4, shape).astype(np.uint8)
    for index, position in enumerate(class_positions(classes, 4)):
        expected = (np.array(ndimage.center_of_mass(classes == index)) + 0.5) / shape
        assert position.centre == pytest.approx(expected, abs=1e-5)


def test_small_classes_in_a_large_image_are_found_slab_by_slab(monkeypatch) -> None:
    monkeypatch.setattr(class_positions_module, "SLAB_VOXELS", 20)
    classes = np.zeros((9, 30, 20), np.uint16)
    classes[3:8, 4:9, 12:19] = np.random.default_rng(0).integers(0, 3, (5, 5, 7))
    for index, position in enumerate(class_positions(classes, 3)):
        expected = np.array(ndimage.center_of_mass(classes == index)) + 0.5
        assert position.centre == pytest.approx(expected / classes.shape, abs=1e-5)


def test_an_absent_class_has_no_position() -> None:
    classes = np.zeros((4, 4), np.uint8)
    assert class_positions(classes, 3) == (ClassPosition((0.5, 0.5), 1.0), None, None)


def test_an_edge_voxel_lies_half_a_voxel_inside() -> None:
    classes = np.zeros((4, 10), np.uint8)
    classes[0, 9] = 1
    assert class_positions(classes, 2)[1].centre == pytest.approx((0.125, 0.95))


def test_the_extent_is_the_box_of_a_class_without_stray_voxels() -> None:
    classes = np.zeros((20, 100), np.uint8)
    classes[5:15, 40:60] = 1
    classes[0, 0] = 1
    assert class_positions(classes, 2)[1].extent == pytest.approx(0.1 / 0.95**2, abs=1e-4)


def test_a_class_that_is_everywhere_has_an_extent_of_one() -> None:
    classes = np.random.default_rng(0).integers(0, 2, (200, 200)).astype(np.uint8)
    assert class_positions(classes, 2)[1].extent == pytest.approx(1.0, abs=0.02)


def test_a_picture_is_counted_in_bands_of_rows(monkeypatch) -> None:
    classes = np.random.default_rng(0).integers(0, 3, (30, 20)).astype(np.uint8)
    at_once = class_positions(classes, 3)
    monkeypatch.setattr(class_positions_module, "SLAB_VOXELS", 45)
    assert class_positions(classes, 3) == at_once
