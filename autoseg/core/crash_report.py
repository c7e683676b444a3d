"""The message and the log about a command that was ended by a signal."""

import platform
import shlex
import tempfile
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from autoseg.core.crash_notes import CrashRecord
from autoseg.core.signals import CRASHES, signal_name

LOG_NAME = "crash.log"

LOGGED_PACKAGES = ("autoseg", "torch", "numpy", "scipy", "SimpleITK", "blosc2")
"""Packages whose versions are written to a crash log: autoseg and those with compiled code."""

KEEPS_FINISHED_WORK = "Run the same command again to continue; finished work is kept."

RESUMING = {
    "run": "Run the same command again to resume from the last checkpoint.",
    "train": "Run the same command again to resume from the last checkpoint.",
    "preprocess": KEEPS_FINISHED_WORK,
    "select": KEEPS_FINISHED_WORK,
    "predict": "Run the same command with --skip-existing to skip existing outputs.",
}
"""How to continue after a crash, for commands that keep finished work."""

COMMANDS_WITH_PLAN = ("run", "train")
"""Commands whose memory use depends on the plan."""


def crash_message(
    command: str, number: int, end: str, stage: str, options: Collection[str], log: Path | None
) -> str:
    """Build the message for a command that was ended by a signal, with advice.

    Args:
        command: Name of the command, such as `train`.
        number: Number of the signal.
        end: How the signal ended it, see `describe_end`.
        stage: Stage that was running.
        options: Options of the command, such as `--workers`; only these are recommended.
        log: Path of the crash log; None if there is none.
    """
    sentences = [
        f"autoseg {command} was {end} while {stage}.",
        RESUMING.get(command, ""),
        _advice(command, number, options),
        f"The crash log is {log}" if log else "",
    ]
    return " ".join(filter(None, sentences))


def _advice(command: str, number: int, options: Collection[str]) -> str:
    """Return advice for the user; empty for signals that were sent on purpose."""
    if signal_name(number) == "SIGKILL":
        return memory_advice(command, options)
    if signal_name(number) not in CRASHES:
        return ""
    if "--precision" in options:
        return "If it happens again, try --precision float32."
    if "--workers" in options:
        return (
            "If it happens again, try --workers 2: the case that causes the crash is then reported."
        )
    return ""


def memory_advice(command: str, options: Collection[str]) -> str:
    """Return advice for using less memory, as a sentence; empty without an option for it."""
    trials = ["--workers 1"] if "--workers" in options else []
    trials += ["a plan made with a smaller --memory"] if command in COMMANDS_WITH_PLAN else []
    return f"To use less memory, try {' or '.join(trials)}." if trials else ""


def save_crash_log(
    record: CrashRecord, arguments: Sequence[str], started: float, end: str
) -> Path | None:
    """Append a crash to the log in the command's folder.

    If the folder is unknown or not writable, a new file in the folder for temporary files is used.

    Args:
        record: Last record of the command.
        arguments: Command-line arguments.
        started: Start time, seconds since 1970.
        end: How the command ended, as a sentence.

    Returns:
        Path of the log; None if it could not be written.
    """
    text = _log_text(record, arguments, started, end)
    try:
        if record.folder is not None:
            return _append(record.folder / LOG_NAME, text)
    except OSError:  # use the folder for temporary files
        pass
    try:
        _, name = tempfile.mkstemp(prefix="autoseg_crash_", suffix=".log")
        return _append(Path(name), text)
    except OSError:
        return None


def _log_text(record: CrashRecord, arguments: Sequence[str], started: float, end: str) -> str:
    times = [datetime.fromtimestamp(started, UTC), datetime.now(UTC)]
    begun, ended = (time.astimezone().isoformat(sep=" ", timespec="seconds") for time in times)
    versions = [*map(_package_version, LOGGED_PACKAGES), f"Python {platform.python_version()}"]
    lines = [
        f"Command: {shlex.join(('autoseg', *arguments))}",
        f"Started {begun}, ended {ended}",
        f"Versions: {', '.join(versions)}; {platform.platform()}",
        f"{end} Stage: {record.stage}.",
        "",
        record.tracebacks or "No traceback: this signal does not produce one.",
        "",
    ]
    return "\n".join(lines)


def _append(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return path


def _package_version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} (not installed)"
