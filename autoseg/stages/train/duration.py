"""Training duration, as given by the user."""

import re
from dataclasses import dataclass

from autoseg.core.errors import TrainingError
from autoseg.documents.recipe import AnyLength, Budget, Iterations, Recipe

REFERENCE_EPOCHS = 1000
"""Source: Isensee et al., Nature Methods 18 (2021), Methods, "Training schedule"."""

SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class TrainingDuration:
    """Duration of a training; at most one of epochs, iterations and budget may be given.

    Attributes:
        epochs: Number of epochs.
        iterations: Number of optimiser steps.
        budget: A time span, see `parse_duration`.
        most_steps: Maximum number of optimiser steps of a training with a budget.
    """

    epochs: int | None = None
    iterations: int | None = None
    budget: str | None = None
    most_steps: int | None = None

    def length(self, recipe: Recipe, planned_seconds: float | None = None) -> AnyLength:
        """Return the training length; by default that of the plan, else that of the reference.

        Args:
            recipe: Recipe, which defines the number of steps per epoch.
            planned_seconds: Time budget of the plan; None if it has none.

        Raises:
            TrainingError: If more than one duration is given, or the budget is not a valid time.
        """
        given = {"--epochs": self.epochs, "--iterations": self.iterations, "--budget": self.budget}
        named = [name for name, value in given.items() if value is not None]
        if len(named) > 1:
            msg = f"found {' and '.join(named)}, which are mutually exclusive. Give one of them."
            raise TrainingError(msg)
        if self.budget is not None:
            return Budget(seconds=parse_duration(self.budget), most_steps=self.most_steps)
        if self.iterations is not None:
            return Iterations(total=self.iterations)
        if self.epochs is None and planned_seconds is not None:
            return Budget(seconds=planned_seconds)
        epochs = self.epochs or REFERENCE_EPOCHS
        return Iterations(total=epochs * recipe.iterations_per_epoch)


def parse_duration(text: str) -> float:
    """Parse a time span such as `90s`, `30m`, `8h`, `1h30m` or `2d`; return its seconds.

    Raises:
        TrainingError: If the text is not a time span, or not positive.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text.replace(" ", ""))
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        msg = (
            f"found the time {text!r}; expected numbers with units, such as 90s, 30m, 8h or 1h30m."
        )
        raise TrainingError(msg)
    seconds = sum(float(number) * SECONDS_PER_UNIT[unit] for number, unit in parts)
    if seconds <= 0:
        msg = f"found the time {text!r}; it must be positive, such as 30m."
        raise TrainingError(msg)
    return seconds
