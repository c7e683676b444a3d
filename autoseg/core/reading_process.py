"""Read files in a process of its own, so that a damaged file ends neither the command nor its time.

Libraries in C or C++ may crash, or never end, on damaged files. Worker processes read files
themselves: `core.parallel` reports those that end.
"""

import faulthandler
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from autoseg.core.errors import AutosegError, CaseError
from autoseg.core.memory import OutOfMemoryKills
from autoseg.core.signals import describe_end

T = TypeVar("T")

OUT_OF_MEMORY = "Free memory, or raise the limit of the container or job, and try again."
"""What to do if a child was killed."""

KILLED = 9
"""Number of SIGKILL, which not every system has."""

LONGEST_SECONDS = 1e6
"""Greatest time to wait for an answer; systems refuse times of months."""

Read = Callable[[Callable[[Path], T], Path], T]


@dataclass(frozen=True)
class _NoAnswer:
    """How a child ended, or had to be ended, without an answer, and what to do."""

    cause: str
    advice: str = "The file is probably damaged: open it with another program and save it again."


class ReadingProcess:
    """A child process that reads one file after the other, and is replaced when it ends.

    It reads nothing, and `read` runs in this process, unless `enable` was called in it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._owner = 0
        self._child: tuple[ForkProcess, Connection] | None = None
        self._kills = OutOfMemoryKills(None, ())

    def enable(self) -> None:
        """Let a child read the files of this process, but not those of its worker processes."""
        self._owner = os.getpid()

    def start(self) -> None:
        """Start the child before the first call, while this process has a single thread."""
        if self._owner == os.getpid():
            with self._lock:
                self._connection()

    def call(self, read: Read[T], action: Callable[[Path], T], path: Path, *, seconds: float) -> T:
        """Run `read` in the child.

        Args:
            read: Function of a module that calls the action and only raises errors for the user.
            action: Method of a reader.
            path: The file.
            seconds: Greatest time that it may take.

        Raises:
            CaseError: If the child crashes, or takes too long.
            AutosegError: The error of `read`.
            OSError: An error of the system in `read`, such as too many open files.
        """
        if self._owner != os.getpid():
            return read(action, path)
        seconds = min(seconds, LONGEST_SECONDS)
        with self._lock:
            outcome = self._answer((read, action, path, seconds), seconds)
        if isinstance(outcome, _NoAnswer):
            raise CaseError(f"{path} cannot be read: {outcome.cause}. {outcome.advice}")
        if isinstance(outcome, AutosegError | OSError):
            raise outcome
        answer: T = outcome
        return answer

    def _answer(self, request: object, seconds: float) -> Any:  # noqa: ANN401  (of any reader)
        """Send a request, and return the child's result or error, or how it ended."""
        is_answered = False
        try:
            connection = self._connection()
            connection.send(request)
            if not connection.poll(seconds):
                return _NoAnswer(f"reading it did not end within {seconds:.0f} seconds")
            outcome, is_answered = connection.recv(), True
        except (EOFError, OSError):
            code = self._end()
            end = describe_end(-code, self._kills) if code < 0 else f"ended with exit status {code}"
            cause = f"reading it was {end}"
            return _NoAnswer(cause, OUT_OF_MEMORY) if code == -KILLED else _NoAnswer(cause)
        finally:
            if not is_answered:  # the answer would be taken for that of the next call
                self._end()
        return outcome

    def _connection(self) -> Connection:
        """Return the connection to the child, which is started if there is none."""
        if self._child is None:
            context = get_context("fork")
            self._kills = OutOfMemoryKills.until_now()
            own, other = context.Pipe()
            process = context.Process(target=_serve, args=(own, other), daemon=True)
            process.start()
            other.close()
            self._child = process, own
        return self._child[1]

    def _end(self) -> int:
        """End the child; return its exit status, which is minus the signal that ended it."""
        if self._child is None:
            return 0
        process, connection = self._child
        self._child = None
        connection.close()
        process.join(timeout=1)
        process.kill()
        process.join()
        return process.exitcode or 0


def _serve(own: Connection, connection: Connection) -> None:
    """Answer calls until the parent closes its connection, which it also does when it ends.

    If the parent ends during a call, the alarm ends this process. (`end_with_parent` would end it
    with the thread that started it.)
    """
    own.close()
    faulthandler.disable()  # a crash is reported by the parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, OSError):  # the parent has ended
        while True:
            read, action, path, seconds = connection.recv()
            signal.alarm(ceil(seconds) + 1)
            try:
                outcome = read(action, path)
            except (AutosegError, OSError) as error:
                outcome = error
            signal.alarm(0)
            connection.send(outcome)
            del outcome


READING = ReadingProcess()
"""The reading process of this process."""
