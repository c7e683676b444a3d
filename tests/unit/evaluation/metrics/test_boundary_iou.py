"""Boundary IoU by hand, and against comparing every voxel with every voxel outside."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from autoseg.evaluation.class_scores import mask_scores, scores_of_values

METRIC = ("boundary_iou",)


def boundary_iou(prediction, reference, spacing):
    scores = mask_scores(prediction, reference, spacing=spacing, tolerance_mm=1.0, metrics=METRIC)
    return scores.metric("boundary_iou")


def brute_force(prediction, reference, spacing):
    """Take a frame of voxels around the image as outside, and compare all pairs of voxels."""
    diagonal = np.sqrt(sum((n * s) ** 2 for n, s in zip(prediction.shape, spacing, strict=True)))
    width = max(0.02 * diagonal, *spacing)

    def region(mask):
        padded = np.pad(mask, 1)
        inside, outside = (np.argwhere(part) * spacing for part in (padded, ~padded))
        near = cdist(inside, outside).min(axis=1) <= width * (1 + 1e-9)
        return {tuple(place) for place in np.argwhere(padded)[near].tolist()}

    first, second = region(prediction), region(reference)
    return len(first & second) / len(first | second)


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((30, 40), (1.0, 1.0)),
        ((130, 110), (1.0, 1.0)),
        ((60, 12), (0.4, 3.0)),
        ((9, 12, 14), (2.0, 1.0, 1.0)),
        ((60, 9, 12), (3.0, 1.0, 1.5)),
    ],
)
def test_random_boxes_are_scored_as_by_brute_force(shape, spacing):
    random = np.random.default_rng(sum(shape))
    masks = []
    for _ in range(2):
        mask = np.zeros(shape, dtype=bool)
        for _ in range(3):
            corners = [sorted(random.choice(size + 1, 2, replace=False)) for size in shape]
            mask[tuple(slice(*corner) for corner in corners)] = True
        masks.append(mask & (random.random(shape) < 0.97))
    found = boundary_iou(*masks, spacing)
    assert 0 < found < 1
    assert found == pytest.approx(brute_force(*masks, spacing), abs=1e-12)


def square(start, stop):
    mask = np.zeros((300, 400), dtype=bool)
    mask[start:stop, start:stop] = True
    return mask


def test_the_boundary_region_is_two_percent_of_the_diagonal_wide():
    """The diagonal of 300 × 400 pixels is 500, so frames of 10 pixels are compared."""
    assert boundary_iou(square(50, 250), square(60, 240), (1.0, 1.0)) == 0
    common = 190**2 - 180**2
    larger, smaller = 200**2 - 180**2, 190**2 - 170**2
    found = boundary_iou(square(50, 250), square(55, 245), (1.0, 1.0))
    assert found == pytest.approx(common / (larger + smaller - common))


def test_a_thin_object_is_scored_by_its_iou():
    first, second = square(50, 70), square(55, 75)
    iou = (first & second).sum() / (first | second).sum()
    assert boundary_iou(first, second, (1.0, 1.0)) == iou


def test_large_objects_are_judged_by_their_boundary():
    first, second = square(20, 280), square(25, 275)
    iou = (first & second).sum() / (first | second).sum()
    assert boundary_iou(first, second, (1.0, 1.0)) < 0.4 < 0.9 < iou


def test_the_image_border_is_a_boundary():
    whole = np.ones((100, 100), dtype=bool)
    hollow = whole.copy()
    hollow[2:-2, 2:-2] = False
    assert boundary_iou(whole, hollow, (1.0, 1.0)) == 1


def test_the_diagonal_is_that_of_the_image_and_not_of_the_object():
    labels = square(50, 250) * 1, square(60, 240) * 1
    (scores,) = scores_of_values(
        *labels, ((1,),), spacing=(1.0, 1.0), tolerances_mm=(1.0,), metrics=METRIC
    )
    assert scores.metric("boundary_iou") == 0


def test_masks_apart_share_no_boundary():
    assert boundary_iou(square(10, 50), square(100, 150), (1.0, 1.0)) == 0
