"""How long to train, as a person says it."""

import re
from dataclasses import dataclass

from autoseg.core.errors import TrainingError
from autoseg.documents.recipe import AnyLength, Budget, Iterations, Recipe

REFERENCE_EPOCHS = 1000
"""Source: Isensee et al., Nature Methods 18 (2021), Methods, "Training schedule"."""

SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class TrainingDuration:
    """How long the user wants to train; at most one of the three is given.

    Attributes:
        epochs: Number of epochs.
        iterations: Number of optimiser steps.
        budget: A time span, see `seconds_of`.
        most_steps: Where a training with a budget ends if it is through with them before.
    """

    epochs: int | None = None
    iterations: int | None = None
    budget: str | None = None
    most_steps: int | None = None

    def length(self, recipe: Recipe, planned_seconds: float | None = None) -> AnyLength:
        """Return the length that is meant; that of the plan or the reference if nothing is given.

        Args:
            recipe: For the steps of an epoch.
            planned_seconds: Time that the plan was sized to; None for the reference's length.

        Raises:
            TrainingError: If more than one is given, or the time span is none.
        """
        given = {"--epochs": self.epochs, "--iterations": self.iterations, "--budget": self.budget}
        named = [name for name, value in given.items() if value is not None]
        if len(named) > 1:
            msg = f"found {' and '.join(named)}; a training has one length. Give one of them."
            raise TrainingError(msg)
        if self.budget is not None:
            return Budget(seconds=seconds_of(self.budget), most_steps=self.most_steps)
        if self.iterations is not None:
            return Iterations(total=self.iterations)
        if self.epochs is None and planned_seconds is not None:
            return Budget(seconds=planned_seconds)
        epochs = self.epochs or REFERENCE_EPOCHS
        return Iterations(total=epochs * recipe.iterations_per_epoch)


def seconds_of(text: str) -> float:
    """Return the seconds of a time span such as `90s`, `30m`, `8h`, `1h30m` or `2d`.

    Raises:
        TrainingError: If it is not one.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text.replace(" ", ""))
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        msg = (
            f"found the time {text!r}; expected numbers with units, such as 90s, 30m, 8h or 1h30m."
        )
        raise TrainingError(msg)
    seconds = sum(float(number) * SECONDS_PER_UNIT[unit] for number, unit in parts)
    if seconds <= 0:
        msg = f"found the time {text!r}; it must be longer than nothing."
        raise TrainingError(msg)
    return seconds
