"""How another process ended."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autoseg.core.child import EndedProcess, run_module
from autoseg.core.instructions import LIMITED, UNLIMITED, VARIABLE

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="there are no signals on Windows")


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return what makes a module of some lines, which child processes find."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text):
        (tmp_path / "made_up_program.py").write_text(text)
        return "made_up_program"

    return write


def test_a_module_reads_and_writes(module):
    echo = module("import sys; sys.stdout.write(sys.stdin.read())")
    assert run_module(echo, "given", instructions=UNLIMITED) == EndedProcess(0, "given", "")


def test_it_has_the_instructions(module):
    shown = module(f"import os; print(os.environ[{VARIABLE!r}])")
    assert run_module(shown, "", instructions=LIMITED).output.strip() == LIMITED


def test_an_exception_is_no_crash(module):
    ended = run_module(module("raise ValueError('a bug')"), "", instructions=UNLIMITED)
    assert (ended.status, ended.crash, ended.last_error) == (1, None, "ValueError: a bug")


@POSIX
@pytest.mark.parametrize(("name", "is_killed"), [("SIGSEGV", False), ("SIGKILL", True)])
def test_the_signal_that_ended_it_is_named(name, is_killed, module):
    number = int(getattr(signal, name))
    ended = run_module(
        module(f"import os; os.kill(os.getpid(), {number})"), "", instructions=UNLIMITED
    )
    assert ended.crash == f"ended with {name}"
    assert ended.is_killed == is_killed


def test_a_crash_on_windows_has_its_status():
    assert EndedProcess(0xC0000005, "", "").crash == "ended with status 0xc0000005"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_module_ends_when_its_parent_is_killed(module, tmp_path):
    pid_file = tmp_path / "pid"
    waiting = module(
        "import os, pathlib, time\n"
        "from autoseg.core.child import read_request\n"
        "read_request()\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    call = f"run_module({waiting!r}, '', instructions={UNLIMITED!r})"
    found = f"import sys; sys.path.insert(0, {str(tmp_path)!r})"
    code = f"{found}; from autoseg.core.child import run_module; {call}"
    parent = subprocess.Popen([sys.executable, "-c", code])
    until(lambda: pid_file.is_file() and pid_file.read_text())
    child = int(pid_file.read_text())
    parent.kill()
    parent.wait()
    until(lambda: not Path(f"/proc/{child}").exists() or is_zombie(child))


def until(condition, seconds=30.0):
    """Wait until a condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_zombie(pid):
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()
