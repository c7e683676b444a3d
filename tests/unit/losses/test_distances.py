import numpy as np
import pytest
import torch
from scipy import ndimage

from autoseg.losses.distances import (
    LabelMasks,
    boundary_distances,
    contour_distances,
    distances_to,
    signed_distances,
)

SPACING = (3.0, 0.7, 1.2)


def blobs(*space: int) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(3, *space))
    return ndimage.gaussian_filter(noise, (0, *[1.0] * len(space))) > 0.1


def brute_force(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Return the distance of every voxel to the nearest of the mask, by trying all."""
    places = np.argwhere(np.ones_like(mask)) * spacing
    ways = np.linalg.norm(places[:, None] - (np.argwhere(mask) * spacing)[None], axis=2)
    return ways.min(axis=1).reshape(mask.shape)


def masks(foreground: np.ndarray, annotated=None, *, are_regions: bool = False) -> LabelMasks:
    spacing = SPACING[: foreground.ndim - 1]
    return LabelMasks(foreground, annotated, spacing, are_regions=are_regions)


@pytest.mark.parametrize("space", [(7, 9), (4, 6, 5)], ids=["2d", "3d"])
def test_distances_are_those_of_trying_all_voxels(space: tuple[int, ...]) -> None:
    found = distances_to(torch.from_numpy(blobs(*space))[None], SPACING[: len(space)])
    for channel, mask in zip(found[0].numpy(), blobs(*space), strict=True):
        assert np.allclose(channel, brute_force(mask, SPACING[: len(space)]), rtol=1e-5)


def test_distances_are_negative_inside_and_in_millimetres() -> None:
    inside = np.array([[[False, True, True, False, False]]])
    found = signed_distances(LabelMasks(inside, None, (1.0, 2.0), are_regions=False))
    assert found.tolist() == [[[2.0, -2.0, -2.0, 2.0, 4.0]]]


@pytest.mark.parametrize("value", [False, True], ids=["absent", "everywhere"])
def test_what_has_no_boundary_has_no_distance(value: bool) -> None:
    full = np.full((2, 4, 5), value)
    assert not signed_distances(masks(full)).any()
    assert not contour_distances(masks(full)).any()
    assert not boundary_distances(torch.from_numpy(full)[None], None, (1.0, 1.0)).any()


def test_an_ignored_voxel_is_on_neither_side() -> None:
    inside = np.array([[[True, True, False, False, False]]])
    annotated = np.array([[True, False, False, True, True]])
    for ignored in (True, False):
        inside[0, 0, 1] = ignored
        found = signed_distances(LabelMasks(inside, annotated, (1.0, 1.0), are_regions=False))
        assert found[0][annotated].tolist() == [-3.0, 3.0, 4.0]


def test_the_contour_of_classes_is_where_a_voxel_of_another_class_is_near() -> None:
    classes = np.array([[0, 0, 1, 1, 2, 2, 2]])
    foreground = np.stack([classes == index for index in (1, 2, 3)])
    found = contour_distances(LabelMasks(foreground, None, (1.0, 1.0), are_regions=False))
    assert found.tolist() == [[[2.0, 1.0, 1.0, 1.0, 1.0, 2.0, 3.0]]]


def test_regions_have_contours_of_their_own() -> None:
    regions = np.array([[[False, True, True, True]], [[False, False, False, True]]])
    found = contour_distances(LabelMasks(regions, None, (1.0, 1.0), are_regions=True))
    assert found.tolist() == [[[1.0, 1.0, 2.0, 3.0]], [[3.0, 2.0, 1.0, 1.0]]]


def test_batches_and_patches_are_measured_alike() -> None:
    foreground = blobs(6, 7)
    annotated = np.random.default_rng(1).random((6, 7)) > 0.3
    batch = boundary_distances(
        torch.from_numpy(foreground)[None], torch.from_numpy(annotated)[None], SPACING[:2]
    )
    patch = np.abs(signed_distances(masks(foreground, annotated)))
    assert np.allclose(batch[0].numpy()[:, annotated], patch[:, annotated])
