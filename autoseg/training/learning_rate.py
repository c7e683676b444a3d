"""How far training is, and which learning rate that means."""

from dataclasses import dataclass

from autoseg.documents.recipe import AnyLength, Budget, Recipe

MINIMUM_EPOCHS = 20
"""Points that the learning curve of a short training has."""


@dataclass(frozen=True)
class Position:
    """Where a training stands.

    Attributes:
        step: Optimiser steps done.
        seconds: Wall-clock time spent, over all interruptions.
    """

    step: int
    seconds: float

    def progress(self, length: AnyLength) -> float:
        """Return the share of the training that is done, in [0, 1]."""
        if isinstance(length, Budget):
            steps = self.step / length.most_steps if length.most_steps else 0.0
            return min(1.0, max(self.seconds / length.seconds, steps))
        return min(1.0, self.step / length.total)

    def seconds_left(self, length: AnyLength) -> float | None:
        """Return the time until the end at the present pace; None before the first step."""
        if isinstance(length, Budget):
            if self.step == 0:
                return max(0.0, length.seconds - self.seconds)
            pace = self.seconds / self.step
            return max(0.0, pace * length.steps(pace) - self.seconds) if pace else length.seconds
        if self.step == 0:
            return None
        return self.seconds / self.step * (length.total - self.step)


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Return the learning rate at `progress` in [0, 1]: linear warm-up, then polynomial decay.

    Source: Isensee et al. 2021, Methods, "Training schedule" (decay; here continuous instead of
    once per epoch).
    """
    rise = min(1.0, (progress + 1e-3) / recipe.warm_up) if recipe.warm_up else 1.0
    decay = (1.0 - min(progress, 1.0)) ** recipe.decay_exponent
    return float(recipe.optimizer.learning_rate * rise * decay)


def epoch_steps(recipe: Recipe, length: AnyLength, seconds_per_step: float) -> int:
    """Return the steps between two validations: the recipe's, or fewer in a short training.

    A training has at least `MINIMUM_EPOCHS` epochs where it has that many steps, so that its curve
    shows something.

    Args:
        recipe: For its `iterations_per_epoch`.
        length: For the number of steps.
        seconds_per_step: Measured; turns a time budget into steps.
    """
    steps = length.steps(seconds_per_step) if isinstance(length, Budget) else length.total
    return max(1, min(recipe.iterations_per_epoch, int(steps / MINIMUM_EPOCHS)))
