import numpy as np
import pytest
from scipy import ndimage

from autoseg.datasets import class_centres as class_centres_module
from autoseg.datasets.class_centres import class_centres


@pytest.mark.parametrize("shape", [(9, 11), (5, 7, 9)])
def test_centres_are_centres_of_mass(shape) -> None:
    classes = np.random.default_rng(0).integers(0, 4, shape).astype(np.uint8)
    for index, centre in enumerate(class_centres(classes, 4)):
        expected = (np.array(ndimage.center_of_mass(classes == index)) + 0.5) / shape
        assert centre == pytest.approx(expected, abs=1e-5)


def test_small_classes_in_a_large_image_are_found_slab_by_slab(monkeypatch) -> None:
    monkeypatch.setattr(class_centres_module, "SLAB_VOXELS", 20)
    classes = np.zeros((9, 30, 20), np.uint16)
    classes[3:8, 4:9, 12:19] = np.random.default_rng(0).integers(0, 3, (5, 5, 7))
    for index, centre in enumerate(class_centres(classes, 3)):
        expected = np.array(ndimage.center_of_mass(classes == index)) + 0.5
        assert centre == pytest.approx(expected / classes.shape, abs=1e-5)


def test_an_absent_class_has_no_centre() -> None:
    classes = np.zeros((4, 4), np.uint8)
    assert class_centres(classes, 3) == ((0.5, 0.5), None, None)


def test_an_edge_voxel_lies_half_a_voxel_inside() -> None:
    classes = np.zeros((4, 10), np.uint8)
    classes[0, 9] = 1
    assert class_centres(classes, 2)[1] == pytest.approx((0.125, 0.95))
