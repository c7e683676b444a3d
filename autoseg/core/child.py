"""Run a module in a separate process, so that a crash in compiled code ends only that process."""

import faulthandler
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from autoseg.core.instructions import child_environment
from autoseg.core.signals import end_with_parent

TIMEOUT = re.compile(r"^Timeout \((.+)\)!", re.MULTILINE)
"""Message that Python's `faulthandler` writes when it ends a process that took too long."""

FIRST_STATUS_OF_A_CRASH = 0xC0000000
"""Lowest exit status of a crash on Windows, which has no signals.
Source: NTSTATUS values of severity "error"."""


@dataclass(frozen=True)
class EndedProcess:
    """Exit status and output of a process that has ended.

    Attributes:
        status: Exit status as in `subprocess`: negative if a signal ended the process.
        output: Its standard output.
        errors: Its standard error.
    """

    status: int
    output: str
    errors: str

    @property
    def crash(self) -> str | None:
        """How the process crashed, as the end of a sentence; None if it exited normally."""
        if timeout := TIMEOUT.search(self.errors):
            return f"did not finish within {timeout[1]}"
        if self.status < 0:
            return f"ended with {signal.Signals(-self.status).name}"
        if self.status >= FIRST_STATUS_OF_A_CRASH:
            return f"ended with status {self.status:#x}"
        return None

    @property
    def is_killed(self) -> bool:
        """Whether the process was killed, most often by the system because memory ran out."""
        return hasattr(signal, "SIGKILL") and self.status == -signal.SIGKILL

    @property
    def last_error(self) -> str:
        """The last line of its standard error."""
        return (self.errors.strip().splitlines() or [f"status {self.status}"])[-1]


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End this process if the block takes longer than `seconds`; see `EndedProcess.crash`."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def read_request() -> bytes:
    """Return the text that `run_module` was given; call it in that module's process.

    On Linux, the process is then also ended when its parent is killed.
    """
    end_with_parent()
    return sys.stdin.buffer.read()


def run_module(module: str, given: str, *, instructions: str) -> EndedProcess:
    """Run `python -m module` until it ends.

    Args:
        module: Name of an importable module.
        given: Text for its standard input.
        instructions: CPU instructions that oneDNN may use in it; see `core.instructions`.
    """
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=given,
        env={**child_environment(instructions), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
        encoding="utf-8",
        errors="replace",
    )
    return EndedProcess(done.returncode, done.stdout, done.stderr)
