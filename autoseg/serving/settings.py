"""Limits of the server, and the answers that it gives."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from autoseg.core.compute import Compute
from autoseg.core.frozen import Frozen
from autoseg.documents.model_card import ModelCard
from autoseg.documents.splits import FoldName

MEGABYTE = 10**6

MOST_ENTRIES = 10_000
"""Greatest number of files in a zip file; the longest DICOM series have a few thousand."""


@dataclass(frozen=True)
class Limits:
    """Limits of the server.

    Attributes:
        queue: Greatest number of waiting jobs.
        upload_bytes: Greatest size of a request.
        unpacked_bytes: Greatest size of the contents of a zip file.
        entries: Greatest number of files in a zip file.
        job_seconds: Greatest time of a job, and of an upload.
        keep_seconds: Time that results are kept.
        stop_seconds: Time that a running job gets when the server stops.
    """

    queue: int = 16
    upload_bytes: int = 1024 * MEGABYTE
    unpacked_bytes: int = 4096 * MEGABYTE
    entries: int = MOST_ENTRIES
    job_seconds: float = 600.0
    keep_seconds: float = 600.0
    stop_seconds: float = 60.0


@dataclass(frozen=True)
class ModelOptions:
    """The model of the server; attributes as of `PredictOptions`, which imports torch."""

    model: Path | None = None
    folds: tuple[FoldName, ...] | None = None
    use_mirroring: bool = True
    step_size: float | None = None
    compute: Compute = field(default_factory=Compute)


@dataclass(frozen=True)
class ServerOptions:
    """Where the server listens and writes, and who may use it.

    Attributes:
        host: Address to listen on.
        port: Number of the port; 0 for a free one.
        token: Token that requests must have.
        allow_root: Folder whose images may be requested by their paths; None for none.
        temporary: Folder for uploads and results.
        limits: The limits.
    """

    host: str
    port: int
    token: str
    allow_root: Path | None
    temporary: Path
    limits: Limits


class State(StrEnum):
    """State of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Reason(StrEnum):
    """Why a job failed."""

    IMAGE = "image"
    TIME = "time"
    CRASH = "crash"
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    SERVER = "server"


class JobReport(Frozen):
    """State of a job.

    Attributes:
        id: Identity of the job.
        state: Its state.
        position: Number of jobs before it, the running one included; None unless it is queued.
        progress: Current step of a running job, such as `tile 3 of 12`.
        seconds: Time of the prediction; None before its end.
        warnings: Sentences about an image that differs from the training data.
        reason: Kind of failure; None unless it failed.
        message: What failed, and what to do.
        results: Names of the results that can be requested.
    """

    id: str
    state: State
    position: int | None = None
    progress: str = ""
    seconds: float | None = None
    warnings: tuple[str, ...] = ()
    reason: Reason | None = None
    message: str = ""
    results: tuple[str, ...] = ()


class Label(Frozen):
    """A class, and its value in label maps."""

    name: str
    value: int


class ModelDescription(Frozen):
    """The model of the server.

    Attributes:
        num_axes: 2 for pictures, 3 for volumes.
        channels: Names of the channels of an image, in order.
        labels: The classes, background first.
        model_card: The model card; None for a folder.
    """

    num_axes: int
    channels: tuple[str, ...]
    labels: tuple[Label, ...]
    model_card: ModelCard | None = None


class Health(Frozen):
    """Whether the server takes jobs.

    Attributes:
        ready: Whether the model is loaded and the server is not stopping.
        queued: Number of waiting jobs.
        running: Whether a job is running.
    """

    ready: bool
    queued: int
    running: bool


class Problem(Frozen):
    """Why a request was refused."""

    detail: str
