"""Record the current stage of a command, for its parent process to read after a crash (Linux)."""

import os
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

RECORD_BYTES = 8192
"""Bytes reserved for the stage and the folder; tracebacks follow them."""

MAX_STAGE_LENGTH = 400
"""Maximum length of a stage's name, characters."""


@dataclass(frozen=True)
class CrashRecord:
    """The last record of a command that has ended.

    Attributes:
        stage: Stage that was running, such as `training 3d_compact, fold 0`.
        folder: Folder of the crash log; None if the command ended before it was known.
        tracebacks: Tracebacks of all threads, from faulthandler; empty if it wrote none.
    """

    stage: str
    folder: Path | None
    tracebacks: str


class CrashNotes:
    """An in-memory file that a process writes to and its parent reads.

    It remains readable after the writing process ends, even if that was killed.

    Attributes:
        started: When the command started, on the clock of `time.perf_counter`.
    """

    def __init__(self) -> None:
        self.started = perf_counter()
        self._file = os.memfd_create("autoseg-crash-notes")
        os.lseek(self._file, RECORD_BYTES, os.SEEK_SET)  # faulthandler writes at this position
        self._stage, self._folder = "starting", ""
        self._save()

    def fileno(self) -> int:
        """Return the file descriptor that tracebacks are written to."""
        return self._file

    def set_folder(self, folder: Path) -> None:
        """Set the folder of the crash log."""
        self._folder = str(folder)
        self._save()

    def begin(self, stage: str) -> None:
        """Set the current stage."""
        self._stage = " ".join(stage.split())[:MAX_STAGE_LENGTH]
        self._save()

    def read(self) -> CrashRecord:
        """Return the record."""
        record = os.pread(self._file, RECORD_BYTES, 0).rstrip(b"\0")
        stage, _, folder = os.fsdecode(record).partition("\n")
        size = os.fstat(self._file).st_size
        tracebacks = os.pread(self._file, max(0, size - RECORD_BYTES), RECORD_BYTES)
        return CrashRecord(
            stage, Path(folder) if folder else None, tracebacks.decode(errors="replace")
        )

    def _save(self) -> None:
        record = os.fsencode(f"{self._stage}\n{self._folder}")
        os.pwrite(self._file, record[:RECORD_BYTES].ljust(RECORD_BYTES, b"\0"), 0)
