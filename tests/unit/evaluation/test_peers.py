"""Metrics against MONAI's, on random blobs with uneven spacing."""

import warnings

import numpy as np
import pytest
import torch
from scipy import ndimage

from autoseg.evaluation.class_scores import mask_scores
from autoseg.evaluation.metrics.ece import BINS, CalibrationError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peer = pytest.importorskip("monai.metrics", reason="MONAI is not installed: the extra `peers`")

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:monai")

SPACINGS = [(2.5, 1.0, 0.8), (0.5, 0.7)]
TOLERANCE_MM = 1.2


def blobs(shape, seed):
    """Return a smooth random mask that does not touch the border, where MONAI sees no surface."""
    random = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(random.normal(size=shape), 2)
    return np.pad(smooth > 0.02, 2)


@pytest.fixture(params=SPACINGS, ids=["3-D", "2-D"])
def example(request):
    spacing = request.param
    shape = (14, 18, 20)[: len(spacing)]
    return blobs(shape, 0), blobs(shape, 1), spacing


def tensors(*masks):
    return [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in masks]


def test_distances_are_those_of_monai(example):
    *masks, spacing = example
    ours = mask_scores(*masks, spacing=spacing, tolerance_mm=TOLERANCE_MM)
    theirs = tensors(*masks)
    settings = {"include_background": True, "spacing": spacing}
    hd, hd95 = (
        peer.compute_hausdorff_distance(*theirs, percentile=percentile, **settings)
        for percentile in (None, 95)
    )
    assd = peer.compute_average_surface_distance(*theirs, symmetric=True, **settings)
    nsd = peer.compute_surface_dice(*theirs, class_thresholds=[TOLERANCE_MM], **settings)
    found = [float(value) for value in (hd, hd95, assd, nsd)]
    assert [
        ours.metric("hd_mm"),
        ours.metric("hd95_mm"),
        ours.metric("assd_mm"),
        ours.metric("nsd"),
    ] == pytest.approx(found, rel=1e-5)


def test_overlaps_are_those_of_monai(example):
    *masks, spacing = example
    ours = mask_scores(*masks, spacing=spacing, tolerance_mm=TOLERANCE_MM)
    theirs = tensors(*masks)
    confusion = peer.get_confusion_matrix(*theirs, include_background=True)
    names = ("sensitivity", "precision")
    shares = [peer.compute_confusion_matrix_metric(name, confusion) for name in names]
    found = [peer.compute_dice(*theirs), peer.compute_iou(*theirs), *shares]
    expected = [float(value) for value in found]
    assert [
        ours.dice,
        ours.metric("iou"),
        ours.metric("sensitivity"),
        ours.metric("precision"),
    ] == pytest.approx(expected)


def test_the_volume_error_is_that_of_monai(example):
    *masks, spacing = example
    ours = mask_scores(*masks, spacing=spacing, tolerance_mm=TOLERANCE_MM)
    theirs = peer.compute_absolute_volume_difference(*tensors(*masks))
    difference = ours.predicted_voxels - ours.reference_voxels
    assert ours.metric("relative_volume_error") == pytest.approx(difference / ours.reference_voxels)
    assert abs(difference) in (float(theirs), pytest.approx(float(theirs) * ours.reference_voxels))


def test_the_calibration_error_is_that_of_monai():
    random = np.random.default_rng(2)
    probabilities = random.random((1, 1, 40, 50)).astype(np.float32)
    truth = random.random((1, 1, 40, 50)) < probabilities**2
    ours = CalibrationError()
    ours.add(probabilities.ravel(), truth.ravel())
    metric = peer.CalibrationErrorMetric(
        num_bins=BINS, include_background=True, calibration_reduction="expected"
    )
    metric(y_pred=torch.from_numpy(probabilities), y=torch.from_numpy(truth))
    assert ours.value() == pytest.approx(float(metric.aggregate()), abs=1e-6)
