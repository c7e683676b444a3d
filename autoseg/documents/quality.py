"""TTA consistency of predictions, and the Dice it predicts."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import NonNegativeFloat

from autoseg.core.frozen import Fraction, Frozen, NonNegativeInt
from autoseg.documents.document import Document


class CaseTtaConsistency(Document):
    """TTA consistency of one case: the agreement of predictions on mirrored images.

    Attributes:
        name: Name of the case.
        targets: Consistency of each of `LabelScheme.targets`; None if no prediction contains the
            target, or without TTA.
    """

    FILE_NAME: ClassVar[str] = "agreement.json"
    MADE_BY: ClassVar[str] = "autoseg train"
    name: str
    targets: tuple[Fraction | None, ...]


class QualityCurve(Frozen):
    """Expected Dice of one target as a function of TTA consistency.

    Attributes:
        name: Name of the target.
        agreements: TTA consistencies, ascending; the curve is linear between them and constant
            outside.
        dice: Expected Dice at each of `agreements`, non-decreasing.
        error: Cross-validated mean absolute error of the expected Dice.
        cases: Number of cases that the curve was fitted on.
    """

    name: str
    agreements: tuple[Fraction, ...]
    dice: tuple[Fraction, ...]
    error: NonNegativeFloat
    cases: NonNegativeInt

    def expected_dice(self, agreement: float) -> float:
        """Return the expected Dice at a TTA consistency."""
        return float(np.interp(agreement, self.agreements, self.dice))


class ExpectedDice(Frozen):
    """Expected Dice of one target of one case.

    Attributes:
        name: Name of the target.
        dice: Expected Dice.
        error: Mean absolute error of the expected Dice on held-out cases.
    """

    name: str
    dice: Fraction
    error: NonNegativeFloat


class CaseQuality(Frozen):
    """Expected Dice of one case that has no reference.

    Attributes:
        name: Name of the case.
        targets: The targets with an expected Dice.
    """

    name: str
    targets: tuple[ExpectedDice, ...]


class Quality(Document):
    """Expected Dice of the cases in a folder.

    Attributes:
        cases: The cases, sorted by name.
    """

    FILE_NAME: ClassVar[str] = "quality.json"
    MADE_BY: ClassVar[str] = "autoseg predict"
    schema_version: Literal[1] = 1
    cases: tuple[CaseQuality, ...]


def mean_tta_consistency(members: Sequence[tuple[float | None, ...]]) -> tuple[float | None, ...]:
    """Average the TTA consistency over configurations, per target; None if no value is known."""
    known = (
        [value for value in column if value is not None] for column in zip(*members, strict=True)
    )
    return tuple(sum(values) / len(values) if values else None for values in known)
