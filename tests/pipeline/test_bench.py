"""`autoseg bench` on small data: what it measures, what it leaves behind, how it refuses."""

import json
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner
from typing_extensions import override

from autoseg.benchmarking.bench import BenchOptions, bench
from autoseg.benchmarking.timing import TimeLimit
from autoseg.cli import app
from autoseg.core.compute import Compute
from autoseg.core.errors import DatasetError, Interrupted, TrainingError
from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.bench import Bench
from autoseg.documents.plan import Plan
from autoseg.documents.workspace import Workspace

QUICK = TimeLimit(repeats=1, seconds=0.05)

SHARED = ("import", "start", "reading", "fingerprint", "evaluation")
OWN = ("preprocess", "resampling", "patches", "loader", "training step", "prediction", "export")


def files_under(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }


class Stopping(Silent):
    """Someone presses Ctrl-C when a measurement of some name begins."""

    def __init__(self, name: str) -> None:
        self._name = name

    @override
    def status(self, line: str) -> None:
        if line.startswith(self._name):
            signal.raise_signal(signal.SIGTERM)


@pytest.fixture(scope="module")
def measured(planned_volumes: Workspace, volumes_dataset: Path) -> tuple[Bench, dict, dict]:
    """Return a bench, and the files around the work folder before and after it."""
    before = files_under(planned_volumes.root.parent)
    options = BenchOptions(num_cases=2, time_limit=QUICK, compute=Compute(device="cpu", workers=0))
    found = bench(volumes_dataset, planned_volumes, options, progress=Silent())
    return found, before, files_under(planned_volumes.root.parent)


def test_every_stage_is_measured_once(measured, planned_volumes):
    found, _, _ = measured
    name = store.load(Plan, planned_volumes.plan).default_configuration
    expected = [(stage, None) for stage in SHARED] + [(stage, name) for stage in OWN]
    assert sorted((row.stage, row.configuration or "") for row in found.rows) == sorted(
        (stage, configuration or "") for stage, configuration in expected
    )


def test_every_row_has_a_unit_a_floor_in_words_and_a_ratio_that_fits(measured):
    found, _, _ = measured
    for row in found.rows:
        assert row.floor_is
        assert row.measured_is
        assert row.lowest_ratio <= row.ratio <= row.highest_ratio
        assert row.unit == "s" or row.unit.endswith("/s")
        quotient = row.value / row.floor if row.unit == "s" else row.floor / row.value
        if row.repeats == 1:
            assert row.ratio == pytest.approx(quotient)


def test_the_forecast_has_every_configuration_of_the_plan(measured, planned_volumes):
    found, _, _ = measured
    plan = store.load(Plan, planned_volumes.plan)
    assert [entry.configuration for entry in found.forecasts] == [
        entry.name for entry in plan.configurations
    ]
    (entry,) = found.forecasts
    assert entry.is_measured
    (step,) = (row for row in found.rows if row.stage == "training step")
    assert step.configuration == entry.configuration
    assert entry.seconds_per_step == pytest.approx(1 / step.value)
    assert (found.num_cases, len(found.cases)) == (6, 2)


def test_nothing_is_left_behind_and_the_work_folder_is_as_before(measured):
    _, before, after = measured
    assert after == before


def test_stopping_leaves_nothing_behind(planned_volumes, volumes_dataset):
    before = files_under(planned_volumes.root.parent)
    options = BenchOptions(num_cases=2, time_limit=QUICK, compute=Compute(device="cpu", workers=0))
    with pytest.raises(Interrupted, match="the temporary folder was removed"):
        bench(volumes_dataset, planned_volumes, options, progress=Stopping("resampling"))
    assert files_under(planned_volumes.root.parent) == before
    assert not list(planned_volumes.root.parent.glob(".bench-*"))


def test_pictures_are_measured_through_the_command_line(pictures_work, pictures_dataset, tmp_path):
    path = tmp_path / "figures" / "bench.json"
    arguments = ["bench", str(pictures_dataset), "--work", str(pictures_work.root), "--cases", "2"]
    arguments += ["--repeats", "1", "--device", "cpu", "--workers", "1", "--json", str(path)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    found = store.load(Bench, path)
    assert found.dataset_name == pictures_dataset.name
    assert json.loads(path.read_text())["rows"][0]["stage"] == "import"
    assert "Throughput and floor" in done.output
    assert f"Forecast for {pictures_dataset.name}" in done.output
    assert not (pictures_work.root / "bench.json").exists()
    assert list(path.parent.iterdir()) == [path]


def test_a_dataset_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(DatasetError) as refusal:
        bench(tmp_path / "no", Workspace(tmp_path / "work"), BenchOptions(), progress=Silent())
    assert str(refusal.value).endswith(
        "no is not a folder. Choose the folder that contains the dataset."
    )
    assert list(tmp_path.iterdir()) == []


def test_images_without_labels_are_refused(pictures_dataset, tmp_path):
    import shutil

    dataset = shutil.copytree(pictures_dataset, tmp_path / "discs")
    shutil.rmtree(dataset / "labels")
    with pytest.raises(DatasetError, match="no image with labels was recognised"):
        bench(dataset, Workspace(tmp_path / "work"), BenchOptions(), progress=Silent())
    assert not (tmp_path / "work").exists()


def test_a_device_that_is_none_is_refused_at_once(volumes_dataset, tmp_path):
    options = BenchOptions(compute=Compute(device="abacus"))
    with pytest.raises(TrainingError, match="'abacus' cannot be used"):
        bench(volumes_dataset, Workspace(tmp_path / "work"), options, progress=Silent())
