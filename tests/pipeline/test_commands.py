"""Commands from their options to their last line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from autoseg.cli import app
from autoseg.commands import options, planning
from autoseg.core.errors import AutosegError, TrainingError
from autoseg.datasets import phantoms
from autoseg.documents.plan import Plan
from autoseg.documents.store import load
from autoseg.documents.workspace import Workspace


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plan without a cache folder, so that the machine is not measured, which takes a minute."""
    for command in (options, planning):
        monkeypatch.setattr(command, "cache_folder", lambda _: None)


def output_of(*words: object) -> str:
    """Run a command that must succeed; return its output as one line."""
    done = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def error_of(*words: object) -> AutosegError:
    error = CliRunner().invoke(app, [*map(str, words)]).exception
    assert isinstance(error, AutosegError)
    return error


@pytest.mark.usefixtures("unmeasured")
def test_plan_prints_values_with_reasons_and_preprocess_prepares_the_cases_once(
    pictures_dataset: Path, tmp_path: Path
) -> None:
    work = Workspace(tmp_path / "work")
    options = (pictures_dataset, "--work", work.root, "--workers", 1)

    planned = output_of("plan", *options)
    default = load(Plan, work.plan).default_configuration
    for expected in (default, "median of 6 cases", str(work.plan), "Next: autoseg train"):
        assert expected in planned
    assert "--verbose prints the reasons" in planned
    every = output_of("plan", *options, "--verbose")
    assert len(every) > len(planned)

    assert "6 cases prepared in" in output_of("preprocess", *options)
    assert "0 cases prepared in" in output_of("preprocess", *options)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--budget", "soon"), "found the time 'soon'"),
        (("--network", "vnet"), "no architecture called 'vnet'"),
        (("--loss", "dise"), "no loss called 'dise'"),
    ],
)
def test_plan_rejects_invalid_options_before_it_reads_the_dataset(
    option: tuple[str, str], message: str, tmp_path: Path
) -> None:
    error = error_of("plan", tmp_path / "missing", "--work", tmp_path / "work", *option)
    assert message in str(error)


def test_preprocess_names_the_plan_that_it_needs(pictures_dataset: Path, tmp_path: Path) -> None:
    error = error_of("preprocess", pictures_dataset, "--work", tmp_path / "work")
    assert "autoseg plan" in str(error)


@pytest.mark.usefixtures("unmeasured")
def test_the_demo_scores_and_draws_unseen_cases_of_both_datasets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("NUM_VOLUMES", 5), ("NUM_PICTURES", 5), ("NUM_UNSEEN", 1)):
        monkeypatch.setattr(phantoms, name, value)
    monkeypatch.setattr(phantoms, "VOLUME_SHAPE", (16, 32, 32))

    folder = tmp_path / "demo"
    shown = output_of("demo", folder, "--budget", "3s", "--device", "cpu")

    for name in ("Demo_Volumes", "Demo_Pictures"):
        assert f"{name}: unseen cases" in shown
        assert (folder / f"{name}.png").stat().st_size > 1000
        assert (folder / f"{name}_predictions" / "evaluation.json").is_file()


def test_the_demo_rejects_a_time_that_is_none(tmp_path: Path) -> None:
    assert isinstance(error_of("demo", tmp_path, "--budget", "0s"), TrainingError)
    assert not any(tmp_path.iterdir())


def test_export_takes_one_model_and_one_file(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["export", "a", "b", str(tmp_path / "c.autoseg")])
    assert done.exit_code == 2
    assert "found 3 paths" in " ".join(done.output.replace("│", "").split())
