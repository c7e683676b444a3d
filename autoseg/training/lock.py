"""Lock a fold so that only one process trains it at a time."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import NonNegativeInt, ValidationError

from autoseg.core.errors import TrainingError
from autoseg.core.frozen import Frozen

LOCK_NAME = "training.lock"
"""Name of the file in a fold's folder that the operating system locks."""

HOLDER_NAME = "training_process.json"
"""Name of the file that describes the process with the lock. Both are removed with the lock."""


class Holder(Frozen):
    """The process that holds a lock.

    Attributes:
        host: Host name of its machine.
        pid: Its process id.
        since: Time at which it took the lock.
    """

    host: str
    pid: NonNegativeInt
    since: datetime


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a fold's folder while the block runs.

    The system releases the lock when the process dies, also on a network file system with locks.
    On one that reports that it has none, filelock uses the existence of the lock file instead,
    and warns.

    Raises:
        TrainingError: If another process holds the lock, or the file system fails to lock.
    """
    path, note = folder / LOCK_NAME, folder / HOLDER_NAME
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise TrainingError(_locked_message(path, _content(note))) from None
    except OSError as error:
        msg = (
            f"{path} cannot be locked ({error}). Make sure that you may write to this folder and "
            "that its file system supports locks (flock), or choose another folder with --work."
        )
        raise TrainingError(msg) from error
    holder = Holder(host=socket.gethostname(), pid=os.getpid(), since=datetime.now().astimezone())
    own = holder.model_dump_json() + "\n"
    try:
        with suppress(OSError):  # the note only informs
            note.write_text(own, encoding="utf-8")
        yield
    finally:
        if _content(note) == own:  # else the user deleted the lock and another process has it
            note.unlink()
            with suppress(OSError):  # Windows removes no open files
                path.unlink()
        lock.release()
        with suppress(OSError):  # removes the folder if it is empty
            folder.rmdir()


def _locked_message(path: Path, note: str) -> str:
    try:
        holder = Holder.model_validate_json(note)
    except ValidationError:  # not yet written, or deleted
        return (
            "this fold is locked by an unknown process. Wait for it or stop it, or train another "
            f"fold. (Lock: {path})"
        )
    since = f"since {holder.since:%Y-%m-%d %H:%M}"
    if holder.host == socket.gethostname():
        return (
            f"this fold is being trained by process {holder.pid} on this machine {since}. Wait for "
            f"it or stop it, or train another fold. (Lock: {path})"
        )
    return (
        f"this fold is being trained by {holder.host} (process {holder.pid}) {since}. Wait for it "
        f"or stop it, or train another fold. If that process is gone, delete {path}."
    )


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
