"""Trials, what they found, and how many of them are made."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Literal, TypeVar

from faults.server import Server

T = TypeVar("T")
S = TypeVar("S", bound=Server)

FRAME = re.compile(r'File "[^"]*/(autoseg/[^"]+)", line \d+, in (\S+)')
RAISED = re.compile(r"^(?:\w+\.)*(\w+)(?::|$)")


@dataclass(frozen=True)
class Fault:
    """A fault that a trial found.

    Attributes:
        kind: What faults of the same cause share.
        detail: What happened, for the reader.
        files: The input, or the record of the trial, by file name.
    """

    kind: str
    detail: str
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """The result of one trial, or of several of the same group.

    Attributes:
        group: The command, or the kind of input.
        outcome: `completed`, `refused` (with a sentence) or `fault`.
        faults: What was found.
        count: Number of trials.
    """

    group: str
    outcome: Literal["completed", "refused", "fault"]
    faults: tuple[Fault, ...] = ()
    count: int = 1


@dataclass(frozen=True)
class Budget:
    """How many trials are made: so many, or for so long."""

    count: int | None = None
    seconds: float | None = None

    def numbers(self) -> Iterator[int]:
        """Count trials until the budget is used up."""
        end = None if self.seconds is None else time.monotonic() + self.seconds
        number = 0
        while self.count is None or number < self.count:
            if end is not None and time.monotonic() >= end:
                return
            yield number
            number += 1


def each_trial(trial: Callable[[int, S], T], servers: Sequence[S], budget: Budget) -> Iterator[T]:
    """Make numbered trials, as many at a time as there are servers."""
    free: SimpleQueue[S] = SimpleQueue()
    for server in servers:
        free.put(server)

    def on_free_server(number: int) -> T:
        server = free.get()
        try:
            return trial(number, server)
        finally:
            free.put(server)

    with ThreadPoolExecutor(len(servers)) as threads:
        pending = set()
        for number in budget.numbers():
            pending.add(threads.submit(on_free_server, number))
            if len(pending) == len(servers):
                ended, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in ended)
        yield from (future.result() for future in pending)


def problem_in(output: str) -> str | None:
    """Name the exception and autoseg's innermost function in the last traceback of an output."""
    _, mark, trace = output.rpartition("Traceback (most recent call last):\n")
    if not mark:
        return None
    frames = FRAME.findall(trace)
    place = "{} {}".format(*frames[-1]) if frames else "outside of autoseg"
    raised = [found[1] for line in trace.splitlines()[1:] if (found := RAISED.match(line))]
    return f"{raised[0] if raised else 'exception'} in {place}"


def without_numbers(text: str) -> str:
    """Return a text with its numbers and hexadecimal names replaced, so that alike texts match."""
    return re.sub(r"\b[0-9a-f]{8,}\b|\d+", "…", text)
