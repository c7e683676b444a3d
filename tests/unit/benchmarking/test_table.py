from datetime import UTC, datetime

import pytest

from autoseg.benchmarking.table import (
    forecast_rows,
    summary_lines,
    throughput_rows,
)
from autoseg.benchmarking.timing import RowLabel, TimedPair, throughput
from autoseg.documents.bench import SECONDS, Bench, BenchMachine, ConfigurationForecast
from autoseg.documents.versions import Versions


def make_bench(load: float | None = 0.1) -> Bench:
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
        notes=("planned from 2 cases only",),
    )


def test_each_row_has_unit_ratio_and_floor():
    header, rows = throughput_rows(make_bench())
    assert header[-1] == "the floor is"
    assert rows[0] == ("start", "0.25 s", "0.125 s", "2", "that")
    assert rows[1] == ("loader 2d", "2 batches/s", "8 batches/s", "4", "plain drawing")


def test_scaled_forecasts_are_marked():
    _, rows = forecast_rows(make_bench())
    assert rows == [
        ("2d", "~5 min", "~0.5", "~7200", "~3 h", "~1.5 s"),
    ]


def test_the_share_of_augmentation_and_the_machine_are_printed():
    text = "\n".join(summary_lines(make_bench()))
    assert "P, 2 cores, 24 GiB, networks on cpu" in text
    assert "augmentation takes 75 % of the loader's time for 2d" in text
    assert "reading and measuring all 9 cases takes 12.3 s" in text
    assert "2026-11-02 12:05 UTC" in text
    assert "planned from 2 cases only" in text


@pytest.mark.parametrize(("load", "is_printed"), [(None, False), (0.9, False), (4.2, True)])
def test_a_busy_machine_is_reported(load, is_printed):
    assert ("the machine was busy" in "\n".join(summary_lines(make_bench(load)))) == is_printed
