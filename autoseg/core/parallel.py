"""Run a function on many cases in worker processes, so that one failing case affects no other.

If a case raises an exception, or its worker process dies (for example, killed because memory ran
out), the result of this case is a `Failure`; the other cases still return their results.
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

from autoseg.core.errors import affects_all, case_error_message
from autoseg.core.memory import OutOfMemoryKills
from autoseg.core.signals import CRASHES, describe_end, end_with_parent, signal_name

CONTAINER_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")
"""CPU limit of a Linux container: microseconds of CPU time per period of microseconds."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Success(Generic[R]):
    """Result of the function for item `index`."""

    index: int
    value: R


@dataclass(frozen=True)
class Failure:
    """Error of the function for item `index`.

    Attributes:
        index: Position of the item in the sequence.
        message: Message for the user.
    """

    index: int
    message: str


def default_workers() -> int:
    """Return the default number of worker processes: the CPU cores available to this process.

    In a container with a CPU limit, this is the limit, rounded down, but at least 1.
    """
    has_affinity = hasattr(os, "sched_getaffinity")  # Linux
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(1, min(cores, _container_cores() or cores))


def _container_cores() -> int | None:
    """Return the CPU limit of a Linux container in cores, rounded down; None without a limit."""
    if not CONTAINER_CPU_LIMIT.is_file():
        return None
    quota, period = CONTAINER_CPU_LIMIT.read_text(encoding="ascii").split()
    return None if quota == "max" else max(1, int(quota) // int(period))


def run_each(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    workers: int,
    meanwhile: Callable[[], object] | None = None,
) -> Iterator[Success[R] | Failure]:
    """Yield a `Success` or a `Failure` for every item, in the order of completion.

    An error that all items would raise, such as a full disk, is raised at once.

    Args:
        function: A picklable function of one item.
        items: Arguments of the function.
        workers: Number of worker processes; 1 runs the function in this process.
        meanwhile: Called once in this process after the workers have started, before results are
            collected. Not called without worker processes.

    Raises:
        OSError: If the disk or the system fails, see `affects_all`.
    """
    if workers <= 1 or len(items) <= 1:
        for index, item in enumerate(items):
            yield _call(function, index, item)
        return
    left = yield from _run_in_pool(function, items, workers, meanwhile)
    for index in left:  # the pool broke: run each in its own process to find the one that crashes
        yield _run_alone(function, index, items[index])


def _run_in_pool(
    function: Callable[[T], R],
    items: Sequence[T],
    workers: int,
    meanwhile: Callable[[], object] | None,
) -> Generator[Success[R] | Failure, None, list[int]]:
    """Yield the results of a process pool; return the items that a broken pool did not finish."""
    pending = set(range(len(items)))
    pool = ProcessPoolExecutor(
        min(workers, len(items)), mp_context=get_context(), initializer=end_with_parent
    )
    try:
        futures: dict[Future[Success[R] | Failure], int] = {
            pool.submit(_call, function, index, item): index for index, item in enumerate(items)
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
    """Run the function in its own process, whose exit status is known."""
    context, kills = get_context(), OutOfMemoryKills.until_now()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_result, args=(sender, function, index, item))
    process.start()
    sender.close()  # so that `recv` raises EOFError when the process ends
    try:
        outcome: Success[R] | Failure | OSError = receiver.recv()
    except EOFError:
        process.join()
        return Failure(index=index, message=_exit_message(process.exitcode or 0, kills))
    finally:
        process.join()
        receiver.close()
    if isinstance(outcome, OSError):
        raise outcome
    return outcome


def _send_result(sender: Connection, function: Callable[[T], R], index: int, item: T) -> None:
    end_with_parent()
    outcome: Success[R] | Failure | OSError
    try:
        outcome = _call(function, index, item)
    except OSError as error:
        outcome = error
    sender.send(outcome)


def _exit_message(exit_code: int, kills: OutOfMemoryKills) -> str:
    """Build the message for an item whose process ended; a negative code is minus the signal."""
    if exit_code >= 0:
        return f"its worker process ended with exit status {exit_code} and no result."
    ended = f"its worker process was {describe_end(-exit_code, kills)}."
    if signal_name(-exit_code) in CRASHES:
        return (
            f"{ended} A damaged file can cause this: open the case's files with another program "
            "and save them again, or leave the case out."
        )
    return (
        f"{ended} Free memory or use fewer workers (--workers 1), then run the same command again."
    )


def _call(function: Callable[[T], R], index: int, item: T) -> Success[R] | Failure:
    try:
        return Success(index=index, value=function(item))
    except Exception as error:  # no error of one case may affect the others
        if affects_all(error):
            raise
        return Failure(index=index, message=case_error_message(error))
