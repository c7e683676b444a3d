"""Score one case."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray
from autoseg.core.errors import CaseError
from autoseg.core.labels import LabelScheme
from autoseg.documents.report import ClassScores
from autoseg.evaluation.metrics import ABSENT, default_tolerance_mm, scores_of_values


@dataclass(frozen=True)
class ScoredCase:
    """One case, with the label values that it happens to have.

    Attributes:
        name: The case.
        tolerance_mm: Distance within which surfaces count as equal in NSD.
        values: Foreground label values that were scored; for regions, what they are written as.
        scores: Of each of them.
    """

    name: str
    tolerance_mm: float
    values: tuple[int, ...]
    scores: tuple[ClassScores, ...]

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
    tolerance_mm: float | None = None,
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
        tolerance_mm: Distance within which surfaces count as equal in NSD; None takes one voxel
            along the coarsest axis.

    Raises:
        CaseError: If a label value is not one of `labels`.
    """
    if labels is not None and labels.ignore is not None:
        prediction, reference = _annotated(prediction, reference, labels)
    found = np.union1d(np.unique(prediction), np.unique(reference))
    if labels is not None:
        _check_values(found, labels)
    background = 0 if labels is None else labels.values[0]
    values = tuple(int(value) for value in found if value != background)
    unions: tuple[int | tuple[int, ...], ...] = values
    if labels is not None and labels.regions:
        values = tuple(region.written_as for region in labels.regions)
        unions = tuple(region.values for region in labels.regions)
    tolerance = default_tolerance_mm(spacing) if tolerance_mm is None else tolerance_mm
    scores = scores_of_values(
        prediction, reference, unions, spacing=spacing, tolerance_mm=tolerance
    )
    return ScoredCase(name=name, tolerance_mm=tolerance, values=values, scores=scores)


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
