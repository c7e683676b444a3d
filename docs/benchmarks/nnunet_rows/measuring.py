"""Seconds and memory of a command with all processes that it starts; Linux only."""

import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import Any

from nnunet_rows.reported import MARK
from nnunet_rows.row import Command, Place, Side

SHORTEST_PAUSE = 0.02
"""Seconds between two looks at the memory."""

PAUSE_PER_LOOK = 10
"""A look takes the longer the more memory there is; it may cost a tenth of a core."""

KIB = 1024


class RowError(Exception):
    """A side of a row failed; the message says where its output is."""


@dataclass(frozen=True)
class Measurement:
    """What one side of a row needed in one round.

    Attributes:
        seconds: Wall-clock time of its work.
        cpu_seconds: Processor time of it; less moved by what else the machine does.
        peak_bytes: Most memory of all its processes together (PSS: what processes share counts
            once), as sampled.
        largest_bytes: Most resident memory of its largest process, as the kernel recorded it; what
            `/usr/bin/time -v` prints.
        note: What it reported.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    largest_bytes: int
    note: str = ""


def measured(side: Side, place: Place, log: Path) -> Measurement:
    """Return what a side needs now.

    Raises:
        RowError: If one of its commands fails.
    """
    side.before()
    parts = [run(command, place, log) for command in side.commands]
    return Measurement(
        seconds=sum(part.seconds for part in parts),
        cpu_seconds=sum(part.cpu_seconds for part in parts),
        peak_bytes=max(part.peak_bytes for part in parts),
        largest_bytes=max(part.largest_bytes for part in parts),
        note=parts[-1].note,
    )


def run(command: Command, place: Place, log: Path) -> Measurement:
    """Run a command to its end and return what it needed.

    Args:
        command: The command.
        place: Its cores become the number of threads.
        log: File for its output.

    Raises:
        RowError: If it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        start = perf_counter()
        process = subprocess.Popen(
            [*_environment(place), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            with _MemoryWatch(process.pid) as watch:
                _, status, usage = os.wait4(process.pid, 0)
            seconds = perf_counter() - start
        finally:
            _end(process.pid)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        msg = f"exit status {process.returncode}; the output is in {log}: {' '.join(command[3:])}"
        raise RowError(msg)
    report = _report(log)
    return Measurement(
        seconds=report.get("seconds", seconds),
        cpu_seconds=report.get("cpu_seconds", usage.ru_utime + usage.ru_stime),
        peak_bytes=watch.peak_bytes,
        largest_bytes=usage.ru_maxrss * KIB,
        note=report.get("note", ""),
    )


def _environment(place: Place) -> Command:
    """Return what sets the variables that nnU-Net and torch read, for both sides alike."""
    folders = [
        f"nnUNet_{name}={place.nnunet / name}" for name in ("raw", "preprocessed", "results")
    ]
    return (
        "env",
        *folders,
        f"nnUNet_def_n_proc={place.cores}",
        f"nnUNet_n_proc_DA={place.cores}",
        f"OMP_NUM_THREADS={place.cores}",
        "OMP_WAIT_POLICY=PASSIVE",  # what autoseg sets; else loaders wait for spinning threads
    )


def _report(log: Path) -> dict[str, Any]:
    lines = log.read_text(errors="replace").splitlines()
    reports = [line.removeprefix(MARK) for line in lines if line.startswith(MARK)]
    return dict(json.loads(reports[-1])) if reports else {}


def _end(session: int) -> None:
    """Kill what a command has left behind, or all of it if the wait was interrupted."""
    try:
        os.killpg(session, signal.SIGKILL)
    except ProcessLookupError:
        return


class _MemoryWatch:
    """Adds up the memory of a session's processes again and again, in a thread."""

    def __init__(self, session: int) -> None:
        self.peak_bytes = 0
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
            found = sum(_proportional_bytes(process) for process in _processes(self._session))
            self.peak_bytes = max(self.peak_bytes, found)
            pause = max(SHORTEST_PAUSE, PAUSE_PER_LOOK * (perf_counter() - start))


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
