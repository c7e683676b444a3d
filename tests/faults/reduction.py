"""Make the input of a fault as small as it can be with the same fault."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from faults.inputs import Files, Seed, files_in, write_files
from faults.server import Server

SECONDS = 20.0
"""Time for the reduction of an input."""


def reduced(files: Files, kind: str, seed: Seed, server: Server, folder: Path) -> Files:
    """Return a smaller input with the same kind of fault; that of a hang is returned as it is."""
    if kind.startswith("more than 20 s"):
        return files
    given, result = folder / "reduce", folder / "reduced"
    write_files(files, given)
    write_files(files, result)
    (folder / "seed.json").write_text(json.dumps([seed.name, seed.reading, seed.focus]))
    server.run("reduce_input", folder, kind, output=folder / "reduce.txt", seconds=4 * SECONDS)
    smallest = files_in(result)
    shutil.rmtree(given)
    shutil.rmtree(result)
    return smallest or files


def reduce_input(folder: str, kind: str) -> None:
    """Job: reduce the input in `reduce`, and write each smaller one to `reduced`."""
    place = Path(folder)
    name, reading, focus = json.loads((place / "seed.json").read_text())
    seed = Seed(name, reading, {}, focus)
    files = files_in(place / "reduce")

    def has_fault(smaller: Files) -> bool:
        write_files(smaller, place / "input")
        if _kind_of(seed, place) != kind:
            return False
        write_files(smaller, place / "reduced")
        return True

    smallest(files, has_fault, time.monotonic() + SECONDS)
    os._exit(0)


def smallest(files: Files, has_fault: Callable[[Files], bool], deadline: float) -> Files:
    """Delete files, then ever smaller parts of each file, as long as the fault stays."""
    for name in sorted(files, key=lambda name: -len(files[name])):
        fewer = {other: part for other, part in files.items() if other != name}
        if time.monotonic() < deadline and fewer and has_fault(fewer):
            files = fewer
    for name in sorted(files):
        size = len(files[name])
        while size and time.monotonic() < deadline:
            content = files[name]
            for begin in reversed(range(0, len(content), size)):
                shorter = content[:begin] + content[begin + size :]
                if time.monotonic() < deadline and has_fault({**files, name: shorter}):
                    files = {**files, name: shorter}
                    content = shorter
            size //= 2
    return files


def _kind_of(seed: Seed, place: Path) -> str:
    """Read an input in a process of its own, and return its outcome."""
    from faults.fuzzing import crash_kind, limit_memory, outcome_of

    errors = place / "errors.txt"
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        output = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 2)
        limit_memory()
        kind, _ = outcome_of(seed.reading, place / "input")
        (place / "kind.txt").write_text(kind)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return (place / "kind.txt").read_text()
    return crash_kind(code, errors.read_text(errors="replace"), seed) if code < 0 else "unknown"
