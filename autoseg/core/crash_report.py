"""What the user reads about a command that a signal ended: a message and a log."""

import platform
import shlex
import tempfile
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from autoseg.core.crash_notes import CrashRecord
from autoseg.core.signals import CRASHES, explained, signal_name

LOG_NAME = "crash.log"

PACKAGES = ("autoseg", "torch", "numpy", "scipy", "SimpleITK", "blosc2")
"""Packages whose versions a crash log states: autoseg and those with compiled code."""

FINISHED_STAYS = "The same command keeps what is finished and continues from there."

RESUMING = {
    "run": "The same command resumes from the last checkpoint.",
    "train": "The same command resumes from the last checkpoint.",
    "preprocess": FINISHED_STAYS,
    "select": FINISHED_STAYS,
    "predict": "The same command with --skip-existing skips outputs that exist.",
}
"""How to continue after a crash, for commands that keep what they have done."""

PLANNED = ("run", "train")
"""Commands whose use of memory depends on the plan."""


def crash_message(
    command: str, number: int, stage: str, options: Collection[str], log: Path | None
) -> str:
    """Name the signal that ended a command, its stage, and what to try.

    Args:
        command: Name of the command, such as `train`.
        number: The signal.
        stage: What the command was doing.
        options: Spellings of the options that the command has; only these are recommended.
        log: The crash log; None if there is none.
    """
    sentences = [
        f"autoseg {command} was ended by {explained(number)} while {stage}.",
        RESUMING.get(command, ""),
        _advice(command, number, options),
        f"The crash log is {log}" if log else "",
    ]
    return " ".join(filter(None, sentences))


def _advice(command: str, number: int, options: Collection[str]) -> str:
    """Suggest a remedy; empty for signals that were sent on purpose."""
    if signal_name(number) == "SIGKILL":
        trials = ["--workers 1"] if "--workers" in options else []
        trials += ["a plan made with a smaller --memory"] if command in PLANNED else []
        return f"To use less memory, try {' or '.join(trials)}." if trials else ""
    if signal_name(number) not in CRASHES:
        return ""
    if "--precision" in options:
        return "If it ends the same way again, try --precision float32."
    if "--workers" in options:
        return (
            "If it ends the same way again, try --workers 2: a case that causes the issue is then "
            "named."
        )
    return ""


def save_crash_log(
    record: CrashRecord, arguments: Sequence[str], started: float, end: str
) -> Path | None:
    """Append a crash to the log in the command's folder, and return the log's path.

    If that folder is not known or cannot be written to, the log is a new file in the folder for
    temporary files; None if that cannot be written to, either.

    Args:
        record: What the command noted.
        arguments: The command's arguments.
        started: When it started, in seconds since 1970.
        end: How it ended, as a sentence.
    """
    text = _log_text(record, arguments, started, end)
    try:
        if record.folder is not None:
            return _appended(record.folder / LOG_NAME, text)
    except OSError:  # the next best place, then
        pass
    try:
        _, name = tempfile.mkstemp(prefix="autoseg_crash_", suffix=".log")
        return _appended(Path(name), text)
    except OSError:
        return None


def _log_text(record: CrashRecord, arguments: Sequence[str], started: float, end: str) -> str:
    times = [datetime.fromtimestamp(started, UTC), datetime.now(UTC)]
    begun, ended = (time.astimezone().isoformat(sep=" ", timespec="seconds") for time in times)
    versions = [*map(_versioned, PACKAGES), f"Python {platform.python_version()}"]
    lines = [
        f"Command: {shlex.join(('autoseg', *arguments))}",
        f"Started {begun}, ended {ended}",
        f"Versions: {', '.join(versions)}; {platform.platform()}",
        f"{end} Stage: {record.stage}.",
        "",
        record.tracebacks or "No traceback: none is written for this signal.",
        "",
    ]
    return "\n".join(lines)


def _appended(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return path


def _versioned(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} (not installed)"
