"""Score the label map of one case."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray
from autoseg.core.errors import CaseError
from autoseg.core.geometry import LengthUnit
from autoseg.core.labels import LabelScheme, Region, default_label_name
from autoseg.documents.report import ClassScores
from autoseg.evaluation.class_scores import absent_scores, scores_of_values
from autoseg.evaluation.metrics import DEFAULT_METRICS


@dataclass(frozen=True)
class Measurement:
    """Which metrics to compute, and the tolerances of NSD.

    Attributes:
        metrics: Names of the metrics to compute.
        tolerance_mm: NSD tolerance, mm; None uses one voxel along the coarsest axis of each case.
        class_tolerances_mm: NSD tolerances of single classes or regions, by name.
    """

    metrics: tuple[str, ...] = DEFAULT_METRICS
    tolerance_mm: float | None = None
    class_tolerances_mm: tuple[tuple[str, float], ...] = ()


DEFAULT_MEASUREMENT = Measurement()
"""Default metrics and tolerances."""


@dataclass(frozen=True)
class ScoredCase:
    """Scores of one case for the label values that occur in it.

    Attributes:
        name: Name of the case.
        tolerance_mm: NSD tolerance, mm, of classes without a tolerance of their own.
        values: Scored foreground label values; for regions, the values that they are written as.
        scores: Scores of each value, in the same order.
        metrics: Metrics that were computed.
        distance_unit: Unit of the distances.
    """

    name: str
    tolerance_mm: float
    values: tuple[int, ...]
    scores: tuple[ClassScores, ...]
    metrics: tuple[str, ...] = DEFAULT_METRICS
    distance_unit: LengthUnit = "mm"

    def of_value(self, value: int) -> ClassScores:
        """Return the scores of a label value, or those of an absent class if it was not scored."""
        if value not in self.values:
            return absent_scores(self.metrics)
        return self.scores[self.values.index(value)]


def score_case(
    name: str,
    prediction: LabelArray,
    reference: LabelArray,
    *,
    spacing: Sequence[float],
    labels: LabelScheme | None = None,
    measurement: Measurement = DEFAULT_MEASUREMENT,
) -> ScoredCase:
    """Score each foreground label value that occurs in the prediction or the reference.

    If the labels have regions, the regions are scored instead. Voxels with the ignore value in the
    reference are excluded from both label maps, and surfaces end at their border.

    Args:
        name: Name of the case.
        prediction: Predicted label values, as in files.
        reference: Reference label values, same shape.
        spacing: Voxel size along each axis, mm.
        labels: Classes, regions and ignore value; None scores every value except 0.
        measurement: Metrics and tolerances.

    Raises:
        CaseError: If a label value is not in `labels`.
    """
    if labels is not None and labels.ignore is not None:
        prediction, reference = annotated(prediction, reference, labels)
    found = np.union1d(np.unique(prediction), np.unique(reference))
    if labels is not None:
        _check_values(found, labels)
    targets = _targets(found, labels)
    tolerance_mm = measurement.tolerance_mm
    if tolerance_mm is None:
        tolerance_mm = float(max(spacing))
    class_tolerances = dict(measurement.class_tolerances_mm)
    scores = scores_of_values(
        prediction,
        reference,
        [target.values for target in targets],
        spacing=spacing,
        tolerances_mm=[class_tolerances.get(target.name, tolerance_mm) for target in targets],
        metrics=measurement.metrics,
    )
    return ScoredCase(
        name=name,
        tolerance_mm=tolerance_mm,
        values=tuple(target.written_as for target in targets),
        scores=tuple(
            entry.model_copy(update={"tolerance_mm": class_tolerances.get(target.name)})
            for target, entry in zip(targets, scores, strict=True)
        ),
        metrics=measurement.metrics,
    )


def _targets(found: NDArray[np.integer], labels: LabelScheme | None) -> tuple[Region, ...]:
    """Return the targets to score: all regions, or the foreground values that occur."""
    if labels is None:
        values = [int(value) for value in found if value != 0]
        return tuple(
            Region(name=default_label_name(value), values=(value,), written_as=value)
            for value in values
        )
    if labels.regions:
        return labels.regions
    present = [target for target in labels.targets if target.written_as in found]
    return tuple(sorted(present, key=lambda target: target.written_as))


def annotated(
    prediction: LabelArray, reference: LabelArray, labels: LabelScheme
) -> tuple[LabelArray, LabelArray]:
    """Replace the voxels that the reference ignores by background in both label maps.

    Args:
        prediction: Predicted label values.
        reference: Reference label values, same shape.
        labels: Label scheme with an ignore value.
    """
    ignored, background = reference == labels.ignore, labels.values[0]
    return np.where(ignored, background, prediction), np.where(ignored, background, reference)


def _check_values(found: NDArray[np.integer], labels: LabelScheme) -> None:
    """Raise a CaseError if a value is not declared; no prediction may have the ignore value."""
    unexpected = sorted(set(found.tolist()) - set(labels.values))
    if unexpected:
        msg = (
            f"found label values {unexpected[:10]}, expected only {list(labels.values)}. Check "
            "that prediction and reference belong to the same dataset."
        )
        raise CaseError(msg)
