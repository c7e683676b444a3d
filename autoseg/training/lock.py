"""Lock a fold so that only one process trains it at a time."""

import errno
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from threading import Event, Thread

from filelock import BaseFileLock, FileLock, Timeout
from pydantic import ValidationError

from autoseg.core.atomic_write import new_temporary_path
from autoseg.core.disk import naming_disk_errors
from autoseg.core.errors import TrainingError
from autoseg.core.frozen import Frozen, NonNegativeInt
from autoseg.core.processes import ProcessId, this_process

LOCK_NAME = "training.lock"
"""Name of the file in a fold's folder that the operating system locks."""

HOLDER_NAME = "training_process.json"
"""Name of the file that describes the process with the lock. Both are removed with the lock."""

NO_LOCKS = frozenset({errno.ENOSYS, errno.EOPNOTSUPP})
"""Errors of a file system without locks (`flock`)."""

NO_LINKS = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EMLINK})
"""Errors of a file system without hard links."""

HEARTBEAT_SECONDS = 30.0
"""Interval at which the holder touches its file where the file system has no locks."""

SILENCE_SECONDS = 600.0
"""Time without heartbeat after which a holder on another machine counts as ended."""


class Holder(Frozen):
    """The process that holds a lock.

    Attributes:
        host: Host name of its machine.
        pid: Its process id.
        since: Time at which it took the lock.
        process: Its identity; None if written by an earlier version.
    """

    host: str
    pid: NonNegativeInt
    since: datetime
    process: ProcessId | None = None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a fold's folder while the block runs.

    The system releases the lock when the process dies, also on a network file system with locks.
    On one that has none, the file of the holder is the lock. It is taken over if the holder has
    ended: on this machine if its process does not run, on others if its heartbeat stopped.

    Raises:
        TrainingError: If another process holds the lock, or the file system fails to lock.
        DiskError: If the disk is full or not writable.
    """
    path, note = folder / LOCK_NAME, folder / HOLDER_NAME
    process = this_process()
    since = datetime.now().astimezone()
    holder = Holder(host=socket.gethostname(), pid=process.pid, since=since, process=process)
    own = holder.model_dump_json() + "\n"
    with naming_disk_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, fallback_to_soft=False)
    with naming_disk_errors(path):
        is_system_lock = _acquire(lock, note)
        if not is_system_lock:
            _create(note, own)
    stopped = Event()
    try:
        if is_system_lock:
            with suppress(OSError):  # the note only informs
                _written(note.parent, own).replace(note)
        else:
            Thread(target=_beat, args=(note, own, stopped), daemon=True).start()
        yield
    finally:
        stopped.set()
        if _content(note) in {own, ""}:  # else the user deleted the lock and another process has it
            for each in (note, path):
                with suppress(OSError):  # Windows removes no open files
                    each.unlink()
        lock.release()
        with suppress(OSError):  # removes the folder if it is empty
            folder.rmdir()


def _acquire(lock: BaseFileLock, note: Path) -> bool:
    """Take the lock of the system; return False if the file system has none.

    Raises:
        TrainingError: If another process holds it, or the file system fails to lock.
    """
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise TrainingError(_locked_message(Path(lock.lock_file), _content(note))) from None
    except OSError as error:
        if error.errno in NO_LOCKS:
            return False
        if error.errno != errno.ENOLCK:
            raise
        msg = (
            f"{lock.lock_file} cannot be locked ({error}). Make sure that you may write to this "
            "folder and that its file system supports locks (flock), or choose another folder with "
            "--work."
        )
        raise TrainingError(msg) from error
    return True


def _create(note: Path, text: str) -> None:
    """Create the holder's file with its content; replace that of a process that has ended.

    Raises:
        TrainingError: If a running process holds the lock.
    """
    written = _written(note.parent, text)
    try:
        while not _link(written, note):
            content = _content(note)
            with suppress(FileNotFoundError):  # released, or taken over by another process
                if _is_held(content, written.stat().st_mtime - note.stat().st_mtime):
                    raise TrainingError(_locked_message(note, content))
                stale = new_temporary_path(note.parent)
                note.rename(stale)
                if _content(stale) != content:  # another process was faster: give it back
                    _link(stale, note)
                stale.unlink()
    finally:
        written.unlink(missing_ok=True)


def _link(written: Path, note: Path) -> bool:
    """Give a file its name, so that it is never seen empty; return False if the name is taken."""
    try:
        os.link(written, note)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        try:
            note.touch(exist_ok=False)
        except FileExistsError:
            return False
        shutil.copyfile(written, note)
    return True


def _written(folder: Path, text: str) -> Path:
    """Write a text to a temporary file on disk."""
    path = new_temporary_path(folder)
    try:
        with path.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise
    return path


def _is_held(content: str, silence: float) -> bool:
    """Return True if the holder still runs; an empty or damaged description has no holder.

    Args:
        content: Description of the holder.
        silence: Seconds since its last heartbeat, by the clock of the file system.
    """
    try:
        holder = Holder.model_validate_json(content)
    except ValidationError:
        return False
    is_running = holder.process.is_running() if holder.process else None
    return silence < SILENCE_SECONDS if is_running is None else is_running


def _beat(note: Path, own: str, stopped: Event) -> None:
    """Touch the holder's file regularly, unless another process has taken it over."""
    while not stopped.wait(HEARTBEAT_SECONDS):
        with suppress(OSError):  # the disk may be unavailable for a while
            if _content(note) == own:
                os.utime(note)


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
