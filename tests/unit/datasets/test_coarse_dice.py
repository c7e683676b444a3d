import numpy as np
import pytest
from scipy import ndimage

from autoseg.datasets import coarse_dice as coarse_dice_module
from autoseg.datasets.coarse_dice import coarse_dice
from autoseg.documents.fingerprint import COARSENING_FACTORS


def ball(edge: int, radius: float) -> np.ndarray:
    grid = np.indices((edge,) * 3) - (edge - 1) / 2
    return (np.sum(grid**2, axis=0) < radius**2).astype(np.uint8)


def test_coarser_voxels_lose_more_and_larger_objects_less() -> None:
    small = coarse_dice(ball(48, 6.0), (1.0, 1.0, 1.0), 2)
    large = coarse_dice(ball(48, 18.0), (1.0, 1.0, 1.0), 2)
    assert len(small) == len(large) == len(COARSENING_FACTORS)
    assert list(large) == sorted(large, reverse=True)
    assert large[0] > 0.95
    assert all(better > worse for better, worse in zip(large, small, strict=True))


def test_an_axis_that_is_coarse_already_is_left_alone() -> None:
    planes = np.zeros((12, 40, 40), np.uint8)
    planes[::2, 10:30, 10:30] = 1  # alternates from slice to slice
    assert coarse_dice(planes, (12.0, 1.0, 1.0), 2)[1] > 0.95
    assert coarse_dice(planes, (1.0, 1.0, 1.0), 2)[1] < 0.8


def test_classes_count_alike_and_ignored_voxels_not_at_all() -> None:
    classes = np.zeros((40, 40), np.uint8)
    classes[5:35, 5:25] = 1
    classes[20, 30] = 2
    large = coarse_dice(np.where(classes == 1, 1, 0), (1.0, 1.0), 3)
    both = coarse_dice(classes, (1.0, 1.0), 3)
    assert both[-1] == pytest.approx(large[-1] / 2, abs=0.02)
    assert coarse_dice(classes, (1.0, 1.0), 2) == large


def test_without_foreground_there_is_nothing_to_measure() -> None:
    assert coarse_dice(np.zeros((8, 8), np.uint8), (1.0, 1.0), 2) is None


def test_a_large_label_map_is_measured_in_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).normal(size=(60, 60, 60))
    classes = (ndimage.gaussian_filter(noise, 4) > 0).astype(np.uint8)
    whole = coarse_dice(classes, (1.0, 1.0, 1.0), 2)
    monkeypatch.setattr(coarse_dice_module, "MAX_VOXELS", 30**3)
    assert coarse_dice(classes, (1.0, 1.0, 1.0), 2) == pytest.approx(whole, abs=0.05)
