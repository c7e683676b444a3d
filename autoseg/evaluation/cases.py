"""Score one case."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray
from autoseg.core.errors import CaseError
from autoseg.core.geometry import LengthUnit
from autoseg.core.labels import LabelScheme, Region, unnamed
from autoseg.documents.report import (
    DEFAULT_METRICS,
    FROM_PROBABILITIES,
    ClassScores,
    MetricName,
)
from autoseg.evaluation.metrics import ABSENT, default_tolerance_mm, scores_of_values


@dataclass(frozen=True)
class Measurement:
    """What to measure of a case.

    Attributes:
        metrics: Which; what is measured from probabilities needs those too.
        tolerance_mm: Distance within which surfaces count as equal in NSD; None takes one voxel
            along the coarsest axis of each case.
        class_tolerances_mm: The same for single classes or regions, by name.
    """

    metrics: tuple[MetricName, ...] = DEFAULT_METRICS
    tolerance_mm: float | None = None
    class_tolerances_mm: tuple[tuple[str, float], ...] = ()


USUAL = Measurement()
"""What is measured if nothing else is asked for."""


@dataclass(frozen=True)
class ScoredCase:
    """One case, with the label values that it happens to have.

    Attributes:
        name: The case.
        tolerance_mm: Distance within which surfaces count as equal in NSD, for classes without one
            of their own.
        values: Foreground label values that were scored; for regions, what they are written as.
        scores: Of each of them.
        metrics: What was measured.
        distance_unit: What the distances are in.
    """

    name: str
    tolerance_mm: float
    values: tuple[int, ...]
    scores: tuple[ClassScores, ...]
    metrics: tuple[MetricName, ...] = DEFAULT_METRICS
    distance_unit: LengthUnit = "mm"

    def of_value(self, value: int) -> ClassScores:
        """Return the scores of a label value; those of an absent class if it was not scored."""
        return self.scores[self.values.index(value)] if value in self.values else ABSENT


def score_case(
    name: str,
    prediction: LabelArray,
    reference: LabelArray,
    *,
    spacing: Sequence[float],
    labels: LabelScheme | None = None,
    measurement: Measurement = USUAL,
) -> ScoredCase:
    """Return the scores of every foreground label value that either label map has.

    With regions, each of them is scored instead. Voxels that the reference ignores count in
    neither map; surfaces end where they begin.

    Args:
        name: The case.
        prediction: Label values as files have them.
        reference: Label values, same shape.
        spacing: Voxel size along each axis, mm.
        labels: The classes, regions and ignore value; None takes any value, 0 being background.
        measurement: What to measure.

    Raises:
        CaseError: If a label value is not one of `labels`.
    """
    if labels is not None and labels.ignore is not None:
        prediction, reference = _annotated(prediction, reference, labels)
    found = np.union1d(np.unique(prediction), np.unique(reference))
    if labels is not None:
        _check_values(found, labels)
    targets = _targets(found, labels)
    usual = measurement.tolerance_mm
    usual = default_tolerance_mm(spacing) if usual is None else usual
    own = dict(measurement.class_tolerances_mm)
    metrics = tuple(entry for entry in measurement.metrics if entry not in FROM_PROBABILITIES)
    scores = scores_of_values(
        prediction,
        reference,
        [target.values for target in targets],
        spacing=spacing,
        tolerances_mm=[own.get(target.name, usual) for target in targets],
        metrics=metrics,
    )
    return ScoredCase(
        name=name,
        tolerance_mm=usual,
        values=tuple(target.written_as for target in targets),
        scores=tuple(
            entry.model_copy(update={"tolerance_mm": own.get(target.name)})
            for target, entry in zip(targets, scores, strict=True)
        ),
        metrics=metrics,
    )


def _targets(found: NDArray[np.integer], labels: LabelScheme | None) -> tuple[Region, ...]:
    """Return what is scored: the regions, or each foreground value that occurs."""
    if labels is None:
        values = [int(value) for value in found if value != 0]
        return tuple(
            Region(name=unnamed(value), values=(value,), written_as=value) for value in values
        )
    if labels.regions:
        return labels.regions
    present = [target for target in labels.targets if target.written_as in found]
    return tuple(sorted(present, key=lambda target: target.written_as))


def _annotated(
    prediction: LabelArray, reference: LabelArray, labels: LabelScheme
) -> tuple[LabelArray, LabelArray]:
    """Return both maps with background where nobody annotated."""
    ignored, background = reference == labels.ignore, labels.values[0]
    return np.where(ignored, background, prediction), np.where(ignored, background, reference)


def _check_values(found: NDArray[np.integer], labels: LabelScheme) -> None:
    """Check that all label values are known; that of ignored voxels cannot be predicted.

    Raises:
        CaseError: If one is not.
    """
    unexpected = sorted(set(found.tolist()) - set(labels.values))
    if unexpected:
        msg = (
            f"found label values {unexpected[:10]}, expected only {list(labels.values)}. Check "
            "that prediction and reference were made for the same dataset."
        )
        raise CaseError(msg)
