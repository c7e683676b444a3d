"""Time work and its floor in turns, and make a row of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from time import perf_counter

from autoseg.documents.bench import SECONDS, Throughput

SHORTEST_SECONDS = 0.01
"""Work that is faster is done several times in a row, because clocks and schedulers are coarse."""

MOST_CALLS = 1000
"""Times that fast work is done in a row, at most."""


@dataclass(frozen=True)
class TimeLimit:
    """How much time a row may take.

    Attributes:
        repeats: Most pairs of work and floor.
        seconds: No further pair begins after so long; there is always one.
    """

    repeats: int = 5
    seconds: float = 2.0


@dataclass(frozen=True)
class TimedPair:
    """Times that were taken one after the other.

    Attributes:
        seconds: Of the work.
        floor_seconds: Of the least that could have been done.
    """

    seconds: float
    floor_seconds: float


@dataclass(frozen=True)
class RowLabel:
    """What a row is about.

    Attributes:
        stage: Its name.
        unit: What is counted per second, e.g. `cases`; `SECONDS` shows the time itself.
        measured_is: What autoseg does, in words.
        floor_is: What the floor is, in words.
        configuration: Of which configuration; None for what all share.
    """

    stage: str
    unit: str
    measured_is: str
    floor_is: str
    configuration: str | None = None


def in_turns(
    work: Callable[[], object], floor: Callable[[], object], time_limit: TimeLimit
) -> tuple[TimedPair, ...]:
    """Return the times of work and floor, done in turns, after one of each that does not count.

    The first of each loads packages and files. If it exceeds the time limit, it counts after
    all, and is the only one; a fast floor is then timed again, because it may have waited for
    memory.
    """
    first = TimedPair(_mean_seconds(work, 1), _mean_seconds(floor, 1))
    if first.seconds + first.floor_seconds > time_limit.seconds:
        if first.floor_seconds < first.seconds:
            return (TimedPair(first.seconds, _mean_seconds(floor, 1)),)
        return (first,)
    calls, floor_calls = _calls(first.seconds), _calls(first.floor_seconds)
    pairs: list[TimedPair] = []
    begun = perf_counter()
    while not pairs or (
        len(pairs) < time_limit.repeats and perf_counter() - begun < time_limit.seconds
    ):
        pairs.append(TimedPair(_mean_seconds(work, calls), _mean_seconds(floor, floor_calls)))
    return tuple(pairs)


def throughput(pairs: Sequence[TimedPair], amount: float, label: RowLabel) -> Throughput:
    """Return the row of some pairs.

    Args:
        pairs: At least one.
        amount: How many of the unit each of them did; 1 for times.
        label: What the row is about.
    """
    seconds = median(pair.seconds for pair in pairs)
    floor_seconds = median(pair.floor_seconds for pair in pairs)
    ratios = [pair.seconds / pair.floor_seconds for pair in pairs]
    is_time = label.unit == SECONDS
    return Throughput(
        stage=label.stage,
        configuration=label.configuration,
        unit=SECONDS if is_time else f"{label.unit}/s",
        value=seconds / amount if is_time else amount / seconds,
        floor=floor_seconds / amount if is_time else amount / floor_seconds,
        ratio=median(ratios),
        lowest_ratio=min(ratios),
        highest_ratio=max(ratios),
        repeats=len(pairs),
        seconds=seconds,
        floor_seconds=floor_seconds,
        measured_is=label.measured_is,
        floor_is=label.floor_is,
    )


def _mean_seconds(work: Callable[[], object], calls: int) -> float:
    begun = perf_counter()
    for _ in range(calls):
        work()
    return max((perf_counter() - begun) / calls, 1e-9)


def _calls(seconds: float) -> int:
    """Return how often work is done in a row so that it lasts long enough to be timed."""
    return min(MOST_CALLS, max(1, ceil(SHORTEST_SECONDS / seconds)))
