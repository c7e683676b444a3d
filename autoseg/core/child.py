"""Run a module in a process of its own, so that a crash of compiled code ends that process only."""

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

TIMEOUT = re.compile(r"^Timeout \((.+)\)!", re.MULTILINE)
"""What Python's `faulthandler` writes when it ends a process that took too long."""

FIRST_STATUS_OF_A_CRASH = 0xC0000000
"""On Windows, which has no signals. Source: its NTSTATUS values of severity "error"."""


@dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Attributes:
        status: As `subprocess` has it: below 0, the number of the signal that ended it.
        output: What it wrote to its standard output.
        errors: The same of its standard error.
    """

    status: int
    output: str
    errors: str

    @property
    def crash(self) -> str | None:
        """How it crashed, as the rest of a sentence; None if it ended by itself."""
        if timeout := TIMEOUT.search(self.errors):
            return f"did not finish within {timeout[1]}"
        if self.status < 0:
            return f"ended with {signal.Signals(-self.status).name}"
        if self.status >= FIRST_STATUS_OF_A_CRASH:
            return f"ended with status {self.status:#x}"
        return None

    @property
    def is_killed(self) -> bool:
        """Whether someone killed it: most often the system, because memory ran out."""
        return hasattr(signal, "SIGKILL") and self.status == -signal.SIGKILL

    @property
    def last_error(self) -> str:
        """The last line of its standard error."""
        return (self.errors.strip().splitlines() or [f"status {self.status}"])[-1]


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """End this process, whatever it computes, if the block takes longer; see `Ended.crash`."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def run_module(module: str, given: str, *, instructions: str) -> Ended:
    """Run `python -m module` until it ends.

    Args:
        module: Name of a module that this process could import.
        given: Goes to its standard input.
        instructions: Of the CPU, which oneDNN may use there.
    """
    environment = child_environment(instructions)
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=given.encode(),
        env=environment,
        capture_output=True,
        check=False,
    )
    output, errors = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    return Ended(done.returncode, output, errors)
