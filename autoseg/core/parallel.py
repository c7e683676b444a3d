"""Run one function over many cases in worker processes, so that one bad case stays one bad case.

An exception in a case, or the death of the process that worked on it (killed for memory, say),
becomes that case's `Failure`; every other case still comes back.
"""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Generic, TypeVar

from autoseg.core.errors import issue_of_case
from autoseg.core.signals import CRASHES, end_with_parent, explained, signal_name

CONTAINER_SHARE = Path("/sys/fs/cgroup/cpu.max")
"""Where Linux tells a container how many microseconds of CPU time it may use in how many."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Success(Generic[R]):
    """What the function returned for item `index`."""

    index: int
    value: R


@dataclass(frozen=True)
class Failure:
    """Why item `index` has no result.

    Attributes:
        index: Position of the item in the sequence.
        message: What the user is told.
    """

    index: int
    message: str


def default_workers() -> int:
    """Return how many processes this process may use: the CPU cores the system grants it.

    In a container with a share of the machine's time, that is the share, rounded down, at least 1.
    """
    has_affinity = hasattr(os, "sched_getaffinity")  # Linux
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(1, min(cores, _container_cores() or cores))


def _container_cores() -> int | None:
    """Return how many cores' time a Linux container may use, rounded down; None without a limit."""
    if not CONTAINER_SHARE.is_file():
        return None
    quota, period = CONTAINER_SHARE.read_text(encoding="ascii").split()
    return None if quota == "max" else max(1, int(quota) // int(period))


def run_each(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    workers: int,
    meanwhile: Callable[[], object] | None = None,
) -> Iterator[Success[R] | Failure]:
    """Yield a `Success` or a `Failure` for every item, as each is done.

    Args:
        function: A picklable function of one item.
        items: What to work on.
        workers: Number of processes; 1 works in this process.
        meanwhile: What this process does once the others are at work, before it looks at what they
            did. It is not called where there are no others.
    """
    if workers <= 1 or len(items) <= 1:
        for index, item in enumerate(items):
            yield _attempt(function, index, item)
        return
    left = yield from _run_in_pool(function, items, workers, meanwhile)
    for index in left:  # the pool broke: one process each, so that the culprit is known
        yield _run_alone(function, index, items[index])


def _run_in_pool(
    function: Callable[[T], R],
    items: Sequence[T],
    workers: int,
    meanwhile: Callable[[], object] | None,
) -> Generator[Success[R] | Failure, None, list[int]]:
    """Yield what the pool could do, and return the items that a broken pool left undone."""
    pending = set(range(len(items)))
    pool = ProcessPoolExecutor(
        min(workers, len(items)), mp_context=get_context(), initializer=end_with_parent
    )
    try:
        futures: dict[Future[Success[R] | Failure], int] = {
            pool.submit(_attempt, function, index, item): index for index, item in enumerate(items)
        }
        if meanwhile is not None:
            meanwhile()
        for future in as_completed(futures):
            outcome = future.result()
            pending.discard(outcome.index)
            yield outcome
    except BrokenProcessPool:
        pass
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return sorted(pending)


def _run_alone(function: Callable[[T], R], index: int, item: T) -> Success[R] | Failure:
    """Run the function in a process of its own, whose exit status says how it ended."""
    context = get_context()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_attempt, args=(sender, function, index, item))
    process.start()
    sender.close()  # so that the end of the process is the end of what it sends
    try:
        outcome: Success[R] | Failure = receiver.recv()
    except EOFError:
        process.join()
        return Failure(index=index, message=_death(process.exitcode or 0))
    finally:
        process.join()
        receiver.close()
    return outcome


def _send_attempt(sender: Connection, function: Callable[[T], R], index: int, item: T) -> None:
    end_with_parent()
    sender.send(_attempt(function, index, item))


def _death(exit_code: int) -> str:
    """Return why an item has no result; the code is minus the signal that ended its process."""
    if exit_code >= 0:
        return f"the process working on it ended with exit status {exit_code} and no result."
    ended = f"the process working on it was ended by {explained(-exit_code)}."
    if signal_name(-exit_code) in CRASHES:
        return (
            f"{ended} A damaged file can cause that: open its files with another program and save "
            "them again, or leave it out."
        )
    return (
        f"{ended} Free memory or use fewer workers (--workers 1), then run the same command again."
    )


def _attempt(function: Callable[[T], R], index: int, item: T) -> Success[R] | Failure:
    try:
        return Success(index=index, value=function(item))
    except Exception as error:  # noqa: BLE001  (any issue of one case must stay with that case)
        return Failure(index=index, message=issue_of_case(error))
