"""Seconds, processor seconds and memory of calls and of whole commands; memory needs Linux."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import perf_counter, process_time
from typing import IO

KIB, MIB, GIB = 2**10, 2**20, 2**30

SHORTEST_PAUSE = 0.02
"""Seconds between two samples of the memory."""

PAUSE_PER_SAMPLE = 10
"""A sample takes longer the more memory there is; sampling may cost a tenth of a core."""

AUTOSEG = (sys.executable, "-c", "from autoseg.cli import main; main()")
"""The command line of autoseg."""


@dataclass
class Stopwatch:
    """Time that a block takes; zero until it ends.

    Attributes:
        seconds: Wall-clock time.
        cpu_seconds: Processor time of this process, all threads together.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Provide a stopwatch that is set when the block ends."""
    watch = Stopwatch()
    start, cpu_start = perf_counter(), process_time()
    yield watch
    watch.seconds, watch.cpu_seconds = perf_counter() - start, process_time() - cpu_start


def timed(action: Callable[[], object]) -> Stopwatch:
    """Time one call."""
    with stopwatch() as watch:
        action()
    return watch


def medians(watches: Sequence[Stopwatch]) -> Stopwatch:
    """Return the median of both times."""
    return Stopwatch(
        median(watch.seconds for watch in watches), median(watch.cpu_seconds for watch in watches)
    )


@dataclass(frozen=True)
class CommandCost:
    """Time and memory of a command with all processes that it starts.

    Attributes:
        seconds: Wall-clock time.
        cpu_seconds: Processor time; depends less on other work of the machine.
        resident_bytes: Peak resident memory of the largest process, as the kernel recorded it
            (`/usr/bin/time -v` prints it).
        process_bytes: Peak memory of any one process, as sampled (PSS: shared pages count once).
        together_bytes: Peak memory of all processes together, as sampled (PSS).
    """

    seconds: float
    cpu_seconds: float
    resident_bytes: int
    process_bytes: int
    together_bytes: int


def command_cost(
    command: Sequence[object], *, output: IO[bytes] | None = None, samples_memory: bool = False
) -> CommandCost:
    """Run a command in a session of its own, whose processes all end with it.

    Args:
        command: The command.
        output: File for its output; None discards standard output.
        samples_memory: Whether to sample the memory, in a thread.

    Raises:
        subprocess.CalledProcessError: If it fails.
    """
    words = [str(word) for word in command]
    start = perf_counter()
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=output or subprocess.DEVNULL,
        stderr=None if output is None else subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        watch = _MemoryWatch(process.pid)
        with watch if samples_memory else nullcontext():
            _, status, usage = os.wait4(process.pid, 0)  # descendants that were waited for, too
        seconds = perf_counter() - start
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    return CommandCost(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        resident_bytes=usage.ru_maxrss * KIB,
        process_bytes=watch.process_bytes,
        together_bytes=watch.together_bytes,
    )


class _MemoryWatch:
    """Samples the memory of a session's processes in a thread."""

    def __init__(self, session: int) -> None:
        self.process_bytes = self.together_bytes = 0
        self._session = session
        self._done = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        pause = 0.0
        while not self._done.wait(pause):
            start = perf_counter()
            sizes = [_proportional_bytes(process) for process in _processes(self._session)]
            self.process_bytes = max(self.process_bytes, *sizes, 0)
            self.together_bytes = max(self.together_bytes, sum(sizes))
            pause = max(SHORTEST_PAUSE, PAUSE_PER_SAMPLE * (perf_counter() - start))


def _processes(session: int) -> list[Path]:
    """Return the folders of a session's processes below /proc."""
    return [
        folder
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and _is_in(folder, session)
    ]


def _is_in(process: Path, session: int) -> bool:
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return False
    return int(fields[3]) == session


def _proportional_bytes(process: Path) -> int:
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * KIB for line in lines if line.startswith("Pss:"))
