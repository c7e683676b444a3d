"""Score one case."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
        values: Foreground label values that were scored.
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

    Args:
        name: The case.
        prediction: Label values as files have them.
        reference: Label values, same shape.
        spacing: Voxel size along each axis, mm.
        labels: The classes; None takes any value, 0 being background.
        tolerance_mm: Distance within which surfaces count as equal in NSD; None takes one voxel
            along the coarsest axis.

    Raises:
        CaseError: If a label value is not one of `labels`.
    """
    found = np.union1d(np.unique(prediction), np.unique(reference))
    unexpected = [] if labels is None else sorted(set(found.tolist()) - set(labels.values))
    if labels is not None and unexpected:
        msg = (
            f"found label values {unexpected[:10]}, expected only {list(labels.values)}. Check "
            "that prediction and reference were made for the same dataset."
        )
        raise CaseError(msg)
    background = 0 if labels is None else labels.values[0]
    values = tuple(int(value) for value in found if value != background)
    tolerance = default_tolerance_mm(spacing) if tolerance_mm is None else tolerance_mm
    scores = scores_of_values(
        prediction, reference, values, spacing=spacing, tolerance_mm=tolerance
    )
    return ScoredCase(name=name, tolerance_mm=tolerance, values=values, scores=scores)
