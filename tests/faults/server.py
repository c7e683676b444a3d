"""A process that has loaded torch and autoseg, and runs every job in a fork of itself.

A command so starts in milliseconds instead of seconds. Jobs are functions of `faults.jobs`; each
runs in a session of its own, so that all its processes can be found, signalled and ended.
"""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import matplotlib as mpl

TESTS = Path(__file__).parents[1]
POLL_SECONDS = 0.002
THREADS = ("OMP_NUM_THREADS", "BLOSC_NTHREADS", "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS")


def without_coverage() -> dict[str, str]:
    """Return the environment in which no coverage is measured, which writes files of its own."""
    return {name: text for name, text in os.environ.items() if not name.startswith("COV")}  # noqa: TID251


class Server:
    """The running server, as seen from the campaign."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        for fonts in Path(mpl.get_cachedir()).glob("fontlist*.json"):  # takes 10 s to make
            shutil.copy(fonts, home)
        paths = os.pathsep.join(map(str, (TESTS, TESTS.parent)))
        own = {"HOME": str(home), "TMPDIR": str(home), "MPLCONFIGDIR": str(home)}
        own |= {"PYTHONPATH": paths} | dict.fromkeys(THREADS, "1")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**without_coverage(), **own, **environment},
            cwd=home,
            text=True,
        )

    def start(self, job: str, *arguments: object, output: Path) -> int:
        """Start a job; return the number of its process, which is that of its session."""
        return self._ask({"job": job, "arguments": arguments, "output": str(output)})

    def wait(self, pid: int, seconds: float) -> int | None:
        """Wait for a job; return its status as in `subprocess`, or None if it still runs."""
        return self._ask({"wait": pid, "seconds": seconds})

    def run(self, job: str, *arguments: object, output: Path, seconds: float = 600) -> int | None:
        """Run a job; return its status, or None if it was ended after so many seconds."""
        pid = self.start(job, *arguments, output=output)
        status = self.wait(pid, seconds)
        end_session(pid)
        if status is None:
            self.wait(pid, 30)
        return status

    def close(self) -> None:
        """End the server and all its jobs."""
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()

    def _ask(self, request: dict[str, Any]) -> Any:
        self._process.stdin.write(json.dumps(request, default=str) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the server of the campaign has ended")
        return json.loads(answer)


def session_of(pid: int) -> list[int]:
    """Return the living processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if int(session) == pid and state not in "ZX":
                found.append(int(entry.name))
    return found


def end_session(pid: int, patience: float = 0.0) -> list[int]:
    """Kill what is left of a session after a while; return the processes that had to be killed."""
    deadline = time.monotonic() + patience
    while (left := session_of(pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in left:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return left


def serve() -> None:
    """Answer requests until standard input ends."""
    jobs = importlib.import_module("faults.jobs")
    jobs.preload()
    threads = list(Path("/proc/self/task").iterdir())
    assert len(threads) == 1, "a fork would have none of the other threads"
    children: dict[int, int | None] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = _wait(request["wait"], request["seconds"], children)
        else:
            answer = os.fork()
            if answer == 0:
                _become(request)
                getattr(jobs, request["job"])(*request["arguments"])
                return
            children[answer] = None
        print(json.dumps(answer), flush=True)  # noqa: T201
    for pid, status in children.items():
        if status is None:
            end_session(pid)


def _become(request: dict[str, Any]) -> None:
    """Make a process of its own of a fork: its session, its input and its output."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(null)
    os.close(output)


def _wait(pid: int, seconds: float, children: dict[int, int | None]) -> int | None:
    deadline = time.monotonic() + seconds
    while children[pid] is None:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            children[pid] = os.waitstatus_to_exitcode(status)
        elif time.monotonic() >= deadline:
            break
        else:
            time.sleep(POLL_SECONDS)
    return children[pid]


if __name__ == "__main__":
    try:
        serve()
    except Exception:  # noqa: BLE001  (also that of a job: it is printed where its output goes)
        traceback.print_exc()
        sys.exit(1)
