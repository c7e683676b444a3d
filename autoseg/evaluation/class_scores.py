"""Scores of the masks of label values."""

from collections.abc import Sequence
from functools import reduce

import numpy as np
from scipy import ndimage

from autoseg.core.arrays import LabelArray, MaskArray, mask_of
from autoseg.documents.report import ClassScores
from autoseg.evaluation.comparison import Comparison
from autoseg.evaluation.metrics import DEFAULT_METRICS, METRICS

LARGEST_COUNTED = 2**16
"""Larger label values are first mapped to small indices, which takes more memory."""


def absent_scores(metrics: Sequence[str]) -> ClassScores:
    """Return the scores of a class that occurs in neither label map: no metric is defined."""
    sizes = {"reference_voxels": 0, "predicted_voxels": 0}
    return ClassScores.model_validate({**dict.fromkeys(metrics), **sizes})


def scores_of_values(
    prediction: LabelArray,
    reference: LabelArray,
    unions: Sequence[tuple[int, ...]],
    *,
    spacing: Sequence[float],
    tolerances_mm: Sequence[float],
    metrics: Sequence[str] = DEFAULT_METRICS,
) -> tuple[ClassScores, ...]:
    """Score several unions of label values.

    Args:
        prediction: Predicted label values.
        reference: Reference label values, same shape.
        unions: Label values of each union; each union is scored separately.
        spacing: Voxel size along each axis, mm.
        tolerances_mm: NSD tolerance of each union, mm.
        metrics: Metrics to compute.
    """
    values = sorted({value for union in unions for value in union})
    found = [_boxes(array, values) for array in (prediction, reference)]
    scores = []
    for union, tolerance_mm in zip(unions, tolerances_mm, strict=True):
        box = reduce(_union, [boxes[value] for boxes in found for value in union])
        if box is None:
            scores.append(absent_scores(metrics))
            continue
        measured = mask_scores(
            mask_of(prediction[box], union),
            mask_of(reference[box], union),
            spacing=spacing,
            tolerance_mm=tolerance_mm,
            metrics=metrics,
            image_shape=reference.shape,
        )
        scores.append(measured)
    return tuple(scores)


def mask_scores(
    prediction: MaskArray,
    reference: MaskArray,
    *,
    spacing: Sequence[float],
    tolerance_mm: float,
    metrics: Sequence[str] = DEFAULT_METRICS,
    image_shape: tuple[int, ...] | None = None,
) -> ClassScores:
    """Compute metrics of one mask.

    Args:
        prediction: Predicted mask.
        reference: Reference mask, same shape.
        spacing: Voxel size along each axis, mm.
        tolerance_mm: NSD tolerance, mm.
        metrics: Metrics to compute.
        image_shape: Shape of the image that the masks are cropped from; None if they are whole.
    """
    shape = reference.shape if image_shape is None else image_shape
    pair = Comparison(prediction, reference, tuple(spacing), tolerance_mm, shape)
    if not pair.predicted and not pair.expected:
        return absent_scores(metrics)
    values = {name: METRICS[name].model_validate({}).compute(pair) for name in metrics}
    sizes = {"reference_voxels": pair.expected, "predicted_voxels": pair.predicted}
    return ClassScores.model_validate({**values, **sizes})


def _boxes(array: LabelArray, values: Sequence[int]) -> dict[int, tuple[slice, ...] | None]:
    """Return the bounding box of each of some ascending values; None if it does not occur."""
    if not values:
        return {}
    if values[0] > 0 and values[-1] <= LARGEST_COUNTED:
        boxes = ndimage.find_objects(array, max_label=values[-1])
        return {value: boxes[value - 1] for value in values}
    order = np.asarray(values)
    positions = np.minimum(np.searchsorted(order, array), len(order) - 1)
    indices = np.where(order[positions] == array, positions + 1, 0)
    return dict(zip(values, ndimage.find_objects(indices, max_label=len(order)), strict=True))


def _union(
    first: tuple[slice, ...] | None, second: tuple[slice, ...] | None
) -> tuple[slice, ...] | None:
    if first is None or second is None:
        return first or second
    return tuple(
        slice(min(one.start, other.start), max(one.stop, other.stop))
        for one, other in zip(first, second, strict=True)
    )
