"""How far networks agree with themselves on an image, and what Dice that lets expect."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import NonNegativeFloat, NonNegativeInt

from autoseg.core.frozen import Fraction, Frozen


class CaseAgreement(Frozen):
    """How far the networks agree on one case.

    Attributes:
        name: The case.
        targets: Agreement over flips per target, as `LabelScheme.targets`; None where no answer has
            it, or nothing was mirrored.
    """

    name: str
    targets: tuple[Fraction | None, ...]


class QualityCurve(Frozen):
    """What Dice to expect of one target.

    Attributes:
        name: The target.
        agreements: Ascending; between them the curve is straight, beyond them level.
        dice: Expected Dice at each, never falling.
        error: Mean absolute error on held-out cases that the curve was fitted without.
        cases: How many cases it was fitted on.
    """

    name: str
    agreements: tuple[Fraction, ...]
    dice: tuple[Fraction, ...]
    error: NonNegativeFloat
    cases: NonNegativeInt

    def expected_dice(self, agreement: float) -> float:
        """Return the Dice to expect at an agreement."""
        return float(np.interp(agreement, self.agreements, self.dice))


class ExpectedDice(Frozen):
    """What Dice to expect of one target of one case.

    Attributes:
        name: The target.
        dice: Expected Dice.
        error: Mean absolute error of such expectations on held-out cases.
    """

    name: str
    dice: Fraction
    error: NonNegativeFloat


class CaseQuality(Frozen):
    """What Dice to expect of one case, which has no reference.

    Attributes:
        name: The case.
        targets: Those that have an expectation.
    """

    name: str
    targets: tuple[ExpectedDice, ...]


class Quality(Frozen):
    """What Dice to expect of the cases of a folder.

    Attributes:
        cases: Sorted by name.
    """

    schema_version: Literal[1] = 1
    cases: tuple[CaseQuality, ...]


def mean_agreement(members: Sequence[tuple[float | None, ...]]) -> tuple[float | None, ...]:
    """Return the mean over several configurations, per target; None where none has it."""
    known = (
        [value for value in column if value is not None] for column in zip(*members, strict=True)
    )
    return tuple(sum(values) / len(values) if values else None for values in known)
