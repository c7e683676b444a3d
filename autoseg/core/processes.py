"""Identify processes, so that a file can name its writer and others can tell if it still runs."""

import hashlib
import os
import socket
from functools import lru_cache
from pathlib import Path

from pydantic import NonNegativeInt

from autoseg.core.frozen import Frozen

PROC = Path("/proc")
"""Process information of Linux; missing on other systems."""


class ProcessId(Frozen):
    """A process, also distinguished from later processes with the same number.

    Attributes:
        system: Hash of the machine, its current boot and the container: process numbers are only
            comparable within it.
        pid: Process number.
        started: Start time in clock ticks since boot; 0 if unknown.
    """

    system: str
    pid: NonNegativeInt
    started: NonNegativeInt = 0

    def is_running(self) -> bool | None:
        """Return True if the process runs, False if it has ended, and None for other systems.

        A process that has ended without its parent fetching its status (a zombie) does not run.
        """
        if self.system != _system():
            return None
        if not (PROC / "self/stat").is_file():
            return _exists(self.pid)
        state, started = _state(self.pid)
        return state not in {"", "Z", "X"} and self.started in {0, started}


def this_process() -> ProcessId:
    """Return the identity of this process."""
    return ProcessId(system=_system(), pid=os.getpid(), started=_state(os.getpid())[1])


@lru_cache(maxsize=1)
def _system() -> str:
    parts = [socket.gethostname()]
    try:
        parts.append((PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii"))
        parts.append(os.readlink(PROC / "self/ns/pid"))  # noqa: PTH115  (not a path)
    except OSError:  # not Linux
        pass
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _state(pid: int) -> tuple[str, int]:
    """Return a process's state and start time; ("", 0) if there is none. Source: proc(5)."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", 0
    # the command's name, in parentheses, may contain blanks and parentheses
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _exists(pid: int) -> bool | None:
    """Check for a process without /proc; None on Windows, where signal 0 would end it."""
    if os.name != "posix":
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True
