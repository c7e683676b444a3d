"""Track a run with several trackers at once."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.core.atomic_write import remove_folder
from autoseg.core.errors import Interrupted
from autoseg.tracking.base import Metrics, RunDescription, Status, Tracker
from autoseg.tracking.isolation import IsolatedRun, record_path
from autoseg.tracking.tensorboard import FOLDER_NAME

WAIT_SECONDS = 10.0
"""Longest time that a training waits for its trackers to start; they continue in the background."""

STOP_SECONDS = 5.0
"""Longest time that a stopped or failed command waits until everything is sent."""


@dataclass(frozen=True)
class Tracking:
    """Where a run is tracked.

    Attributes:
        trackers: The trackers.
        parents: Identifier of the parent run by the name of the tracker; empty without one.
    """

    trackers: tuple[Tracker, ...] = ()
    parents: Mapping[str, str] = field(default_factory=dict)

    def check_installed(self) -> None:
        """Import the packages of the trackers.

        Raises:
            MissingPackage: If one cannot be imported.
        """
        for tracker in self.trackers:
            tracker.check_installed()


class Tracked:
    """A run in any number of trackers. A failed one is reported once, and the others continue.

    Args:
        runs: The run in each tracker.
        say: Receives a warning for each tracker that failed.
    """

    def __init__(
        self, runs: Iterable[IsolatedRun] = (), say: Callable[[str], None] = lambda _: None
    ) -> None:
        self._runs = list(runs)
        self._say = say

    @property
    def is_used(self) -> bool:
        """Whether there is a tracker left."""
        return bool(self._runs)

    @property
    def ids(self) -> dict[str, str]:
        """Identifier of the run by the name of the tracker, of those that have started."""
        return {run.kind: run.record.id for run in self._runs if run.record is not None}

    def check(self) -> None:
        """Report and drop the trackers that failed."""
        for run in list(self._runs):
            if reason := run.check():
                self._say(
                    f"warning: {run.kind} failed ({reason.rstrip('.')}) and is switched off; the "
                    "training continues. The same command resumes tracking."
                )
                self._runs.remove(run)

    def log(self, *points: Metrics) -> None:
        """Log values of steps; those of logged steps are skipped."""
        for run in self._runs:
            run.log(points)
        self.check()

    def finish(self, metrics: Metrics, files: tuple[Path, ...]) -> None:
        """Log the final scores and files, and wait until they are sent."""
        for run in self._runs:
            run.finish(metrics, files)
        self.wait()

    def end(self, status: Status) -> None:
        """End the run; one that did not finish waits only for a short time."""
        for run in self._runs:
            run.end(status)
        self.wait(float("inf") if status == "finished" else STOP_SECONDS)

    def wait(self, seconds: float = float("inf")) -> None:
        """Wait until everything is sent, each tracker has failed, or a time is over."""
        for run in self._runs:
            run.wait(seconds)
        self.check()


@contextmanager
def tracked(
    tracking: Tracking, run: RunDescription, say: Callable[[str], None]
) -> Iterator[Tracked]:
    """Track a run within the block.

    Args:
        tracking: The trackers.
        run: Description of the run.
        say: Receives warnings.
    """
    started = Tracked([IsolatedRun(tracker, run) for tracker in tracking.trackers], say)
    status: Status = "failed"
    try:
        started.wait(WAIT_SECONDS)
        yield started
        status = "finished"
    except (Interrupted, KeyboardInterrupt):
        status = "stopped"
        raise
    finally:
        started.end(status)


def forget(folder: Path, root: Path) -> None:
    """Delete what trackers stored in the folder of a run that is discarded.

    Runs in servers and databases are kept; the next one is a new one.

    Args:
        folder: Folder of the run.
        root: Work folder, which contains it.
    """
    remove_folder(folder / FOLDER_NAME, root)
    for path in folder.glob(record_path(folder, "*").name):
        path.unlink(missing_ok=True)
