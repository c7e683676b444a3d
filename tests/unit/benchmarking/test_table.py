from datetime import UTC, datetime

import pytest

from autoseg.benchmarking.table import (
    forecast_rows,
    sentences,
    short,
    throughput_rows,
    time_of,
)
from autoseg.benchmarking.timing import RowLabel, TimedPair, throughput
from autoseg.documents.bench import SECONDS, Bench, BenchMachine, ConfigurationForecast
from autoseg.documents.versions import Versions


def made(load: float | None = 0.1) -> Bench:
    start = RowLabel(stage="start", unit=SECONDS, measured_is="this", floor_is="that")
    loader = RowLabel("loader", "batches", "drawing", "plain drawing", "2d")
    return Bench(
        date=datetime(2026, 11, 2, 12, 5, tzinfo=UTC),
        seconds=61.0,
        machine=BenchMachine(processor="P", cores=2, memory_gib=24.0, device="cpu", load=load),
        versions=Versions(autoseg="0.1.0", torch="2.13.0", python="3.11.1"),
        dataset_name="Organs",
        num_cases=9,
        cases=("a", "b"),
        rows=(
            throughput([TimedPair(0.25, 0.125)], 1.0, start),
            throughput([TimedPair(4.0, 1.0)], 8.0, loader),
        ),
        fingerprint_seconds=12.34,
        forecasts=(
            ConfigurationForecast(
                configuration="2d",
                is_measured=False,
                preparation_seconds=300.0,
                seconds_per_step=0.5,
                steps=1000,
                hours_per_fold=3.0,
                prediction_seconds=1.5,
            ),
        ),
        notes=("planned from 2 cases alone",),
    )


def test_each_row_says_its_unit_its_ratio_and_what_the_floor_is():
    header, rows = throughput_rows(made())
    assert header[-1] == "the floor is"
    assert rows[0] == ("start", "0.25 s", "0.125 s", "2", "that")
    assert rows[1] == ("loader 2d", "2 batches/s", "8 batches/s", "4", "plain drawing")


def test_what_was_not_measured_is_marked():
    _, rows = forecast_rows(made())
    assert rows == [
        ("2d", "~5 min", "~0.5", "~7200", "~3 h", "~1.5 s"),
    ]


def test_the_share_of_augmentation_and_the_machine_are_told():
    text = "\n".join(sentences(made()))
    assert "P, 2 cores, 24 GiB, networks on cpu" in text
    assert "augmentation is 75% of what the loader does for 2d" in text
    assert "reading and measuring all 9 cases takes 12.3 s" in text
    assert "2026-11-02 12:05 UTC" in text
    assert "planned from 2 cases alone" in text


@pytest.mark.parametrize(("load", "is_said"), [(None, False), (0.9, False), (4.2, True)])
def test_a_busy_machine_is_told(load, is_said):
    assert ("other work ran beside" in "\n".join(sentences(made(load)))) == is_said


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.01234, "0.0123 s"),
        (119.0, "119 s"),
        (150.0, "2.5 min"),
        (8100.0, "2.25 h"),
        (2e5, "2.31 days"),
    ],
)
def test_times_are_in_the_unit_that_a_person_would_use(seconds, text):
    assert time_of(seconds) == text


def test_numbers_have_three_digits_and_no_exponent():
    assert [short(x) for x in (0.0001234, 1.234, 99.96, 100.4, 123456.7)] == [
        "0.000123",
        "1.23",
        "100",
        "100",
        "123457",
    ]


def test_a_row_is_found_by_stage_and_configuration():
    bench = made()
    assert bench.row("loader", "2d").value == 2
    with pytest.raises(KeyError):
        bench.row("loader", "3d")
