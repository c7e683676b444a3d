"""Commands that end by a signal, and signals that reach them, in real processes."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from autoseg.core.crash_report import LOG_NAME
from autoseg.training.lock import LOCK_NAME, locked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent process")

PROGRAM = """
import fcntl, os, signal, sys, termios, threading, time
from functools import wraps
from pathlib import Path

from autoseg import cli
from autoseg.commands.options import terminal_progress
from autoseg.commands.training import train
from autoseg.core.parallel import run_each

def end(number):
    os.kill(os.getpid(), number)

@wraps(train)
def fake(context, work, **options):
    signal.alarm(120)  # ends it if a test waits in vain
    progress = terminal_progress(context, work)
    progress.begin("training 3d_compact, fold 0")
    body(work)

def ready():
    print(os.getpid(), flush=True)

def body(work):
    {body}

{before}
signal.signal(signal.SIGINT, signal.default_int_handler)
for command in cli.app.registered_commands:
    if command.callback.__name__ == "train":
        command.callback = fake
cli.main()
"""
"""Runs `autoseg train` with another body."""

COUNTING = """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: print(signal.Signals(number).name, flush=True))
    signal.signal(signal.SIGUSR1, lambda *_: sys.exit(5))
    ready()
    while True:
        signal.pause()
"""
"""Prints the signals that reach it, until SIGUSR1 ends it."""


@contextmanager
def started(
    work: Path, body: str, *, before: str = "", stdin: int = subprocess.DEVNULL
) -> Iterator:
    program = PROGRAM.format(body=body.strip(), before=before)
    command = [sys.executable, "-c", program, "train", "DATASET", "--work", str(work)]
    pipes = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(work: Path, body: str) -> subprocess.CompletedProcess:
    with started(work, body) as process:
        output, errors = process.communicate()
    return subprocess.CompletedProcess([], process.returncode, output, errors)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (signal.SIGKILL, ("because memory ran out", "--workers 1")),
        (signal.SIGSEGV, ("an invalid memory access", "--precision float32")),
        (signal.SIGABRT, ("a library stopped the process", "--precision float32")),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_signal_that_ends_a_command_is_reported(
    number: signal.Signals, expected: tuple[str, ...], tmp_path: Path
) -> None:
    done = ended(tmp_path / "work", f"end(signal.{number.name})")
    assert done.returncode == 128 + number
    stage = "while training 3d_compact, fold 0. Run the same command again to resume from the last"
    for part in (f"error: autoseg train was ended by {number.name} (", stage, *expected):
        assert part in done.stderr
    log = tmp_path / "work" / LOG_NAME
    assert done.stderr.endswith(f"The crash log is {log}\n")
    text = log.read_text()
    for part in ("Command: autoseg train DATASET --work ", "Started 20", "torch ", number.name):
        assert part in text


def test_a_crash_log_has_the_tracebacks_of_all_threads(tmp_path: Path) -> None:
    body = """
    def waiting_thread():
        time.sleep(60)
    threading.Thread(target=waiting_thread, daemon=True).start()
    end(signal.SIGSEGV)
    """
    ended(tmp_path, body)
    text = (tmp_path / LOG_NAME).read_text()
    assert "Fatal Python error: Segmentation fault" in text
    assert "in waiting_thread" in text
    assert "in end" in text


@pytest.mark.parametrize(("body", "status"), [("pass", 0), ("sys.exit(3)", 3)])
def test_a_command_that_ends_by_itself_keeps_its_status_and_leaves_no_log(
    body: str, status: int, tmp_path: Path
) -> None:
    done = ended(tmp_path, body)
    assert (done.returncode, done.stderr) == (status, "")
    assert not list(tmp_path.iterdir())


def test_a_command_killed_by_the_memory_limit_of_its_job_is_explained(
    limited_group: Path, tmp_path: Path
) -> None:
    before = f"Path({str(limited_group)!r}, 'cgroup.procs').write_text(str(os.getpid()))"
    with started(tmp_path, "bytearray(2**30)", before=before) as process:
        _, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGKILL
    assert (
        "error: autoseg train was killed because the memory limit of its container or job "
        "(0.25 GiB) was reached while training 3d_compact, fold 0." in errors
    )
    assert "The command was killed because the memory limit" in (tmp_path / LOG_NAME).read_text()


def test_low_memory_is_reported_once_while_a_command_works(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(f"{2**28}\n")
    (tmp_path / "memory.current").write_text(f"{2**28}\n")
    before = (
        "from autoseg.core import memory, supervision\n"
        f"memory.CGROUPS = Path({str(tmp_path)!r})\n"
        "supervision.WATCH_SECONDS = 0.05\n"
    )
    with started(tmp_path / "work", "time.sleep(1)", before=before) as process:
        _, errors = process.communicate()
    assert process.returncode == 0
    assert errors == (
        "warning: only 0.0 GiB of 0.2 GiB of memory are available within the limit of the "
        "container or job; the system kills autoseg train when it runs out. To use less memory, "
        "try --workers 1 or a plan made with a smaller --memory.\n"
    )


def test_a_signal_that_somebody_sent_is_reported_without_a_log(tmp_path: Path) -> None:
    with started(tmp_path, "ready()\n    signal.pause()") as process:
        process.stdout.readline()
        process.terminate()
        _, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert "autoseg train was ended by SIGTERM (Terminated) while training 3d_compact" in errors
    assert not list(tmp_path.iterdir())


def test_the_crash_of_a_worker_process_is_logged_though_the_command_ends_well(
    tmp_path: Path,
) -> None:
    body = "print(*run_each(end, [signal.SIGSEGV, 0], workers=2))"
    done = ended(tmp_path, body)
    assert done.returncode == 0
    assert "its worker process was ended by SIGSEGV" in done.stdout
    assert f"The crash log of a worker process is {tmp_path / LOG_NAME}" in done.stderr
    assert "Segmentation fault" in (tmp_path / LOG_NAME).read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_process_that_was_started_is_forwarded_once(
    number: signal.Signals, tmp_path: Path
) -> None:
    with started(tmp_path, COUNTING) as process:
        process.stdout.readline()
        process.send_signal(number)
        assert process.stdout.readline() == f"{number.name}\n"
        process.send_signal(signal.SIGUSR1)
        output, errors = process.communicate()
    assert (output, errors) == ("", "")
    assert process.returncode == 5


@pytest.fixture
def keyboard_and_terminal() -> Iterator[tuple[int, int]]:
    ends = pty.openpty()
    yield ends
    for end in ends:
        with suppress(OSError):  # closed by the test
            os.close(end)


OWNING = "os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
"""Makes the terminal on standard input that of the process."""


def test_ctrl_c_reaches_the_work_once_and_leaves_its_parent_alive(
    keyboard_and_terminal: tuple[int, int], tmp_path: Path
) -> None:
    keyboard, terminal = keyboard_and_terminal
    with started(tmp_path, COUNTING, before=OWNING, stdin=terminal) as process:
        process.stdout.readline()
        os.write(keyboard, b"\x03")
        assert process.stdout.readline() == "SIGINT\n"
        process.send_signal(signal.SIGUSR1)  # would come after a SIGINT that was forwarded, too
        output, _ = process.communicate()
    assert output == ""
    assert process.returncode == 5


def test_a_terminal_that_is_closed_reaches_the_work(
    keyboard_and_terminal: tuple[int, int], tmp_path: Path
) -> None:
    keyboard, terminal = keyboard_and_terminal
    with started(tmp_path, COUNTING, before=OWNING, stdin=terminal) as process:
        process.stdout.readline()
        os.close(keyboard)  # the system tells the first process of the session, which is the parent
        assert process.stdout.readline() == "SIGHUP\n"
        process.send_signal(signal.SIGUSR1)
        process.communicate()
    assert process.returncode == 5


def test_work_ends_with_its_parent_and_its_lock_can_be_taken(tmp_path: Path) -> None:
    body = """
    from autoseg.training.lock import locked
    with locked(work):
        ready()
        time.sleep(600)
    """
    with started(tmp_path, body) as process:
        child = int(process.stdout.readline())
        assert (tmp_path / LOCK_NAME).is_file()
        process.kill()
        process.wait()
    assert is_gone(child)
    with locked(tmp_path):
        pass


def is_gone(pid: int) -> bool:
    """Return whether a process ends within a minute."""
    for _ in range(600):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.1)
    return False
