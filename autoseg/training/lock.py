"""Lock a fold so that only one process trains it at a time."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import NonNegativeInt, ValidationError

from autoseg.core.errors import TrainingError
from autoseg.core.frozen import Frozen

LOCK_NAME = "training.lock"
"""Name of the lock file in a fold's folder. It names the training process and is removed when the
training ends."""

PROCESSES = Path("/proc")
"""Folder with information about processes on Linux."""

ENDED = ("Z", "X")
"""States of terminated processes. Source: proc_pid_stat(5)."""


class Holder(Frozen):
    """The process that holds a lock.

    Attributes:
        host: Host name of its machine.
        pid: Its process id.
        started: Its start time in clock ticks, to distinguish it from a later process with the same
            id; empty if unknown.
    """

    host: str
    pid: NonNegativeInt
    started: str


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a fold's folder while the block runs.

    A stale lock of a dead process on this machine is replaced. A process on another machine (with a
    shared disk) cannot be checked, so its lock is kept for the user to delete.

    Raises:
        TrainingError: If another process holds the lock.
    """
    path = folder / LOCK_NAME
    own = _this_process()
    folder.mkdir(parents=True, exist_ok=True)
    if not _acquire(path, own):
        _remove_if_stale(path, own)
        if not _acquire(path, own):
            raise TrainingError(_locked_message(path, own))
    try:
        yield
    finally:
        if _content(path) == _text(own):  # else the user deleted it and another process has it
            path.unlink(missing_ok=True)
        with suppress(OSError):  # removes the folder if it is empty
            folder.rmdir()


def _this_process() -> Holder:
    pid = os.getpid()
    return Holder(host=socket.gethostname(), pid=pid, started=_start_of(pid))


def _acquire(path: Path, own: Holder) -> bool:
    """Create the lock file; return False if it already exists."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_text(own))
    except FileExistsError:
        return False
    return True


def _remove_if_stale(path: Path, own: Holder) -> None:
    """Remove the lock of a dead process.

    The lock is renamed before it is deleted, because another process may do the same at the same
    time: if the renamed file turns out to be the new lock of that process, it is restored.
    """
    content = _content(path)
    holder = _parsed(content)
    if holder is None or holder.host != own.host or _is_alive(holder):
        return
    aside = path.with_name(f".{path.name}.{own.pid}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    if _content(aside) == content:
        aside.unlink()
    else:
        aside.rename(path)


def _is_alive(holder: Holder) -> bool:
    """Return True if a process of this machine is running, or if that cannot be determined."""
    if os.name != "posix":  # on Windows, os.kill terminates the process
        return True
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # a process of another user
        pass
    return _start_of(holder.pid) == holder.started


def _start_of(pid: int) -> str:
    """Return the start time of a process, in clock ticks since boot.

    Empty if it is unknown, or if the process is a zombie.
    """
    try:
        state = (PROCESSES / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = state.rpartition(")")[2].split()  # the name in parentheses may contain spaces
    return "" if fields[0] in ENDED else fields[19]


def _locked_message(path: Path, own: Holder) -> str:
    holder = _parsed(_content(path))
    if holder is None:
        return (
            f"this fold is locked by an unknown process. If no process trains it, delete {path} "
            "and run the same command."
        )
    if holder.host == own.host:
        return (
            f"this fold is being trained by process {holder.pid} on this machine. Wait for it or "
            f"stop it, or train another fold. (Lock: {path})"
        )
    return (
        f"this fold is locked by {holder.host} (process {holder.pid}). If that process is gone, "
        f"delete {path} and run the same command."
    )


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _text(holder: Holder) -> str:
    return holder.model_dump_json() + "\n"


def _parsed(text: str) -> Holder | None:
    try:
        return Holder.model_validate_json(text)
    except ValidationError:  # incomplete, or written by another program
        return None
