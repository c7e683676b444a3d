"""Keep two processes from training the same fold at once."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import NonNegativeInt, ValidationError

from autoseg.core.errors import TrainingError
from autoseg.core.frozen import Frozen

LOCK_NAME = "training.lock"
"""Name of the file that says who trains in a fold's folder; gone when the training ends."""

PROCESSES = Path("/proc")
"""Where Linux tells about its processes."""

ENDED = ("Z", "X")
"""States of a process that has ended. Source: proc_pid_stat(5)."""


class Holder(Frozen):
    """The process that holds a lock.

    Attributes:
        host: Name of its machine.
        pid: Its number there.
        started: When it began, in the system's own count, so that a later process of the same
            number is told apart; empty where the system does not say.
    """

    host: str
    pid: NonNegativeInt
    started: str


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a fold's folder while the block runs.

    The lock of a process that has died on this machine is taken over. Whether one on another
    machine (on a shared disk) lives cannot be known, so its lock is left for the user to judge.

    Raises:
        TrainingError: If another process holds it.
    """
    path = folder / LOCK_NAME
    own = _this_process()
    folder.mkdir(parents=True, exist_ok=True)
    if not _take(path, own):
        _remove_if_stale(path, own)
        if not _take(path, own):
            raise TrainingError(_held(path, own))
    try:
        yield
    finally:
        if _content(path) == _text(own):  # else the user has deleted it, and someone else took it
            path.unlink(missing_ok=True)
        with suppress(OSError):  # if nothing came of it, the folder goes too
            folder.rmdir()


def _this_process() -> Holder:
    pid = os.getpid()
    return Holder(host=socket.gethostname(), pid=pid, started=_start_of(pid))


def _take(path: Path, own: Holder) -> bool:
    """Make the lock; False if it is there already."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_text(own))
    except FileExistsError:
        return False
    return True


def _remove_if_stale(path: Path, own: Holder) -> None:
    """Remove the lock of a dead process.

    It is moved aside first: of two processes that find it at once, one moves it, and if that is
    already the lock of the other one, it goes back.
    """
    found = _content(path)
    holder = _parsed(found)
    if holder is None or holder.host != own.host or _is_alive(holder):
        return
    aside = path.with_name(f".{path.name}.{own.pid}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    if _content(aside) == found:
        aside.unlink()
    else:
        aside.rename(path)


def _is_alive(holder: Holder) -> bool:
    """Return whether a process of this machine runs; where that cannot be known, it does."""
    if os.name != "posix":  # elsewhere, asking for a process can end it
        return True
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is somebody else's
        pass
    return _start_of(holder.pid) == holder.started


def _start_of(pid: int) -> str:
    """Return when a process began, in clock ticks since the system did.

    Empty if that is not known, or the process has ended and its parent has not taken note of it.
    """
    try:
        state = (PROCESSES / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = state.rpartition(")")[2].split()  # the name in brackets may hold spaces
    return "" if fields[0] in ENDED else fields[19]


def _held(path: Path, own: Holder) -> str:
    holder = _parsed(_content(path))
    if holder is None:
        return (
            f"{path} says that this fold is being trained, but not by whom. If nothing trains it, "
            "delete that file and run the same command."
        )
    if holder.host == own.host:
        return (
            f"this fold is being trained by process {holder.pid} on this machine. Wait for it or "
            f"stop it, or train another fold. (Lock: {path})"
        )
    return (
        f"this fold is being trained on {holder.host} (process {holder.pid}), says {path}. If that "
        "process is gone, which cannot be seen from here, delete that file and run the same "
        "command."
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
    except ValidationError:  # half-written, or not ours
        return None
