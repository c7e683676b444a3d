"""Time spent by `autoseg run`, stored in its schedule."""

from time import perf_counter

from autoseg.documents import store
from autoseg.documents.run_schedule import RunSchedule
from autoseg.documents.workspace import Workspace


class RunClock:
    """Time spent by a run, including the time before interruptions.

    Attributes:
        schedule: The schedule, as it was saved last; None before the first run saves one.
    """

    def __init__(self, workspace: Workspace, started: float | None = None) -> None:
        """Start the clock.

        Args:
            workspace: Work folder with the schedule of an earlier run, if there was one.
            started: When the command started, on the clock of `perf_counter`; None for now.

        Raises:
            DocumentError: If the schedule of an earlier run is damaged.
        """
        self._path = workspace.schedule
        self.schedule = store.load(RunSchedule, self._path) if self._path.is_file() else None
        self._start = perf_counter() if started is None else started
        self._start -= self.schedule.seconds_spent if self.schedule else 0.0

    @property
    def seconds(self) -> float:
        """Seconds spent so far."""
        return perf_counter() - self._start

    def catch_up(self, seconds: float) -> None:
        """Advance the clock to a later time; a run that was killed could not save its own."""
        self._start -= max(0.0, seconds - self.seconds)

    def save(self, schedule: RunSchedule) -> RunSchedule:
        """Save a schedule with the time spent so far, and return it."""
        self.schedule = schedule.model_copy(update={"seconds_spent": self.seconds})
        store.save(self.schedule, self._path)
        return self.schedule

    def __enter__(self) -> "RunClock":
        """Return the clock."""
        return self

    def __exit__(self, *_: object) -> None:
        """Save the time in the schedule, if there is one, even after an exception."""
        if self.schedule is not None:
            self.save(self.schedule)
