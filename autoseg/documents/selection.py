"""What `autoseg select` chose, and from what."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, model_validator

from autoseg.core.frozen import Frozen
from autoseg.core.geometry import LengthUnit
from autoseg.documents.quality import QualityCurve
from autoseg.documents.splits import FoldName

SELECTION_NAME = "selection.json"
"""Name of this document in a work folder and in a model file."""

CROSS_VALIDATION_NAME = "cross_validation.json"
"""Name of the chosen candidate's report over all held-out cases, beside the selection."""


class Estimate(Frozen):
    """A mean over cases with its confidence interval.

    Attributes:
        value: The mean; None where it is nowhere defined.
        low: Lower end of the 95 % bootstrap interval.
        high: Upper end.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


class Candidate(Frozen):
    """A configuration, or several whose probabilities are averaged, by cross-validation.

    Attributes:
        members: Names of its configurations; one, or a pair.
        dice: Mean over classes of the mean over held-out cases.
        hd95_mm: The same of the 95th percentile of the Hausdorff distance.
        nsd: The same of the normalised surface Dice.
        seconds_per_case: Time to predict a held-out case, all members.
        memory_gib: Predicted memory of the largest member's training step.
        num_cases: Held-out cases that it was scored on.
        distance_unit: What distances are in, whatever their names say.
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
        """What to call it."""
        return " + ".join(self.members)


class LargestComponent(Frozen):
    """A step of post-processing: of the union of some label values, only the largest part is kept.

    Attributes:
        values: The label values; voxels of smaller parts become background.
        dice_before: Cross-validated mean Dice of these values without the step.
        dice_after: And with it.
    """

    values: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]
    dice_before: float
    dice_after: float


class Selection(Frozen):
    """Which trained configurations to predict with, and how.

    Attributes:
        members: Configurations whose probabilities are averaged; one, or a pair.
        folds: Per member, which folds there were; prediction averages over them.
        postprocessing: Steps after prediction, in order; empty where none helped.
        reason: Why, in one sentence.
        candidates: The leaderboard, best first.
        left_out: Configurations that lack folds, each on the cases that it has; nothing was chosen
            by these scores.
        quality: Per target, what Dice to expect of a new case; empty without enough held-out cases.
    """

    schema_version: Literal[1] = 1
    members: Annotated[tuple[str, ...], Field(min_length=1)]
    folds: tuple[tuple[FoldName, ...], ...]
    postprocessing: tuple[LargestComponent, ...]
    reason: str
    candidates: tuple[Candidate, ...]
    left_out: tuple[Candidate, ...] = ()
    quality: tuple[QualityCurve, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> "Selection":
        if len(self.folds) != len(self.members) or not all(self.folds):
            msg = (
                f"each member needs its folds; found {len(self.members)} members "
                f"{list(self.members)} with folds {[list(folds) for folds in self.folds]}."
            )
            raise ValueError(msg)
        return self
