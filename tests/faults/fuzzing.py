"""Mutated inputs: every one is read or refused with a sentence, in little time and memory."""

import faulthandler
import json
import os
import resource
import signal
import struct
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from faults.inputs import Files, Seed, load_seeds, write_files
from faults.mutations import mutated
from faults.reduction import reduced
from faults.server import Server, end_session
from faults.trials import Budget, Fault, Trial, each_trial

SECONDS, WAITING_SECONDS = 20.0, 120.0
"""Computing time for an input, and time if it waits for something, or the machine is busy."""

MEMORY_BYTES = 2 * 2**30
"""Memory for an input, in addition to that of the process with all its libraries."""

CHUNK = 200
"""Number of inputs that one process reads."""

PROGRESS = struct.Struct("qdd")
"""Number of the input that is being read, and when that began: on the clock, and in the computing
time of the process."""

SHORT_OF_MEMORY = ("bad_alloc", "Unable to allocate", "allocate memory", "not enough memory")


def input_of(seeds: Sequence[Seed], seed: int, number: int) -> tuple[Seed, Files]:
    """Return the input with a number."""
    chosen = seeds[number % len(seeds)]
    return chosen, mutated(chosen.files, chosen.focus, Random(f"{seed} fuzz {number}"))


def outcome_of(reading: str, folder: Path) -> tuple[str, str]:
    """Read an input; return `completed`, `refused` or the kind of fault, and its message."""
    from faults.readings import READINGS

    from autoseg.core.errors import AutosegError

    try:
        READINGS[reading](folder)
    except AutosegError as error:
        if is_short_of_memory(error):
            return f"more than 2 GiB of memory in {place_of(error)}", str(error)
        return "refused", ""
    except BaseException as error:  # noqa: BLE001  (whatever it is, it is a fault)
        if is_short_of_memory(error):
            return f"more than 2 GiB of memory in {place_of(error)}", str(error)
        return f"{type(error).__name__} in {place_of(error)}", str(error)
    return "completed", ""


def is_short_of_memory(error: BaseException | None) -> bool:
    """Return True if an error, or one that led to it, is that memory ran out."""
    while error is not None:
        if isinstance(error, MemoryError) or any(text in str(error) for text in SHORT_OF_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def place_of(error: BaseException) -> str:
    """Return autoseg's innermost function in the traceback of an error or of its cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    frames = [
        f"{frame.filename[frame.filename.rindex('/autoseg/') + 1 :]} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if "/autoseg/" in frame.filename
    ]
    return frames[-1] if frames else "no function of autoseg"


def crash_kind(status: int | None, output: str, seed: Seed) -> str:
    """Return the kind of a crash or hang, by the traceback that faulthandler printed."""
    name = "more than 20 s" if status is None else signal.Signals(-status).name
    lines = (line for line in output.splitlines() if "/autoseg/" in line and " in " in line)
    line = next(lines, None)
    if line is None:
        return f"{name} of {seed.name}"
    path, _, function = line.strip().partition('", line ')
    return f"{name} in {path[path.rindex('/autoseg/') + 1 :]} {function.rpartition(' in ')[2]}"


def computing_seconds(pid: int) -> float:
    """Return the computing time of a process, or 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def limit_memory() -> None:
    """Let this process have 2 GiB more than it has, and print a traceback if it crashes."""
    faulthandler.enable(os.dup(2))  # readers discard what libraries write to standard error
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def read_inputs(seed_file: str, seed: int, first: int, end: int, folder: str) -> None:
    """Job: read the inputs with some numbers; write each outcome as a line of JSON."""
    seeds, place = load_seeds(Path(seed_file)), Path(folder)
    limit_memory()
    results = os.open(place / "results.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    progress = os.open(place / "progress", os.O_WRONLY | os.O_CREAT)
    for number in range(first, end):
        chosen, files = input_of(seeds, seed, number)
        write_files(files, place / "input")
        os.pwrite(progress, PROGRESS.pack(number, time.monotonic(), time.process_time()), 0)
        outcome, message = outcome_of(chosen.reading, place / "input")
        line = json.dumps([number, chosen.name, outcome, message[:500]])
        os.write(results, f"{line}\n".encode(errors="replace"))
    sys.stdout.flush()
    os._exit(0)


def seed_file(world: Path, server: Server) -> Path:
    """Make the valid inputs, unless they are made already; return their file."""
    path, output = world.parent / "seeds", world.parent / "seeds.txt"
    if not path.exists():
        assert server.run("write_seeds", world, path, output=output) == 0, output.read_text()
    return path


def campaign(world: Path, servers: Sequence[Server], seed: int, budget: Budget) -> Iterator[Trial]:
    """Read mutated inputs; the first of each kind of fault is reduced."""
    known: set[str] = set()
    path = seed_file(world, servers[0])

    def trial(number: int, server: Server) -> tuple[Trial, ...]:
        return _Chunk(path, server, seed, known).read(number * CHUNK, _end(budget, number))

    chunks = None if budget.count is None else -(-budget.count // CHUNK)
    for made in each_trial(trial, servers, Budget(chunks, budget.seconds)):
        yield from made


def _end(budget: Budget, number: int) -> int:
    end = (number + 1) * CHUNK
    return end if budget.count is None else min(end, budget.count)


class _Chunk:
    """Reads consecutive inputs in processes that are started again after a crash."""

    def __init__(self, seed_file: Path, server: Server, seed: int, known: set[str]) -> None:
        self._server, self._seed, self._known = server, seed, known
        self._seed_file, self._seeds = seed_file, load_seeds(seed_file)
        self._folder = server.home / "fuzz"
        self._folder.mkdir(exist_ok=True)

    def read(self, first: int, end: int) -> tuple[Trial, ...]:
        results = self._folder / "results.jsonl"
        results.write_bytes(b"")
        crashes: list[tuple[int, str, str]] = []
        while first < end:
            crashed = self._read_until_crash(first, end)
            if crashed is None:
                break
            crashes.append(crashed)
            first = crashed[0] + 1
        outcomes = [json.loads(line) for line in results.read_text().splitlines()]
        outcomes += [
            (number, self._seeds[number % len(self._seeds)].name, kind, text)
            for number, kind, text in crashes
        ]
        return tuple(self._trials(outcomes))

    def _trials(self, outcomes: Sequence[tuple[int, str, str, str]]) -> Iterator[Trial]:
        usual = ("completed", "refused")
        for (name, outcome), count in Counter(
            (name, kind) for _, name, kind, _ in outcomes
        ).items():
            if outcome in usual:
                yield Trial(name, outcome, count=count)
        for number, name, kind, message in outcomes:
            if kind not in usual:
                yield Trial(name, "fault", (self._fault(number, name, kind, message),))

    def _fault(self, number: int, name: str, kind: str, message: str) -> Fault:
        detail = f"{name}, --seed {self._seed}, input {number}: {message}"
        if kind in self._known:
            return Fault(kind, detail)
        self._known.add(kind)
        seed, files = input_of(self._seeds, self._seed, number)
        return Fault(kind, detail, reduced(files, kind, seed, self._server, self._folder))

    def _read_until_crash(self, first: int, end: int) -> tuple[int, str, str] | None:
        """Read inputs until the last one or a crash; return its input, its kind and its output."""
        output, progress = self._folder / "output.txt", self._folder / "progress"
        progress.write_bytes(PROGRESS.pack(first, time.monotonic(), 0.0))
        job = (self._seed_file, self._seed, first, end, self._folder)
        pid = self._server.start("read_inputs", *job, output=output)
        while (status := self._server.wait(pid, 0.5)) is None:
            _, began, computed = PROGRESS.unpack(progress.read_bytes())
            waited = time.monotonic() - began
            if waited > WAITING_SECONDS or computing_seconds(pid) - computed > SECONDS:
                os.kill(pid, signal.SIGABRT)  # faulthandler prints where it is
                self._server.wait(pid, 30)
                break
        end_session(pid)
        if status == 0:
            return None
        self._server.wait(pid, 30)
        number, *_ = PROGRESS.unpack(progress.read_bytes())
        text = output.read_text(errors="replace")
        if status is not None and status > 0:
            raise RuntimeError(f"the campaign itself failed at input {number}:\n{text}")
        return number, crash_kind(status, text, self._seeds[number % len(self._seeds)]), text[-300:]
