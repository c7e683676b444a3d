"""Compare a predicted mask with a reference mask.

What happens when a mask is empty:

| reference | prediction | Dice, IoU, NSD | HD95, ASSD  |
|-----------|------------|----------------|-------------|
| some      | some       | as defined     | as defined  |
| some      | empty      | 0              | not defined |
| empty     | some       | 0              | not defined |
| empty     | empty      | not defined    | not defined |

"Not defined" is None, is left out of means, and the report counts such cases. An infinite distance
would make every mean infinite, and any finite stand-in would be invented.

Source: Maier-Hein, Reinke et al., "Metrics reloaded", Nature Methods 21 (2024), which recommends
to report such cases apart. MONAI gives NaN for the same distances, nnU-Net for the Dice of two
empty masks.
"""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from autoseg.core.arrays import LabelArray, MaskArray
from autoseg.documents.report import ClassScores

ABSENT = ClassScores(
    dice=None,
    iou=None,
    hd95_mm=None,
    assd_mm=None,
    nsd=None,
    reference_voxels=0,
    predicted_voxels=0,
)
"""Scores of a class that neither mask has."""

HAUSDORFF_PERCENTILE = 95

ROUNDING_SLACK = 1e-9
"""Three voxels of 0.7 mm count as within 2.1 mm, although 3 × 0.7 rounds to more."""


class SurfaceDistances(NamedTuple):
    """How far each surface voxel is from the other mask's surface, mm.

    Attributes:
        from_prediction: One distance per surface voxel of the prediction.
        from_reference: One distance per surface voxel of the reference.
    """

    from_prediction: Float[np.ndarray, " predicted"]
    from_reference: Float[np.ndarray, " reference"]


def default_tolerance_mm(spacing: Sequence[float]) -> float:
    """Return the tolerance of NSD when none is given: one voxel along the coarsest axis."""
    return float(max(spacing))


def scores_of_values(
    prediction: LabelArray,
    reference: LabelArray,
    values: Sequence[int | tuple[int, ...]],
    *,
    spacing: Sequence[float],
    tolerance_mm: float,
) -> tuple[ClassScores, ...]:
    """Return the scores of several label values, or unions of values.

    Args:
        prediction: Label values.
        reference: Label values, same shape.
        values: Which to score, each on its own.
        spacing: Voxel size along each axis, mm.
        tolerance_mm: Distance within which surfaces count as equal in NSD.
    """
    unions = [value if isinstance(value, tuple) else (value,) for value in values]
    single = sorted({value for union in unions for value in union})
    boxes = dict(zip(single, _boxes(prediction, reference, single), strict=True))
    scores = []
    for union in unions:
        box = reduce(_union, [boxes[value] for value in union])
        if box is None:
            scores.append(ABSENT)
            continue
        masks = _mask(prediction[box], union), _mask(reference[box], union)
        scores.append(mask_scores(*masks, spacing=spacing, tolerance_mm=tolerance_mm))
    return tuple(scores)


def mask_scores(
    prediction: MaskArray,
    reference: MaskArray,
    *,
    spacing: Sequence[float],
    tolerance_mm: float,
) -> ClassScores:
    """Return all metrics of one mask; the module says what empty masks give.

    Args:
        prediction: Predicted voxels.
        reference: True voxels, same shape.
        spacing: Voxel size along each axis, mm.
        tolerance_mm: Distance within which surfaces count as equal in NSD.

    Source: Dice and IoU: Taha & Hanbury, BMC Medical Imaging 15 (2015). HD95: the larger of the
        two directed 95th percentiles (ibid.; MONAI). ASSD: the mean over both surfaces' voxels
        together. NSD: Nikolov et al., arXiv 1809.04430, counted in surface voxels as MONAI does.
    """
    predicted, expected = int(prediction.sum()), int(reference.sum())
    if not predicted and not expected:
        return ABSENT
    common = int(np.count_nonzero(prediction & reference))
    has_both = bool(predicted and expected)
    distances = surface_distances(prediction, reference, spacing) if has_both else None
    return ClassScores(
        dice=2 * common / (predicted + expected),
        iou=common / (predicted + expected - common),
        hd95_mm=None if distances is None else hausdorff_95_mm(distances),
        assd_mm=None if distances is None else average_surface_distance_mm(distances),
        nsd=0.0 if distances is None else surface_dice(distances, tolerance_mm),
        reference_voxels=expected,
        predicted_voxels=predicted,
    )


def hausdorff_95_mm(distances: SurfaceDistances) -> float:
    """Return the larger of the two directed 95th percentiles (linearly interpolated)."""
    return max(float(np.percentile(directed, HAUSDORFF_PERCENTILE)) for directed in distances)


def average_surface_distance_mm(distances: SurfaceDistances) -> float:
    """Return the mean distance over the surface voxels of both masks."""
    return float(np.concatenate(distances).mean())


def surface_dice(distances: SurfaceDistances, tolerance_mm: float) -> float:
    """Return the fraction of both surfaces' voxels that lie within the tolerance of the other."""
    limit = tolerance_mm * (1 + ROUNDING_SLACK)
    return float((np.concatenate(distances) <= limit).mean())


def surface_distances(
    prediction: MaskArray, reference: MaskArray, spacing: Sequence[float]
) -> SurfaceDistances:
    """Return the distances between the surfaces of two masks, neither of them empty."""
    predicted, expected = surface(prediction), surface(reference)
    return SurfaceDistances(
        from_prediction=_distance_to(expected, spacing)[predicted],
        from_reference=_distance_to(predicted, spacing)[expected],
    )


def surface(mask: MaskArray) -> MaskArray:
    """Return the voxels of a mask that share a face with a voxel outside it or with the border."""
    return np.asarray(mask & ~ndimage.binary_erosion(mask))


def _distance_to(surface: MaskArray, spacing: Sequence[float]) -> Float[np.ndarray, "*space"]:
    return np.asarray(ndimage.distance_transform_edt(~surface, sampling=spacing))


def _mask(array: LabelArray, values: tuple[int, ...]) -> MaskArray:
    """Return the voxels that have one of the values."""
    return array == values[0] if len(values) == 1 else np.isin(array, values)


def _boxes(
    prediction: LabelArray, reference: LabelArray, values: Sequence[int]
) -> list[tuple[slice, ...] | None]:
    """Return the smallest box around each value in either array, in one pass over each."""
    found = [_objects(array, values) for array in (prediction, reference)]
    return [_union(first, second) for first, second in zip(*found, strict=True)]


def _objects(array: LabelArray, values: Sequence[int]) -> list[tuple[slice, ...] | None]:
    """Return the smallest box around each value; None where there is none."""
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
