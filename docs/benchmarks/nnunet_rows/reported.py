"""How a process tells the one that started it what it measured: a last line of its output."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter, process_time

MARK = "measured: "


@dataclass
class Stopwatch:
    """What a block took; zero until it ends.

    Attributes:
        seconds: Wall-clock time.
        cpu_seconds: Processor time of this process, all threads together.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Give a stopwatch that shows what the block took, once it is over."""
    watch = Stopwatch()
    start, cpu_start = perf_counter(), process_time()
    yield watch
    watch.seconds, watch.cpu_seconds = perf_counter() - start, process_time() - cpu_start


def report(watch: Stopwatch, note: str = "") -> None:
    """Tell how long the work took that the row is about, and what else is worth a line."""
    found = {"seconds": watch.seconds, "cpu_seconds": watch.cpu_seconds, "note": note}
    print(f"\n{MARK}{json.dumps(found)}", flush=True)
