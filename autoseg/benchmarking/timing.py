"""Time work and its floor alternately, and build a row of the result."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from time import perf_counter

from autoseg.documents.bench import SECONDS, Throughput

SHORTEST_SECONDS = 0.01
"""Faster work is repeated within one timing, because clocks and schedulers are coarse."""

MOST_CALLS = 1000
"""Largest number of repetitions within one timing."""


@dataclass(frozen=True)
class TimeLimit:
    """Time limit of a row.

    Attributes:
        repeats: Largest number of pairs of work and floor, at least 1.
        seconds: Seconds after which no further pair starts; at least one pair is always timed.
    """

    repeats: int = 5
    seconds: float = 2.0

    def rounds(self) -> Iterator[int]:
        """Yield the index of each pair, until the time limit is reached."""
        start = perf_counter()
        for index in range(self.repeats):
            if index > 0 and perf_counter() - start >= self.seconds:
                return
            yield index


@dataclass(frozen=True)
class TimedPair:
    """Times of work and floor, measured one after the other.

    Attributes:
        seconds: Seconds of the work.
        floor_seconds: Seconds of the floor, the least possible work.
    """

    seconds: float
    floor_seconds: float


@dataclass(frozen=True)
class RowLabel:
    """Description of a row.

    Attributes:
        stage: Name of the timed stage.
        unit: Unit that is counted per second, e.g. `cases`; `SECONDS` reports the time itself.
        measured_is: Description of the timed work.
        floor_is: Description of the floor.
        configuration: Name of the configuration; None for stages that all configurations share.
    """

    stage: str
    unit: str
    measured_is: str
    floor_is: str
    configuration: str | None = None


def time_alternately(
    work: Callable[[], object], floor: Callable[[], object], time_limit: TimeLimit
) -> tuple[TimedPair, ...]:
    """Time work and floor alternately, after one untimed call of each.

    The first calls load packages and files. If they exceed the time limit, they are the only pair
    and count; a fast floor is then timed again, because it may have waited for memory.

    Args:
        work: The work.
        floor: The least possible work.
        time_limit: Time limit of the row.
    """
    first = TimedPair(_mean_seconds(work, 1), _mean_seconds(floor, 1))
    if first.seconds + first.floor_seconds > time_limit.seconds:
        if first.floor_seconds < first.seconds:
            return (TimedPair(first.seconds, _mean_seconds(floor, 1)),)
        return (first,)
    calls, floor_calls = _calls(first.seconds), _calls(first.floor_seconds)
    return tuple(
        TimedPair(_mean_seconds(work, calls), _mean_seconds(floor, floor_calls))
        for _ in time_limit.rounds()
    )


def time_row(
    label: RowLabel,
    amount: float,
    work: Callable[[], object],
    floor: Callable[[], object],
    time_limit: TimeLimit,
) -> Throughput:
    """Time work and floor alternately, and build a row; see `time_alternately`, `throughput`.

    Args:
        label: Description of the row.
        amount: Number of units that one call of the work processes; 1 if the unit is `SECONDS`.
        work: The work.
        floor: The least possible work.
        time_limit: Time limit of the row.
    """
    return throughput(time_alternately(work, floor, time_limit), amount, label)


def throughput(pairs: Sequence[TimedPair], amount: float, label: RowLabel) -> Throughput:
    """Build a row from timed pairs.

    Args:
        pairs: Timed pairs, at least one.
        amount: Number of units that each pair processed; 1 if the unit is `SECONDS`.
        label: Description of the row.
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
    start = perf_counter()
    for _ in range(calls):
        work()
    return max((perf_counter() - start) / calls, 1e-9)


def _calls(seconds: float) -> int:
    """Return the number of repetitions that makes a timing long enough."""
    return min(MOST_CALLS, max(1, ceil(SHORTEST_SECONDS / seconds)))
