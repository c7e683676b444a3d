"""Every experiment tracker is an extra, and says so if it is missing."""

import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autoseg.cli import app
from autoseg.core.errors import MissingPackage, UnknownComponent
from autoseg.tracking import TRACKERS, Tracker

EXTRAS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(params=list(TRACKERS))
def tracker(request: pytest.FixtureRequest) -> Tracker:
    return TRACKERS[request.param](kind=request.param)


def test_it_has_an_extra_of_its_name(tracker: Tracker) -> None:
    assert tracker.kind in EXTRAS["project"]["optional-dependencies"]


def test_a_missing_package_names_the_extra(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(tracker), "module", "package_that_is_missing")
    with pytest.raises(MissingPackage, match=rf'pip install "autoseg\[{tracker.kind}\]"'):
        tracker.check_installed()


def test_it_has_a_default_address(tracker: Tracker) -> None:
    assert tracker.address is None


def test_an_unknown_tracker_lists_the_known_ones() -> None:
    result = CliRunner().invoke(app, ["train", "nowhere", "--track", "tensorbord"])
    assert isinstance(result.exception, UnknownComponent)
    assert "mlflow, tensorboard, wandb" in str(result.exception)


def test_an_address_without_its_tracker_is_refused() -> None:
    result = CliRunner().invoke(app, ["train", "nowhere", "--tracking-uri", "http://here"])
    assert result.exit_code == 2
    assert "--track mlflow" in result.output


def test_an_address_in_a_variable_does_not_matter_without_its_tracker() -> None:
    arguments, variables = ["train", "nowhere"], {"MLFLOW_TRACKING_URI": "http://here"}
    result = CliRunner().invoke(app, arguments, env=variables)
    assert "nowhere is not a folder" in str(result.exception)
