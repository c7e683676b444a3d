"""Time spent by `autoseg run`, stored in its schedule."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from autoseg.documents import store
from autoseg.documents.run_schedule import RunSchedule
from autoseg.documents.workspace import Workspace


def load_schedule(workspace: Workspace) -> RunSchedule:
    """Load the schedule of `autoseg run` from a work folder.

    Raises:
        DocumentError: If the schedule is missing or damaged.
    """
    return store.load(RunSchedule, workspace.schedule)


class RunClock:
    """Time spent by a run, including the time before interruptions."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        spent = load_schedule(workspace).seconds_spent if workspace.schedule.is_file() else 0.0
        self._start = perf_counter() - spent

    @property
    def seconds(self) -> float:
        """Seconds spent so far."""
        return perf_counter() - self._start

    def catch_up(self, seconds: float) -> None:
        """Advance the clock to a later time; a run that was killed could not save its own."""
        self._start -= max(0.0, seconds - self.seconds)

    def save(self) -> None:
        """Save the time in the schedule, if the schedule exists."""
        if self._workspace.schedule.is_file():
            schedule = load_schedule(self._workspace).model_copy(
                update={"seconds_spent": self.seconds}
            )
            store.save(schedule, self._workspace.schedule)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Save the time when the block ends, even with an exception."""
        try:
            yield
        finally:
            self.save()
