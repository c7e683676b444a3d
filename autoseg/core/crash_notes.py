"""What a command is doing, kept where its parent process finds it after a crash (Linux)."""

import os
from dataclasses import dataclass
from pathlib import Path

RECORD_BYTES = 8192
"""Room for the stage and the folder; tracebacks follow behind it."""

LONGEST_STAGE = 400
"""Characters that are kept of a stage's name."""


@dataclass(frozen=True)
class CrashRecord:
    """What is known of a command that has ended.

    Attributes:
        stage: What it was doing, such as `training 3d_compact, fold 0`.
        folder: Where its crash log belongs; None if it ended before that was known.
        tracebacks: Of all threads, as faulthandler wrote them; empty if it wrote none.
    """

    stage: str
    folder: Path | None
    tracebacks: str


class CrashNotes:
    """A file in memory that a process writes to and its parent reads.

    It outlives the process that writes, even one that is killed.
    """

    def __init__(self) -> None:
        self._file = os.memfd_create("autoseg-crash-notes")
        os.lseek(self._file, RECORD_BYTES, os.SEEK_SET)  # faulthandler writes where the file stands
        self._stage, self._folder = "starting", ""
        self._save()

    def fileno(self) -> int:
        """Return the file descriptor that tracebacks are written to."""
        return self._file

    def log_in(self, folder: Path) -> None:
        """Note the folder that a crash log belongs to."""
        self._folder = str(folder)
        self._save()

    def begin(self, stage: str) -> None:
        """Note what is being done from now on."""
        self._stage = " ".join(stage.split())[:LONGEST_STAGE]
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
