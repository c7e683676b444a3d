"""Schedule of `autoseg run`, from which the same command resumes."""

from typing import ClassVar, Literal

from pydantic import NonNegativeFloat, PositiveFloat

from autoseg.core.frozen import Frozen, NonNegativeInt, PositiveInt
from autoseg.core.names import FileName
from autoseg.documents.document import Document


class ScheduledTraining(Frozen):
    """One training that was started; its duration never changes afterwards.

    Attributes:
        configuration: Configuration of the plan.
        fold: Number of the fold.
        seconds: Training time; None for the default duration of the plan.
        most_steps: Maximum number of steps; None if the time limit will be reached first.
        started_seconds: Time spent by the run when this training started; None if not recorded.
        trained_seconds: Actual training time, at most `seconds`; None until it is finished.
        overhead_seconds: Time for preparing and scoring; None until it is finished.
    """

    configuration: FileName
    fold: NonNegativeInt
    seconds: PositiveFloat | None
    most_steps: PositiveInt | None = None
    started_seconds: NonNegativeFloat | None = None
    trained_seconds: NonNegativeFloat | None = None
    overhead_seconds: NonNegativeFloat | None = None


class RunSchedule(Document):
    """Schedule of a run: its time budget, candidates and trainings.

    Attributes:
        budget_seconds: Time budget for the whole run; None for no limit.
        seconds_spent: Time spent so far, summed over interruptions.
        candidates: Configurations that may be trained; the plan's default is first.
        reason: Reason for this choice of candidates.
        trainings: Trainings that were started, in order.
    """

    FILE_NAME: ClassVar[str] = "schedule.json"
    MADE_BY: ClassVar[str] = "autoseg run"
    schema_version: Literal[1] = 1
    budget_seconds: PositiveFloat | None
    seconds_spent: NonNegativeFloat = 0.0
    candidates: tuple[FileName, ...]
    reason: str
    trainings: tuple[ScheduledTraining, ...] = ()

    @property
    def seconds_left(self) -> float | None:
        """Remaining time of the budget, at least 0; None without a budget."""
        if self.budget_seconds is None:
            return None
        return max(0.0, self.budget_seconds - self.seconds_spent)

    @property
    def longest_overhead_seconds(self) -> float | None:
        """Longest overhead of a training (scoring, for example); None if unknown.

        Other work on the machine may double an overhead, so that the mean is too short.
        """
        known = [e.overhead_seconds for e in self.trainings if e.overhead_seconds is not None]
        return max(known, default=None)

    def training(self, configuration: str, fold: int) -> ScheduledTraining | None:
        """Return the entry of a training, or None if it was not started."""
        for entry in self.trainings:
            if (entry.configuration, entry.fold) == (configuration, fold):
                return entry
        return None

    def with_training(self, changed: ScheduledTraining) -> "RunSchedule":
        """Return a copy of the schedule with an entry added, or replaced if it exists."""
        entries = {(entry.configuration, entry.fold): entry for entry in (*self.trainings, changed)}
        return self.model_copy(update={"trainings": tuple(entries.values())})
