"""Position in a training, and the length of its epochs."""

from dataclasses import dataclass

from autoseg.documents.recipe import AnyLength, Budget, Recipe

MINIMUM_EPOCHS = 20
"""Minimum number of points of the learning curve of a short training."""


@dataclass(frozen=True)
class Position:
    """Position of a training.

    Attributes:
        step: Number of completed optimiser steps.
        seconds: Training time so far, summed over interruptions.
    """

    step: int
    seconds: float

    def progress(self, length: AnyLength) -> float:
        """Return the completed share of the training, in [0, 1]."""
        if isinstance(length, Budget):
            steps = self.step / length.most_steps if length.most_steps else 0.0
            return min(1.0, max(self.seconds / length.seconds, steps))
        return min(1.0, self.step / length.total)

    def seconds_left(self, length: AnyLength) -> float | None:
        """Return the remaining time at the present speed; None if unknown before the first step."""
        if isinstance(length, Budget):
            if self.step == 0:
                return max(0.0, length.seconds - self.seconds)
            per_step = self.seconds / self.step
            if not per_step:
                return length.seconds
            return max(0.0, per_step * length.steps(per_step) - self.seconds)
        if self.step == 0:
            return None
        return self.seconds / self.step * (length.total - self.step)


def epoch_steps(recipe: Recipe, length: AnyLength, seconds_per_step: float) -> int:
    """Return the steps per epoch: those of the recipe, or fewer in a short training.

    A training has at least `MINIMUM_EPOCHS` epochs if it has that many steps, so that its learning
    curve has enough points.

    Args:
        recipe: Training recipe with `iterations_per_epoch`.
        length: Length of the training.
        seconds_per_step: Measured time per step, to convert a time budget into steps.
    """
    steps = length.steps(seconds_per_step) if isinstance(length, Budget) else length.total
    return max(1, min(recipe.iterations_per_epoch, int(steps / MINIMUM_EPOCHS)))
