"""The time that a run has taken, kept in its schedule."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from autoseg.documents import store
from autoseg.documents.run_schedule import RunSchedule
from autoseg.documents.workspace import Workspace


def load_schedule(workspace: Workspace) -> RunSchedule:
    """Return what `autoseg run` has begun in a work folder.

    Raises:
        DocumentError: If there is none, or it is damaged.
    """
    return store.load(RunSchedule, workspace.schedule, made_by="autoseg run")


class RunClock:
    """Seconds that a run has taken, over all interruptions."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        known = load_schedule(workspace).seconds_spent if workspace.schedule.is_file() else 0.0
        self._start = perf_counter() - known

    @property
    def seconds(self) -> float:
        """What the run has taken so far."""
        return perf_counter() - self._start

    def catch_up(self, seconds: float) -> None:
        """Go on from a later time if it is behind: a kill leaves no chance to save it."""
        self._start -= max(0.0, seconds - self.seconds)

    def save(self) -> None:
        """Write the time into the schedule, if there is one yet."""
        if self._workspace.schedule.is_file():
            schedule = load_schedule(self._workspace).model_copy(
                update={"seconds_spent": self.seconds}
            )
            store.save(schedule, self._workspace.schedule)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Save the time at the end, whatever ends it."""
        try:
            yield
        finally:
            self.save()
