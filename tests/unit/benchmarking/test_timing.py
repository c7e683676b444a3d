import time
from functools import partial

import pytest

from autoseg.benchmarking.timing import RowLabel, TimedPair, TimeLimit, throughput, time_alternately
from autoseg.documents.bench import SECONDS


def label(unit: str = "MB") -> RowLabel:
    return RowLabel(stage="reading", unit=unit, measured_is="this", floor_is="that")


def test_a_throughput_is_the_amount_over_the_median_time():
    pairs = [TimedPair(4.0, 1.0), TimedPair(2.0, 0.5), TimedPair(100.0, 2.0)]
    row = throughput(pairs, 20.0, label())
    assert (row.unit, row.value, row.floor) == ("MB/s", 20 / 4.0, 20 / 1.0)
    assert (row.seconds, row.floor_seconds, row.repeats) == (4.0, 1.0, 3)


def test_the_ratio_is_the_median_of_the_pairs_and_not_of_the_medians():
    pairs = [
        TimedPair(4.0, 1.0),
        TimedPair(30.0, 10.0),
        TimedPair(6.0, 1.0),
    ]  # the machine was slow in the second
    row = throughput(pairs, 1.0, label())
    assert (row.ratio, row.lowest_ratio, row.highest_ratio) == (4.0, 3.0, 6.0)


def test_a_time_is_shown_as_it_is():
    row = throughput([TimedPair(0.3, 0.1)], 1.0, label(SECONDS))
    assert (row.unit, row.value, row.floor) == ("s", 0.3, 0.1)
    assert row.ratio == pytest.approx(3)


def test_work_and_floor_alternate_after_one_of_each_that_does_not_count():
    calls = []

    def work():
        calls.append("work")
        time.sleep(0.011)

    def floor():
        calls.append("floor")
        time.sleep(0.011)

    pairs = time_alternately(work, floor, TimeLimit(repeats=3, seconds=60.0))
    assert len(pairs) == 3
    assert calls == ["work", "floor"] * 4
    assert all(pair.seconds >= 0.011 for pair in pairs)


def test_fast_work_is_done_often_and_its_time_is_the_mean():
    calls = []
    floor = partial(time.sleep, 0.011)
    pairs = time_alternately(lambda: calls.append(1), floor, TimeLimit(repeats=1))
    assert len(calls) > 100
    assert pairs[0].seconds < 0.001


def test_work_that_exceeds_the_time_limit_is_done_once():
    calls = []

    def work():
        calls.append(1)
        time.sleep(0.02)

    pairs = time_alternately(work, lambda: None, TimeLimit(repeats=5, seconds=0.01))
    assert (len(pairs), len(calls)) == (1, 1)
    assert pairs[0].seconds >= 0.02
