"""What `autoseg run` has begun, so that the same command goes on where it stopped."""

from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from autoseg.core.frozen import Frozen


class ScheduledTraining(Frozen):
    """One training that was begun; its length never changes afterwards.

    Attributes:
        configuration: Which configuration of the plan.
        fold: Which fold.
        seconds: Training time; None trains as long as the plan's recipe.
        most_steps: Where it ends if that comes before; None where the time is sure to come before.
        started_seconds: What the run had taken when it began; None if that was not kept.
        trained_seconds: What it took, at most `seconds`; None until it is done.
        overhead_seconds: What preparing and scoring took beside it; None until it is done.
    """

    configuration: str
    fold: NonNegativeInt
    seconds: PositiveFloat | None
    most_steps: PositiveInt | None = None
    started_seconds: NonNegativeFloat | None = None
    trained_seconds: NonNegativeFloat | None = None
    overhead_seconds: NonNegativeFloat | None = None


class RunSchedule(Frozen):
    """How the time of a run is spent.

    Attributes:
        budget_seconds: What the user gave for everything; None for as long as it takes.
        seconds_spent: So far, over all interruptions.
        candidates: Configurations that may be trained, the plan's default first.
        reason: Why these.
        trainings: What was begun, in order.
    """

    schema_version: Literal[1] = 1
    budget_seconds: PositiveFloat | None
    seconds_spent: NonNegativeFloat = 0.0
    candidates: tuple[str, ...]
    reason: str
    trainings: tuple[ScheduledTraining, ...] = ()

    @property
    def seconds_left(self) -> float | None:
        """What the budget still holds, at least 0; None without a budget."""
        if self.budget_seconds is None:
            return None
        return max(0.0, self.budget_seconds - self.seconds_spent)

    def training(self, configuration: str, fold: int) -> ScheduledTraining | None:
        """Return the entry of a training, if it was begun."""
        for entry in self.trainings:
            if (entry.configuration, entry.fold) == (configuration, fold):
                return entry
        return None

    def with_training(self, changed: ScheduledTraining) -> "RunSchedule":
        """Return the schedule with an entry added, or changed if it was there."""
        key = (changed.configuration, changed.fold)
        known = self.training(*key) is not None
        entries = (changed if (e.configuration, e.fold) == key else e for e in self.trainings)
        trainings = tuple(entries) if known else (*self.trainings, changed)
        return self.model_copy(update={"trainings": trainings})
