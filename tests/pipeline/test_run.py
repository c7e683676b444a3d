"""`autoseg run`: from a dataset to a model file, stopped and going on."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from autoseg.core.errors import Interrupted, PlanError
from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.plan import Plan
from autoseg.documents.schedule import Schedule
from autoseg.documents.workspace import Workspace
from autoseg.inference.predictor import Predictor
from autoseg.stages import run as stage
from autoseg.stages.plan import plan
from autoseg.stages.run import RunRequest, run


@pytest.fixture
def dataset(volumes_dataset: Path, tmp_path: Path) -> Path:
    """Three cases: three folds."""
    root = shutil.copytree(volumes_dataset, tmp_path / "Task90_Balls")
    for path in sorted((root / "imagesTr").iterdir())[3:]:
        path.unlink()
        (root / "labelsTr" / path.name).unlink()
    (root / "dataset.json").unlink()
    return root


@pytest.fixture
def work(dataset: Path, tmp_path: Path, shrink: Callable[..., Plan]) -> Workspace:
    """A work folder whose plan has two tiny configurations that share a recipe."""
    workspace = Workspace(tmp_path / "work")
    made = shrink(plan(dataset, workspace, workers=1, progress=Silent()), (8, 16, 16))
    (first,) = made.configurations
    second = first.model_copy(update={"name": "other"})
    store.save(made.model_copy(update={"configurations": (first, second)}), workspace.plan)
    return workspace


def request(**changes: object) -> RunRequest:
    return RunRequest(**{"budget_seconds": 12.0, "device": "cpu", "workers": 0} | changes)


def schedule(work: Workspace) -> Schedule:
    return store.load(Schedule, work.schedule, made_by="autoseg run")


def test_a_run_ends_with_a_model_file_that_predicts(dataset: Path, work: Workspace):
    both = tuple(entry.name for entry in store.load(Plan, work.plan, made_by="").configurations)
    finished = run(dataset, work, request(configurations=both), progress=Silent())
    assert finished.model == work.root / "Task90_Balls.autoseg"
    assert {key[0] for key in trained(work)} == set(both)
    best = finished.selection.members[0]
    assert {fold for name, fold in trained(work) if name == best} == {0, 1, 2}
    image = sorted((dataset / "imagesTr").iterdir())[0]
    assert Predictor(finished.model, device="cpu").predict(image).shape == (12, 24, 20)
    assert finished.schedule.seconds_spent > 0


def trained(work: Workspace) -> list[tuple[str, int]]:
    return [(entry.configuration, entry.fold) for entry in schedule(work).trainings]


def test_a_stopped_run_goes_on_and_trains_nothing_twice(
    dataset: Path, work: Workspace, monkeypatch: pytest.MonkeyPatch
):
    name = store.load(Plan, work.plan, made_by="").default_configuration
    asked = request(configurations=(name,), budget_seconds=6.0)
    train, calls = stage.train, []

    def stopping(workspace, wanted, *, progress):
        calls.append(wanted.fold)
        if len(calls) == 2:
            raise Interrupted("stopped")
        return train(workspace, wanted, progress=progress)

    monkeypatch.setattr(stage, "train", stopping)
    with pytest.raises(Interrupted):
        run(dataset, work, asked, progress=Silent())
    before = schedule(work)
    assert [entry.fold for entry in before.trainings] == [0, 1]
    run(dataset, work, asked, progress=Silent())
    assert calls == [0, 1, 1, 2]
    after = schedule(work)
    assert after.trainings[1].seconds == before.trainings[1].seconds
    assert after.seconds_spent > before.seconds_spent


def test_a_run_of_an_unknown_configuration_names_the_known_ones(dataset: Path, work: Workspace):
    with pytest.raises(PlanError, match="Choose one of"):
        run(dataset, work, request(configurations=("4d",)), progress=Silent())
