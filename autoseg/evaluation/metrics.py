"""Metrics of predicted masks against reference masks.

Values for empty masks; "none" means undefined:

| reference | prediction | overlap¹ | distances² | sensitivity | precision | relative³ | mL⁴ |
|-----------|------------|----------|------------|-------------|-----------|-----------|-----|
| some      | empty      | 0        | none       | 0           | none      | -1        | all |
| empty     | some       | 0        | none       | none        | 0         | none      | all |
| empty     | empty      | none     | none       | none        | none      | none      | none|

¹ Dice, IoU, NSD, lesion F1, clDice; ² HD, HD95, ASSD; ³ relative volume error; ⁴ absolute volume
error: the volume of the mask that is not empty.

Undefined values are None and excluded from means; the report counts such cases. An infinite
distance would make every mean infinite, and any finite substitute would be arbitrary.

Source: Maier-Hein, Reinke et al., "Metrics reloaded", Nature Methods 21 (2024), which recommends
to report such cases separately. MONAI returns NaN for the same distances, nnU-Net for the Dice of
two empty masks.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from types import MappingProxyType

import numpy as np
from scipy import ndimage

from autoseg.core.arrays import LabelArray, MaskArray
from autoseg.documents.report import DEFAULT_METRICS, ClassScores, MetricName
from autoseg.evaluation.centre_lines import centre_line_dice
from autoseg.evaluation.comparison import Comparison
from autoseg.evaluation.lesions import lesion_f1

ABSENT = ClassScores(reference_voxels=0, predicted_voxels=0)
"""Scores of a class that occurs in neither label map."""

HAUSDORFF_PERCENTILE = 95

LARGEST_COUNTED = 2**16
"""Larger label values are first mapped to small indices, which takes more memory."""

ROUNDING_SLACK = 1e-9
"""Relative slack of the tolerance, for rounding: 3 × 1.1 mm is within 3.3 mm."""


def default_tolerance_mm(spacing: Sequence[float]) -> float:
    """Return the default NSD tolerance: one voxel along the coarsest axis."""
    return float(max(spacing))


def scores_of_values(
    prediction: LabelArray,
    reference: LabelArray,
    values: Sequence[int | tuple[int, ...]],
    *,
    spacing: Sequence[float],
    tolerances_mm: Sequence[float],
    metrics: Sequence[MetricName] = DEFAULT_METRICS,
) -> tuple[ClassScores, ...]:
    """Score several label values, or unions of label values.

    Args:
        prediction: Predicted label values.
        reference: Reference label values, same shape.
        values: Label values or unions; each is scored separately.
        spacing: Voxel size along each axis, mm.
        tolerances_mm: NSD tolerance of each entry of `values`, mm.
        metrics: Metrics to compute.
    """
    unions = [value if isinstance(value, tuple) else (value,) for value in values]
    single = sorted({value for union in unions for value in union})
    boxes = dict(zip(single, _boxes(prediction, reference, single), strict=True))
    scores = []
    for union, tolerance_mm in zip(unions, tolerances_mm, strict=True):
        box = reduce(_union, [boxes[value] for value in union])
        if box is None:
            scores.append(ABSENT)
            continue
        masks = _mask(prediction[box], union), _mask(reference[box], union)
        measured = mask_scores(*masks, spacing=spacing, tolerance_mm=tolerance_mm, metrics=metrics)
        scores.append(measured)
    return tuple(scores)


def mask_scores(
    prediction: MaskArray,
    reference: MaskArray,
    *,
    spacing: Sequence[float],
    tolerance_mm: float,
    metrics: Sequence[MetricName] = DEFAULT_METRICS,
) -> ClassScores:
    """Compute the metrics of one mask; the module's table lists the values for empty masks.

    Args:
        prediction: Predicted mask.
        reference: Reference mask, same shape.
        spacing: Voxel size along each axis, mm.
        tolerance_mm: NSD tolerance, mm.
        metrics: Metrics to compute; metrics that need probabilities are skipped.
    """
    pair = Comparison(prediction, reference, tuple(spacing), tolerance_mm)
    if not pair.predicted and not pair.expected:
        return ABSENT
    measured = {name: MEASURES[name](pair) for name in metrics if name in MEASURES}
    sizes = {"reference_voxels": pair.expected, "predicted_voxels": pair.predicted}
    return ClassScores.model_validate({**measured, **sizes})


def dice(pair: Comparison) -> float:
    """Compute the Dice coefficient. Source: Taha & Hanbury, BMC Medical Imaging 15 (2015)."""
    return 2 * pair.common / (pair.predicted + pair.expected)


def iou(pair: Comparison) -> float:
    """Compute the intersection over union (Jaccard index). Source: as `dice`."""
    return pair.common / (pair.predicted + pair.expected - pair.common)


def sensitivity(pair: Comparison) -> float | None:
    """Compute the share of the reference that is predicted (recall). Source: as `dice`."""
    return pair.common / pair.expected if pair.expected else None


def precision(pair: Comparison) -> float | None:
    """Compute the share of the prediction inside the reference. Source: as `dice`."""
    return pair.common / pair.predicted if pair.predicted else None


def relative_volume_error(pair: Comparison) -> float | None:
    """Compute (predicted - reference) / reference volume.

    Source: Heimann et al., IEEE TMI 28 (2009).
    """
    return (pair.predicted - pair.expected) / pair.expected if pair.expected else None


def absolute_volume_error_ml(pair: Comparison) -> float | None:
    """Compute |predicted - reference| volume, mL; None for 2-D masks, which have no volume."""
    if len(pair.spacing) != 3:
        return None
    return abs(pair.predicted - pair.expected) * pair.voxel_ml


def hausdorff_mm(pair: Comparison) -> float | None:
    """Compute the largest distance of a surface voxel to the other surface. Source: as `dice`."""
    if pair.distances is None:
        return None
    return max(float(directed.max()) for directed in pair.distances)


def hausdorff_95_mm(pair: Comparison) -> float | None:
    """Compute the larger of the two directed 95th percentiles, linearly interpolated (HD95).

    Source: as `dice`; MONAI.
    """
    if pair.distances is None:
        return None
    return max(float(np.percentile(each, HAUSDORFF_PERCENTILE)) for each in pair.distances)


def average_surface_distance_mm(pair: Comparison) -> float | None:
    """Compute the mean distance over the surface voxels of both masks (ASSD).

    Source: Heimann et al., IEEE TMI 28 (2009).
    """
    return None if pair.distances is None else float(np.concatenate(pair.distances).mean())


def surface_dice(pair: Comparison) -> float:
    """Compute the share of both surfaces' voxels within the tolerance of the other one (NSD).

    Source: Nikolov et al., arXiv 1809.04430, counted in surface voxels as MONAI does.
    """
    if pair.distances is None:
        return 0.0
    limit = pair.tolerance_mm * (1 + ROUNDING_SLACK)
    return float((np.concatenate(pair.distances) <= limit).mean())


MEASURES: Mapping[MetricName, Callable[[Comparison], float | None]] = MappingProxyType(
    {
        "dice": dice,
        "iou": iou,
        "hd95_mm": hausdorff_95_mm,
        "assd_mm": average_surface_distance_mm,
        "nsd": surface_dice,
        "sensitivity": sensitivity,
        "precision": precision,
        "relative_volume_error": relative_volume_error,
        "absolute_volume_error_ml": absolute_volume_error_ml,
        "hd_mm": hausdorff_mm,
        "lesion_f1": lambda pair: lesion_f1(pair.prediction, pair.reference),
        "cldice": lambda pair: centre_line_dice(pair.prediction, pair.reference),
    }
)
"""Functions of all metrics that need only label maps. At least one of the masks is not empty."""


def _mask(array: LabelArray, values: tuple[int, ...]) -> MaskArray:
    """Return the mask of voxels that have one of the values."""
    return array == values[0] if len(values) == 1 else np.isin(array, values)


def _boxes(
    prediction: LabelArray, reference: LabelArray, values: Sequence[int]
) -> list[tuple[slice, ...] | None]:
    """Return the bounding box of each value in both arrays together; None if it does not occur."""
    found = [_objects(array, values) for array in (prediction, reference)]
    return [_union(first, second) for first, second in zip(*found, strict=True)]


def _objects(array: LabelArray, values: Sequence[int]) -> list[tuple[slice, ...] | None]:
    """Return the bounding box of each value in one pass; None if it does not occur."""
    if not values:
        return []
    if min(values) > 0 and max(values) <= LARGEST_COUNTED:
        boxes = ndimage.find_objects(array, max_label=max(values))
        return [boxes[value - 1] for value in values]
    order = np.sort(np.asarray(values))
    positions = np.minimum(np.searchsorted(order, array), len(order) - 1)
    indices = np.where(order[positions] == array, positions + 1, 0)
    boxes = ndimage.find_objects(indices, max_label=len(order))
    return [boxes[int(np.searchsorted(order, value))] for value in values]


def _union(
    first: tuple[slice, ...] | None, second: tuple[slice, ...] | None
) -> tuple[slice, ...] | None:
    if first is None or second is None:
        return first or second
    return tuple(
        slice(min(one.start, other.start), max(one.stop, other.stop))
        for one, other in zip(first, second, strict=True)
    )
