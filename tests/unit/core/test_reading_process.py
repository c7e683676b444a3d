"""A process of its own reads files; if it ends, this is the fault of one file."""

import os
import signal
from math import inf
from pathlib import Path
from threading import Thread
from time import sleep

import pytest

from autoseg.core.errors import CaseError
from autoseg.core.reading_process import ReadingProcess


def _crash(_: object, __: Path) -> int:
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def _hang(_: object, __: Path) -> int:
    signal.pause()
    return 0


def _answer(_: object, __: Path) -> int:
    return os.getpid()


def _kill(_: object, __: Path) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def _exit(_: object, __: Path) -> int:
    os._exit(3)


def _refuse(_: object, path: Path) -> int:
    raise CaseError(f"{path} is refused")


@pytest.mark.skipif(not hasattr(signal, "pause"), reason="no fork")
def test_a_crash_in_the_reading_process_is_the_fault_of_one_file() -> None:
    reading, file = ReadingProcess(), Path("a.nii")
    assert reading.call(_answer, Path.exists, file, seconds=9.0) == os.getpid()
    reading.enable()
    reading.start()
    first = reading.call(_answer, Path.exists, file, seconds=9.0)
    assert first != os.getpid()
    assert reading.call(_answer, Path.exists, file, seconds=9.0) == first
    with pytest.raises(CaseError, match=r"a\.nii cannot be read: reading it was ended by SIGSEGV"):
        reading.call(_crash, Path.exists, file, seconds=9.0)
    second = reading.call(_answer, Path.exists, file, seconds=9.0)
    assert second not in (first, os.getpid())
    with pytest.raises(CaseError, match="reading it did not end within 0 seconds"):
        reading.call(_hang, Path.exists, file, seconds=0.1)
    with pytest.raises(CaseError, match=r"a\.nii is refused"):
        reading.call(_refuse, Path.exists, file, seconds=9.0)
    third = reading.call(_answer, Path.exists, file, seconds=9.0)
    assert third not in (first, second, os.getpid())


@pytest.mark.skipif(not hasattr(signal, "pause"), reason="no fork")
def test_the_reading_process_outlives_the_thread_that_started_it() -> None:
    reading, file = ReadingProcess(), Path("a.nii")
    reading.enable()
    thread = Thread(target=reading.start)
    thread.start()
    thread.join()
    first = reading.call(_answer, Path.exists, file, seconds=9.0)
    sleep(0.1)
    assert reading.call(_answer, Path.exists, file, seconds=9.0) == first


@pytest.mark.skipif(not hasattr(signal, "pause"), reason="no fork")
def test_a_reading_process_that_is_killed_needs_memory() -> None:
    reading = ReadingProcess()
    reading.enable()
    with pytest.raises(CaseError, match=r"SIGKILL .* Free memory"):
        reading.call(_kill, Path.exists, Path("a.nii"), seconds=9.0)


@pytest.mark.skipif(not hasattr(signal, "pause"), reason="no fork")
def test_any_time_limit_and_any_end_of_the_reading_process_are_understood() -> None:
    reading, file = ReadingProcess(), Path("a.nii")
    reading.enable()
    for seconds in (inf, 1e9):
        assert reading.call(_answer, Path.exists, file, seconds=seconds) != os.getpid()
    with pytest.raises(CaseError, match="reading it was ended with exit status 3"):
        reading.call(_exit, Path.exists, file, seconds=9.0)
