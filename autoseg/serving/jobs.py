"""The jobs of the server: a bounded queue, one running job, and results that expire."""

import secrets
import shutil
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Thread
from time import monotonic

from autoseg.core.errors import AutosegError
from autoseg.serving.inputs import JobInput
from autoseg.serving.settings import Health, JobReport, Limits, Reason, State
from autoseg.serving.worker import Engine, Outcome, Status, Stop, Task
from autoseg.stages.predict.outputs.options import OutputOptions

LABEL_MAP, STATISTICS, PREVIEW = "label-map", "statistics", "preview"
"""Names of results."""

FETCH_SECONDS = 10.0
"""Time to fetch the result of the job that ran when the server was stopped."""

MOST_EXPIRY_SECONDS = 5.0
"""Greatest interval of the search for expired jobs."""

TYPICAL_SECONDS = 5.0
"""Assumed time of a job before the first one has ended."""


class QueueFull(AutosegError):  # noqa: N818  (reads better than QueueFullError)
    """No further job is taken now.

    Attributes:
        retry_seconds: Time after which to try again.
    """

    def __init__(self, message: str, retry_seconds: int) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


@dataclass(eq=False)
class Job:
    """A job, which changes while it is processed; only `Jobs` changes it.

    Attributes:
        id: Identity, which cannot be guessed.
        folder: Folder of its files.
        finished: Future that is done when the job has ended.
        given: Its image; None while it is uploaded.
        outputs: Files to write.
        state: Its state.
        progress: Current step.
        warnings: Warnings about the image.
        outcome: How it ended.
        stop: Request to end it.
        started: Start of the prediction, in seconds of `monotonic`.
        ended: End of the job.
        is_fetched: Whether its label map was requested after its end.
    """

    id: str
    folder: Path
    finished: Future[None] = field(default_factory=Future)
    given: JobInput | None = None
    outputs: OutputOptions = field(default_factory=OutputOptions)
    state: State = State.QUEUED
    progress: str = ""
    warnings: list[str] = field(default_factory=list)
    outcome: Outcome = field(default_factory=Outcome)
    stop: Stop | None = None
    started: float | None = None
    ended: float | None = None
    is_fetched: bool = False

    @property
    def upload(self) -> Path:
        """Folder of the uploaded files."""
        return self.folder / "input"

    @property
    def results(self) -> dict[str, tuple[Path, ...]]:
        """Files of the results, by name."""
        if self.state != State.DONE:
            return {}
        folder, name = self.folder / "output", self.outcome.name
        found = {LABEL_MAP: self.outcome.label_map}
        if self.outputs.statistics:
            found[STATISTICS] = (folder / "statistics" / f"{name}.json",)
        if self.outputs.preview:
            found[PREVIEW] = (folder / "preview" / f"{name}.png",)
        return found


class Jobs:
    """All jobs of the server. One thread predicts them in order, another deletes old ones."""

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        limits: Limits,
        on_end: Callable[[Reason | None, float], None] = lambda _reason, _seconds: None,
    ) -> None:
        """Start the threads.

        Args:
            engine: Predicts the jobs.
            folder: Folder for uploads and results.
            limits: Limits of the server.
            on_end: Called with the kind of failure, or None, and the seconds of each job that ran.
        """
        self._engine, self._folder, self._limits, self._on_end = engine, folder, limits, on_end
        self._jobs: dict[str, Job] = {}
        self._queue: deque[Job] = deque()
        self._uploading: set[str] = set()
        self._running: Job | None = None
        self._last: Job | None = None  # the job that ran when the server was stopped
        self._deadline: float | None = None
        self._mean_seconds = TYPICAL_SECONDS
        self._changed = Condition()
        for function in (self._predict_all, self._expire_all):
            Thread(target=function, name=function.__name__.strip("_"), daemon=True).start()

    def new(self) -> Job:
        """Return a new job, which takes a place in the queue while its image is uploaded.

        Raises:
            QueueFull: If no place is left, or the server is stopping.
        """
        with self._changed:
            if self._deadline is not None:
                raise QueueFull("the server is stopping. Try again later.", 60)
            if len(self._queue) + len(self._uploading) >= self._limits.queue:
                seconds = round(self._mean_seconds * (1 + len(self._queue))) or 1
                raise QueueFull(
                    f"{self._limits.queue} jobs are waiting already. Try again in {seconds} s.",
                    seconds,
                )
            identity = secrets.token_urlsafe(18)
            job = Job(identity, self._folder / identity)
            self._uploading.add(identity)
        job.upload.mkdir(parents=True)
        return job

    def discard(self, job: Job) -> None:
        """Delete a job whose upload failed."""
        with self._changed:
            self._uploading.discard(job.id)
        shutil.rmtree(job.folder, ignore_errors=True)

    def submit(self, job: Job, given: JobInput, outputs: OutputOptions) -> None:
        """Queue a job whose image has arrived.

        Args:
            job: The job.
            given: Its image.
            outputs: Files to write.
        """
        with self._changed:
            self._uploading.discard(job.id)
            job.given, job.outputs = given, outputs
            self._jobs[job.id] = job
            if self._deadline is not None:
                self._finish(job, _STOPPED)
                return
            self._queue.append(job)
            self._changed.notify_all()

    def find(self, identity: str) -> Job | None:
        """Return a job; None if there is none, or it has expired."""
        with self._changed:
            job = self._jobs.get(identity)
            return None if job is None or self._is_expired(job) else job

    def report(self, job: Job) -> JobReport:
        """Describe a job."""
        with self._changed:
            position = None
            if job in self._queue:
                position = self._queue.index(job) + (self._running is not None)
            has_run = job.started is not None and job.ended is not None
            return JobReport(
                id=job.id,
                state=job.state,
                position=position,
                progress=job.progress if job.state == State.RUNNING else "",
                seconds=(job.ended or 0) - (job.started or 0) if has_run else None,
                warnings=tuple(self.hide_paths(text, job) for text in job.warnings),
                reason=job.outcome.reason,
                message=self.hide_paths(job.outcome.message, job),
                results=tuple(job.results),
            )

    def delete(self, job: Job) -> None:
        """Cancel a job that has not ended, and delete its files."""
        stop = Stop(Reason.CANCELLED, "the job was cancelled.")
        with self._changed:
            self._jobs.pop(job.id, None)
            if job is self._running:
                job.stop = job.stop or stop  # its files are deleted when it has ended
                return
            if job in self._queue:
                self._queue.remove(job)
                self._finish(job, Outcome(reason=stop.reason, message=stop.message))
        shutil.rmtree(job.folder, ignore_errors=True)

    def fetch(self, job: Job, name: str) -> tuple[Path, ...]:
        """Return the files of a result; empty if there is no such result."""
        with self._changed:
            job.is_fetched = job.is_fetched or job.ended is not None
            return job.results.get(name, ())

    def health(self) -> Health:
        """Describe the queue."""
        with self._changed:
            return Health(
                ready=self._engine.is_ready and self._deadline is None,
                queued=len(self._queue),
                running=self._running is not None,
            )

    def request_stop(self) -> None:
        """Refuse new jobs, cancel those that wait, and let the running one finish.

        A second call ends the running job, too.
        """
        with self._changed:
            if self._deadline is not None:
                self._deadline = monotonic()
                return
            self._deadline = monotonic() + self._limits.stop_seconds
            self._last = self._running
            while self._queue:
                self._finish(self._queue.popleft(), _STOPPED)

    @property
    def is_idle(self) -> bool:
        """Whether no job runs, and the result of the last one has been fetched."""
        with self._changed:
            if self._running is not None:
                return False
            last = self._last
            if last is None or last.is_fetched or last.id not in self._jobs:
                return True
            now = monotonic()
            return now > (last.ended or 0) + FETCH_SECONDS or now > (self._deadline or now)

    def hide_paths(self, text: str, job: Job) -> str:
        """Remove folders of the server from a sentence."""
        folders = [job.upload / "unpacked", job.upload, job.folder / "output", job.folder]
        if job.given is not None:
            folders += [job.given.boundary, job.given.boundary.resolve()]
        for folder in (*folders, self._folder):
            text = text.replace(f"{folder}/", "").replace(str(folder), "the folder")
        return text

    def _finish(self, job: Job, outcome: Outcome) -> None:
        job.outcome, job.ended = outcome, monotonic()
        job.state = State.FAILED if outcome.reason else State.DONE
        shutil.rmtree(job.upload, ignore_errors=True)
        job.finished.set_result(None)

    def _predict_all(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                job = self._queue.popleft()
                self._running, job.state, job.started = job, State.RUNNING, monotonic()
            outcome = self._predict(job)
            with self._changed:
                self._running = None
                self._finish(job, outcome)
                seconds = monotonic() - job.started
                self._mean_seconds += (seconds - self._mean_seconds) / 5
                if job.id not in self._jobs:  # deleted while it ran
                    shutil.rmtree(job.folder, ignore_errors=True)
            self._on_end(outcome.reason, seconds)

    def _predict(self, job: Job) -> Outcome:
        if job.given is None:
            raise RuntimeError("a job was queued before its image had arrived")
        deadline = monotonic() + self._limits.job_seconds

        def stop() -> Stop | None:
            now = monotonic()
            if job.stop is None and now > deadline:
                seconds = self._limits.job_seconds
                return Stop(
                    Reason.TIME,
                    f"the job did not end within {seconds:g} s. Send a smaller image, or raise "
                    "--max-seconds.",
                )
            if job.stop is None and self._deadline is not None and now > self._deadline:
                return Stop(Reason.STOPPED, _STOPPED.message)
            return job.stop

        def on_status(status: Status) -> None:
            if status.is_warning:
                job.warnings.append(status.line)
            else:
                job.progress = status.line

        task = Task(job.given, job.folder / "output", job.outputs)
        return self._engine.run(task, on_status, stop)

    def _is_expired(self, job: Job) -> bool:
        return job.ended is not None and monotonic() > job.ended + self._limits.keep_seconds

    def _expire_all(self) -> None:
        interval = min(MOST_EXPIRY_SECONDS, self._limits.keep_seconds / 2)
        with self._changed:
            while True:
                self._changed.wait_for(lambda: False, interval)
                for job in [job for job in self._jobs.values() if self._is_expired(job)]:
                    del self._jobs[job.id]
                    shutil.rmtree(job.folder, ignore_errors=True)


_STOPPED = Outcome(reason=Reason.STOPPED, message="the server was stopped. Send the image again.")
