"""What the user reads about a command that a signal ended."""

import re
import signal
import sys
from pathlib import Path

import pytest

from autoseg.core.crash_notes import CrashNotes, CrashRecord
from autoseg.core.crash_report import LOG_NAME, crash_message, save_crash_log
from autoseg.core.memory import OutOfMemoryKills
from autoseg.core.signals import describe_end

UNKNOWN = OutOfMemoryKills(None, ())
OPTIONS = frozenset({"--workers", "--precision"})


@pytest.mark.parametrize(
    ("command", "number", "options", "expected"),
    [
        ("train", signal.SIGKILL, OPTIONS, "try --workers 1 or a plan made with a smaller"),
        ("predict", signal.SIGKILL, OPTIONS, "--skip-existing to skip.*try --workers 1\\."),
        ("train", signal.SIGILL, OPTIONS, "last checkpoint.*try --precision float32"),
        ("preprocess", signal.SIGBUS, {"--workers"}, "finished work is kept.*try --workers 2"),
        ("export", signal.SIGABRT, set(), "a library stopped the process"),
    ],
)
def test_a_message_says_what_to_try(command, number, options, expected: str) -> None:
    end = describe_end(number, UNKNOWN)
    message = crash_message(command, number, end, "reading cases", options, Path("work/crash.log"))
    assert f"autoseg {command} was ended by {number.name} (" in message
    assert ") while reading cases." in message
    assert re.search(expected, message)
    assert message.endswith("The crash log is work/crash.log")


def test_a_signal_that_somebody_sent_gets_no_advice_about_memory_or_crashes() -> None:
    end = describe_end(signal.SIGTERM, UNKNOWN)
    message = crash_message("test", signal.SIGTERM, end, "starting", OPTIONS, None)
    assert message == "autoseg test was ended by SIGTERM (Terminated) while starting."


def test_a_log_keeps_the_crashes_before(tmp_path: Path) -> None:
    record = CrashRecord("reading cases", tmp_path / "work", "Fatal Python error: Bus error\n")
    for _ in range(2):
        path = save_crash_log(record, ["plan", "my data"], 0.0, "Ended by SIGBUS.")
    assert path == tmp_path / "work" / LOG_NAME
    text = path.read_text()
    assert text.count("Command: autoseg plan 'my data'\n") == 2
    assert text.count("Fatal Python error: Bus error") == 2


@pytest.mark.parametrize("name", [None, "file"])
def test_a_log_without_a_usable_folder_is_a_temporary_file(
    name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    record = CrashRecord("starting", None if name is None else tmp_path / name, "")
    path = save_crash_log(record, ["plan"], 0.0, "Ended by SIGKILL.")
    assert path.parent == tmp_path
    assert "Stage: starting." in path.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has files in memory")
def test_notes_hold_the_latest_stage_and_what_was_written_behind_it() -> None:
    notes = CrashNotes()
    assert notes.read() == CrashRecord("starting", None, "")
    notes.set_folder(Path("work folder"))
    notes.begin("predicting\ncase_1 " + "x" * 9999)
    notes.begin("predicting\ncase_2")
    assert notes.read() == CrashRecord("predicting case_2", Path("work folder"), "")
