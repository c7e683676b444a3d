"""The process that holds the model: it predicts one job after the other.

The server only passes paths to it, and replaces it when a job crashes it or does not end.
"""

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from typing_extensions import override

from autoseg.core.errors import AutosegError, CaseError, case_error_message
from autoseg.core.memory import OutOfMemoryKills
from autoseg.core.progress import Progress, Silent
from autoseg.core.signals import describe_end, end_with_parent
from autoseg.serving.inputs import JobInput, find_case
from autoseg.serving.settings import Label, ModelDescription, ModelOptions, Reason
from autoseg.stages.predict.outputs.options import OutputOptions

if TYPE_CHECKING:
    from autoseg.inference.selected_model import SelectedModel
    from autoseg.stages.predict.predict import PredictOptions

T = TypeVar("T")

POLL_SECONDS = 0.1
"""Interval of checks whether a job was cancelled."""

GRACE_SECONDS = 5.0
"""Time to stop between two tiles, before the process is killed."""

CRASH_ADVICE = "Send the image again; if it happens again, look for the cause in its file."


@dataclass(frozen=True)
class Task:
    """A job as the worker gets it.

    Attributes:
        given: The files of the image.
        folder: Folder for the results, which is created.
        outputs: Files to write.
    """

    given: JobInput
    folder: Path
    outputs: OutputOptions


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        label_map: The label map and files that belong to it; empty if the job failed.
        name: Name of the case; empty if the job failed.
        reason: Kind of failure; None if it succeeded.
        message: What failed.
    """

    label_map: tuple[Path, ...] = ()
    name: str = ""
    reason: Reason | None = None
    message: str = ""


@dataclass(frozen=True)
class Status:
    """A step of a running job, or a warning about its image."""

    line: str
    is_warning: bool = False


@dataclass(frozen=True)
class Stop:
    """A request to end a running job."""

    reason: Reason
    message: str


class Engine(ABC):
    """Predicts one job after the other."""

    @property
    @abstractmethod
    def is_ready(self) -> bool:
        """Whether the model is loaded."""

    @abstractmethod
    def run(
        self, task: Task, on_status: Callable[[Status], None], stop: Callable[[], Stop | None]
    ) -> Outcome:
        """Predict a job.

        Args:
            task: The job.
            on_status: Called with each step and warning.
            stop: Returns a request to end the job, or None; called every `POLL_SECONDS`.

        Returns:
            How it ended.
        """


class Worker(Engine):
    """The process with the model, seen from the server.

    After a crash it is started again with the next job.
    """

    def __init__(self, options: ModelOptions, progress: Progress) -> None:
        """Prepare the worker; `start` starts its process.

        Args:
            options: The model.
            progress: Receives messages about the model.
        """
        self._options, self._progress = options, progress
        self._process: tuple[SpawnProcess, Connection, Event] | None = None
        self._kills = OutOfMemoryKills(None, ())

    @property
    @override
    def is_ready(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """Number of the process; None if it does not run."""
        return None if self._process is None else self._process[0].pid

    def start(self) -> ModelDescription:
        """Start the process, and wait until the model is loaded.

        Raises:
            AutosegError: If the model cannot be loaded.
        """
        context = get_context("spawn")  # a fork would inherit the sockets of the server
        own, other = context.Pipe()
        cancelled = context.Event()
        self._kills = OutOfMemoryKills.until_now()
        process = context.Process(target=_work, args=(self._options, other, cancelled))
        process.start()
        other.close()
        self._process = process, own, cancelled
        while True:
            try:
                message = own.recv()
            except (EOFError, OSError):
                raise AutosegError(f"loading the model was {self._end()}") from None
            if isinstance(message, ModelDescription):
                return message
            if isinstance(message, Exception):
                self.close()
                raise message
            self._progress.say(message.line)

    @override
    def run(
        self, task: Task, on_status: Callable[[Status], None], stop: Callable[[], Stop | None]
    ) -> Outcome:
        try:
            if self._process is not None and not self._process[0].is_alive():
                self._end()  # killed while it was idle
            if self._process is None:
                self.start()
        except (AutosegError, OSError) as error:
            return Outcome(reason=Reason.SERVER, message=case_error_message(error))
        try:
            return self._watched(task, on_status, stop)
        except (EOFError, OSError):
            message = f"the prediction was {self._end()}. {CRASH_ADVICE}"
            return Outcome(reason=Reason.CRASH, message=message)

    def _watched(
        self, task: Task, on_status: Callable[[Status], None], stop: Callable[[], Stop | None]
    ) -> Outcome:
        """Send a job, and wait until it ends, alone or on request."""
        if self._process is None:
            raise EOFError
        _, connection, cancelled = self._process
        cancelled.clear()
        connection.send(task)
        request, since = None, 0.0
        while True:
            message = connection.recv() if connection.poll(POLL_SECONDS) else None
            if isinstance(message, Outcome):
                return _stopped(request) if request and message.reason else message
            if message is not None:
                on_status(message)
            if request is None and (request := stop()) is not None:
                since = monotonic()
                cancelled.set()
            if request is not None and monotonic() - since > GRACE_SECONDS:
                self._end()
                return _stopped(request)

    def close(self) -> None:
        """End the process."""
        self._end()

    def _end(self) -> str:
        """End the process; describe how it ended."""
        if self._process is None:
            return "ended"
        process, connection, _ = self._process
        self._process = None
        connection.close()
        process.join(timeout=1)
        process.kill()
        process.join()
        code = process.exitcode or 0
        return describe_end(-code, self._kills) if code < 0 else f"ended with exit status {code}"


def _stopped(request: Stop) -> Outcome:
    return Outcome(reason=request.reason, message=request.message)


class _JobProgress(Silent):
    """Passes the steps of a job to the server, and ends the job if it was cancelled."""

    def __init__(self, connection: Connection, cancelled: Event) -> None:
        self._connection, self._cancelled = connection, cancelled
        self.case_name = ""

    @override
    def say(self, message: str) -> None:
        sentence = message.removeprefix("warning: ").removeprefix(f"{self.case_name}: ")
        self._connection.send(Status(sentence, is_warning=True))

    @override
    def track(self, items: Iterable[T], *, description: str, total: int) -> Iterator[T]:
        yield from items

    @override
    def status(self, line: str) -> None:
        if self._cancelled.is_set():
            raise CaseError("the job was cancelled")
        self._connection.send(Status(line))


def _work(model_options: ModelOptions, connection: Connection, cancelled: Event) -> None:
    """Load the model and predict jobs until the server closes its end of the connection."""
    from autoseg.core.reading_process import READING

    end_with_parent()
    # service managers send their signals to all processes; the server ends this one
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    READING.enable()
    READING.start()  # before torch starts threads
    from autoseg.stages.predict.predict import PredictOptions

    progress, options = _JobProgress(connection, cancelled), PredictOptions(**vars(model_options))
    try:
        model, description = _load(options, progress)
    except (AutosegError, OSError) as error:
        connection.send(error)
        return
    connection.send(description)
    while True:
        try:
            task: Task = connection.recv()
        except (EOFError, OSError):
            return
        outcome = _outcome(task, model, replace(options, outputs=task.outputs), progress)
        connection.send(outcome)


def _load(
    options: "PredictOptions", progress: Progress
) -> "tuple[SelectedModel, ModelDescription]":
    from autoseg.inference.selected_model import load_selection
    from autoseg.models.archive.reader import ModelArchive
    from autoseg.models.model_selection import find_selection

    selected = find_selection(options.model, options.folds)
    model = load_selection(selected, options.loading(progress))
    for sentence in selected.warnings:
        progress.say(f"warning: {sentence}.")
    if options.step_size is not None:
        model = model.with_step(options.step_size)
    plan = model.plan
    labels = zip(plan.labels.names, plan.labels.values, strict=True)
    description = ModelDescription(
        num_axes=plan.num_axes,
        channels=tuple(plan.channel_names),
        labels=tuple(Label(name=name, value=value) for name, value in labels),
        model_card=ModelArchive(model.path).read_card() if model.path.is_file() else None,
    )
    return model, description


def _outcome(
    task: Task, model: "SelectedModel", options: "PredictOptions", progress: _JobProgress
) -> Outcome:
    """Predict a job, and return its results or its failure."""
    from autoseg.readers.sidecar import sidecars_of
    from autoseg.stages.predict.predict import predict_cases

    try:
        case = find_case(task.given, len(model.plan.channel_names))
        progress.case_name = case.name
        report = predict_cases((case,), task.folder, model, options, progress)
    except AutosegError as error:
        return Outcome(reason=Reason.IMAGE, message=str(error))
    except Exception as error:  # noqa: BLE001  (an error of one job must not stop the others)
        return Outcome(reason=Reason.SERVER, message=case_error_message(error))
    if report.failures:
        return Outcome(reason=Reason.IMAGE, message=report.failures[0].message)
    (path,) = report.written
    return Outcome(label_map=(path, *sidecars_of(path)), name=case.name)
