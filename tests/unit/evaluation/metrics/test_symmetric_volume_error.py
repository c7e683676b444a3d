"""The symmetric volume error by hand, by counting, and against SimpleITK."""

import numpy as np
import pytest
import SimpleITK

from autoseg.evaluation.class_scores import mask_scores


def error(prediction, reference):
    spacing = (1.0,) * prediction.ndim
    name = "symmetric_volume_error"
    scores = mask_scores(prediction, reference, spacing=spacing, tolerance_mm=1.0, metrics=(name,))
    return scores.metric(name)


def first_voxels(number):
    return np.arange(20).reshape(4, 5) < number


@pytest.mark.parametrize(
    ("predicted", "expected", "error_"),
    [(6, 6, 0), (9, 3, 1), (3, 9, 1), (12, 8, 0.4), (5, 0, 2), (0, 5, 2)],
)
def test_the_difference_is_relative_to_the_mean(predicted, expected, error_):
    assert error(first_voxels(predicted), first_voxels(expected)) == error_


@pytest.mark.parametrize("shape", [(14, 15), (7, 8, 9)])
def test_counting_voxels_and_simpleitk_give_the_same(shape):
    random = np.random.default_rng(0)
    prediction, reference = (random.random(shape) < share for share in (0.3, 0.1))
    counts = [sum(mask.ravel().tolist()) for mask in (prediction, reference)]
    found = error(prediction, reference)
    assert found == pytest.approx(abs(counts[0] - counts[1]) / (sum(counts) / 2))
    overlap = SimpleITK.LabelOverlapMeasuresImageFilter()
    images = (
        SimpleITK.GetImageFromArray(mask.astype(np.uint8)) for mask in (reference, prediction)
    )
    overlap.Execute(*images)
    assert found == pytest.approx(abs(overlap.GetVolumeSimilarity()))
