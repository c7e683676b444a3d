"""Run a tracker in a thread of its own, so that its failures neither end nor slow a training."""

from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from time import perf_counter, sleep

from autoseg.documents import store
from autoseg.documents.tracking import TrackedRun
from autoseg.tracking.base import Metrics, RunDescription, RunWriter, Status, Tracker

LIMIT_SECONDS = 60.0
"""Time limit of a request to a tracker, which for a file grows with its size."""

SLOWEST_BYTES_PER_SECOND = 250_000.0
"""Files may be uploaded this slowly."""

START_SECONDS = 180.0
"""Time limit of the start of a run, which may have to create a database."""

END_SECONDS = 150.0
"""Time limit of the end of a run, in which some trackers send what is left."""

MAX_WAITING = 1000
"""Maximum number of waiting requests; more mean that the tracker is too slow."""

MAX_REASON = 200
"""Maximum length of the reason of a failure, characters."""

Request = Callable[[RunWriter], None]


class IsolatedRun:
    """A run in one tracker; no method raises an exception of the tracker or waits for it.

    Requests are queued and sent by a daemon thread, which cannot keep the process alive. After an
    exception or a request that exceeds its time limit, the tracker is switched off.

    Attributes:
        failure: Reason why the tracker is switched off; None while it works.
        record: Record of the run, which the thread saves after each request; None before the start.

    Args:
        tracker: The tracker.
        run: Description of the run.
    """

    def __init__(self, tracker: Tracker, run: RunDescription) -> None:
        self.kind = tracker.kind
        self.failure: str | None = None
        self.record: TrackedRun | None = None
        self._path = record_path(run.folder, tracker.kind)
        self._waiting: Queue[tuple[Request, float]] = Queue(MAX_WAITING)
        self._num_sent = self._num_done = 0
        self._is_ended = False
        self._deadline = perf_counter() + START_SECONDS
        self._thread = Thread(target=self._work, args=(tracker, run), daemon=True)
        self._thread.start()

    def log(self, points: Sequence[Metrics]) -> None:
        """Log values in one request, except for those of logged and earlier steps."""

        def request(writer: RunWriter) -> None:
            for metrics in points:
                if self.record is not None and metrics.step > self.record.last_step:
                    writer.log(metrics)
                    self._save(self.record.model_copy(update={"last_step": metrics.step}))

        self._send(request, LIMIT_SECONDS + len(points))

    def finish(self, metrics: Metrics, files: tuple[Path, ...]) -> None:
        """Log the final scores and files, unless those of this step are already logged."""
        num_bytes = sum(path.stat().st_size for path in files)

        def request(writer: RunWriter) -> None:
            known = self.record
            if known is None or (known.is_finished and metrics.step <= known.last_step):
                return
            if metrics.values:
                writer.log(metrics)
            for path in files:
                writer.log_file(path)
            self._save(known.model_copy(update={"last_step": metrics.step, "is_finished": True}))

        self._send(request, LIMIT_SECONDS + num_bytes / SLOWEST_BYTES_PER_SECOND)

    def end(self, status: Status) -> None:
        """End the run."""

        def request(writer: RunWriter) -> None:
            self._is_ended = True
            writer.end(status)

        self._send(request, END_SECONDS)

    def wait(self, seconds: float = float("inf")) -> None:
        """Wait until all requests are sent or fail, but not longer than their limits or a time."""
        until = perf_counter() + seconds
        while self.record is None or self._num_done < self._num_sent:
            if self.check() or perf_counter() > until:
                return
            sleep(0.01)

    def check(self) -> str | None:
        """Switch the tracker off if a request exceeds its time limit; return `failure`."""
        is_waiting = self.record is None or self._num_done < self._num_sent
        if self.failure is None and is_waiting and perf_counter() > self._deadline:
            self.failure = "no answer within the time limit"
        return self.failure

    def _send(self, request: Request, seconds: float | None = None) -> None:
        seconds = LIMIT_SECONDS if seconds is None else seconds
        if self.check() is not None:
            return
        if self.record is not None and self._num_done == self._num_sent:
            self._deadline = perf_counter() + seconds
        try:
            self._waiting.put_nowait((request, seconds))
            self._num_sent += 1
        except Full:
            self.failure = f"more than {MAX_WAITING} requests are waiting"

    def _work(self, tracker: Tracker, run: RunDescription) -> None:
        try:
            known = store.load_if_valid(TrackedRun, self._path)
            if known is not None and known.address != tracker.address:
                known = None
            last_step = 0 if known is None else known.last_step
            writer = tracker.start(run, None if known is None else known.id, last_step)
            if known is None or known.id != writer.id:
                known = TrackedRun(kind=tracker.kind, address=tracker.address, id=writer.id)
            self._save(known)
            while self.failure is None and not self._is_ended:
                request, seconds = self._waiting.get()
                self._deadline = perf_counter() + seconds
                request(writer)
                self._num_done += 1
        except BaseException as error:  # noqa: BLE001  (whatever it is, the training continues)
            self.failure = " ".join(str(error).split())[:MAX_REASON] or type(error).__name__

    def _save(self, record: TrackedRun) -> None:
        store.save(record, self._path)
        self.record = record


def record_path(folder: Path, kind: str) -> Path:
    """Return the path of a tracker's record in the folder of a run."""
    return folder / f"tracking.{kind}.json"
