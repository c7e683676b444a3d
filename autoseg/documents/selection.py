"""Result of `autoseg select`: the selected configurations and the leaderboard."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, model_validator

from autoseg.core.frozen import Frozen, NonNegativeInt
from autoseg.core.geometry import LengthUnit
from autoseg.core.names import FileName
from autoseg.documents.document import Document
from autoseg.documents.quality import QualityCurve
from autoseg.documents.splits import FoldName

CROSS_VALIDATION_NAME = "cross_validation.json"
"""Name of the selected candidate's report over all held-out cases, next to the selection."""


class Estimate(Frozen):
    """A mean over cases with its confidence interval.

    Attributes:
        value: The mean; None if it is undefined for all cases.
        low: Lower bound of the 95 % bootstrap interval.
        high: Upper bound of this interval.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


class Candidate(Frozen):
    """Cross-validation scores of a configuration, or of several with averaged probabilities.

    Attributes:
        members: Names of its configurations: one, or a pair.
        dice: Dice, averaged over held-out cases and then over classes.
        hd95_mm: 95th percentile of the Hausdorff distance, averaged in the same way.
        nsd: Normalised surface Dice, averaged in the same way.
        seconds_per_case: Time to predict a held-out case with all members.
        memory_gib: Predicted memory of a training step of the largest member, GiB.
        num_cases: Number of held-out cases that were scored.
        distance_unit: Unit of all distances, despite names such as `hd95_mm`.
    """

    members: Annotated[tuple[str, ...], Field(min_length=1)]
    dice: Estimate
    hd95_mm: Estimate
    nsd: Estimate
    seconds_per_case: NonNegativeFloat | None = None
    memory_gib: NonNegativeFloat | None = None
    num_cases: NonNegativeInt | None = None
    distance_unit: LengthUnit = "mm"

    @property
    def name(self) -> str:
        """Display name: the names of the members joined by " + "."""
        return " + ".join(self.members)


class LargestComponent(Frozen):
    """A post-processing step: keep only the largest component of the union of some label values.

    Attributes:
        values: The label values; voxels of smaller components become background.
        dice_before: Cross-validated mean Dice of these values without the step.
        dice_after: Cross-validated mean Dice of these values with the step.
    """

    values: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]
    dice_before: float
    dice_after: float


class Selection(Document):
    """The configurations selected for prediction, and the post-processing.

    Attributes:
        members: Configurations whose probabilities are averaged: one, or a pair.
        folds: Trained folds of each member; prediction averages over them.
        postprocessing: Post-processing steps in order; empty if none improved the Dice.
        reason: Reason for the selection, one sentence.
        candidates: The leaderboard, best first.
        left_out: Configurations with missing folds, scored on their available held-out cases; they
            were not considered for selection.
        quality: Curves of the expected Dice of new cases, one per target; empty with too few
            held-out cases.
        weights: Hash of the weights of each fold, also of previous stages, by the names of
            configuration and fold; empty if unknown.
    """

    FILE_NAME: ClassVar[str] = "selection.json"
    MADE_BY: ClassVar[str] = "autoseg select"
    schema_version: Literal[1] = 1
    members: Annotated[tuple[FileName, ...], Field(min_length=1)]
    folds: tuple[tuple[FoldName, ...], ...]
    postprocessing: tuple[LargestComponent, ...]
    reason: str
    candidates: tuple[Candidate, ...]
    left_out: tuple[Candidate, ...] = ()
    quality: tuple[QualityCurve, ...] = ()
    weights: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> "Selection":
        if len(self.folds) != len(self.members) or not all(self.folds):
            msg = (
                f"each member needs at least one fold; found {len(self.members)} members "
                f"{list(self.members)} with folds {[list(folds) for folds in self.folds]}."
            )
            raise ValueError(msg)
        return self
