"""Folds of every kind, from the dataset's folder to the model, and test sets at the end."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakes import compact_at_full_resolution, load_model
from synthetic import balls, write_picture
from typer.testing import CliRunner

from autoseg.cli import app
from autoseg.core.compute import Compute
from autoseg.core.errors import DatasetError, Interrupted, ModelError, TrainingError
from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.plan import Plan
from autoseg.documents.run import Run
from autoseg.documents.splits import ALL, Splits
from autoseg.documents.workspace import Workspace
from autoseg.models.folder import trained_folds
from autoseg.stages import test as test_stage
from autoseg.stages.export import ExportOptions, export
from autoseg.stages.folds import load_splits
from autoseg.stages.plan.plan import PlanRequest, plan
from autoseg.stages.predict.predict import PredictOptions, predict
from autoseg.stages.project import fold_cases, load_project
from autoseg.stages.train import train as train_stage
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest
from autoseg.stages.train.train import train
from autoseg.training.lock import LOCK_NAME, locked


def request(**changes: object) -> TrainRequest:
    length = TrainingDuration(iterations=2)
    return TrainRequest(
        **{"fold": 0, "length": length, "compute": Compute(device="cpu", workers=0)} | changes
    )


def splits_of(workspace: Workspace) -> Splits:
    return load_project(workspace, Silent()).splits


def write_discs(root: Path, count: int, *, part: str = "") -> Path:
    for index in range(count):
        image, labels = balls(np.random.default_rng(index), (48, 40))
        grey = np.clip(200 - 15 * image, 0, 255).astype(np.uint8)
        name = f"{part or 'disc'}_{index}.png"
        write_picture(grey, root / part / "images" / name)
        write_picture((labels == 1).astype(np.uint8), root / part / "labels" / name)
    return root


def shrink(workspace: Workspace) -> None:
    """Give a planned configuration two small stages."""
    made = store.load(Plan, workspace.plan)
    configuration = compact_at_full_resolution(made, 2)
    network = configuration.architecture
    topology = network.topology.model_copy(
        update={"patch_shape": (32, 32), "strides": ((1, 1), (2, 2)), "kernels": ((3, 3),) * 2}
    )
    small = type(network).for_topology(
        topology, in_channels=network.in_channels, num_classes=network.num_classes
    )
    small = small.model_copy(update={"features": (4, 8)})
    changed = configuration.model_copy(update={"architecture": small, "batch_size": 2})
    store.save(made.model_copy(update={"configurations": (changed,)}), workspace.plan)


def planned_discs(root: Path, dataset: Path, **options: object) -> Workspace:
    workspace = Workspace(root / "work")
    plan(dataset, workspace, PlanRequest(**options), workers=1, progress=Silent())
    shrink(workspace)
    return workspace


def given(path: Path, *folds: tuple[str, str]) -> Path:
    """Write folds as nnU-Net does; cases are numbers."""
    content = [
        {"train": [f"disc_{n}" for n in train_on], "val": [f"disc_{n}" for n in held_out]}
        for train_on, held_out in folds
    ]
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def whole_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of three cases and a test set, planned, one fold and all cases trained."""
    root = tmp_path_factory.mktemp("whole")
    dataset = write_discs(root / "discs", 3)
    write_discs(dataset, 2, part="test")
    workspace = planned_discs(root, dataset)
    train(workspace, request(), progress=Silent())
    train(workspace, request(fold=ALL), progress=Silent())
    return root


@pytest.fixture
def whole(whole_root: Path, tmp_path: Path) -> Workspace:
    return Workspace(shutil.copytree(whole_root / "work", tmp_path / "work"))


def model_folder(workspace: Workspace) -> Path:
    (folder,) = workspace.models.iterdir()
    return folder


def test_three_cases_make_three_folds(whole: Workspace):
    folds = splits_of(whole).folds

    assert len(folds) == 3
    assert sorted(name for fold in folds for name in fold.validation) == [
        "disc_0",
        "disc_1",
        "disc_2",
    ]
    assert all(len(fold.train) == 2 for fold in folds)


def test_the_fold_all_trains_on_every_case_and_scores_none(whole: Workspace):
    folder = model_folder(whole) / "fold_all"

    run = store.load(Run, folder / "run.json")

    assert run.fold == ALL
    assert run.history[-1].validation_loss is not None
    assert not (folder / "validation").exists()
    fold = fold_cases(load_project(whole, Silent()), ALL, Silent())
    assert fold.train == fold.validation == ("disc_0", "disc_1", "disc_2")


def test_the_fold_all_is_predicted_with_only_when_asked(whole: Workspace):
    folder = model_folder(whole)
    assert trained_folds(folder) == (0, ALL)

    def networks(folds: tuple | None) -> int:
        return len(load_model(folder, device="cpu", folds=folds).networks)

    assert networks(None) == 1
    assert networks((0, ALL)) == 2
    shutil.rmtree(folder / "fold_0")
    assert trained_folds(folder) == (ALL,)
    assert networks(None) == 1


def test_the_folder_of_the_fold_all_can_be_named(whole: Workspace, whole_root: Path):
    options = PredictOptions(
        model=model_folder(whole) / "fold_all", compute=Compute(device="cpu", workers=1)
    )

    report = predict(whole_root / "discs" / "images", whole.root / "out", options, Silent())

    assert len(report.written) == 3


def test_a_model_file_can_hold_the_fold_all(whole: Workspace, tmp_path: Path):
    file = tmp_path / "model.autoseg"

    export(whole.root, file, ExportOptions(folds=(0, ALL)))

    assert len(load_model(file, device="cpu").networks) == 1
    assert len(load_model(file, device="cpu", folds=(ALL,)).networks) == 1
    with pytest.raises(ModelError, match=r"fold 3 of .*; trained: 0, all\. "):
        load_model(file, device="cpu", folds=(3,))


def test_folds_in_the_datasets_folder_are_used(tmp_path: Path):
    dataset = write_discs(tmp_path / "discs", 3)
    given(dataset / "splits_final.json", ("01", "2"), ("2", "01"))
    workspace = planned_discs(tmp_path, dataset)

    trained = train(workspace, request(fold=1), progress=Silent())

    assert [case.name for case in trained.report.cases] == ["disc_0", "disc_1"]
    splits = store.load(Splits, workspace.splits)
    assert splits.source == dataset / "splits_final.json"
    with pytest.raises(TrainingError, match="no fold 2"):
        train(workspace, request(fold=2), progress=Silent())


def test_faulty_folds_are_found_when_the_dataset_is_planned(tmp_path: Path):
    dataset = write_discs(tmp_path / "discs", 3)
    given(dataset / "splits_final.json", ("01", "9"))

    with pytest.raises(DatasetError, match=r"fold 0 of .*splits_final.json contains disc_9"):
        planned_discs(tmp_path, dataset)


def test_folds_that_are_named_come_before_those_in_the_datasets_folder(tmp_path: Path):
    dataset = write_discs(tmp_path / "discs", 3)
    given(dataset / "splits_final.json", ("01", "2"))
    named = given(tmp_path / "mine.json", ("2", "01"))

    workspace = planned_discs(tmp_path, dataset, splits=named)

    assert splits_of(workspace).folds[0].train == ("disc_2",)


def test_other_folds_than_those_in_use_are_refused(whole: Workspace, tmp_path: Path):
    named = given(tmp_path / "mine.json", ("2", "01"))

    project = load_project(whole, Silent())

    with pytest.raises(DatasetError, match=r"splits.json has other folds than .*mine.json"):
        load_splits(whole, project.dataset, project.fingerprint, Silent(), path=named)


def test_equal_folds_are_taken_twice_without_complaint(tmp_path: Path):
    dataset = write_discs(tmp_path / "discs", 3)
    given(dataset / "splits_final.json", ("01", "2"))
    workspace = planned_discs(tmp_path, dataset)

    assert splits_of(workspace) == splits_of(workspace)


def test_the_test_set_is_in_no_fold_and_no_fingerprint(whole: Workspace):
    assert "test_" not in whole.fingerprint.read_text()
    assert "test_" not in whole.splits.read_text()
    assert not list(whole.root.glob("preprocessed/*/test_*"))
    assert not (whole.root / "test").exists()


def test_the_test_set_is_predicted_and_scored(whole: Workspace):
    options = PredictOptions(compute=Compute(device="cpu", workers=1))

    report = test_stage.test(whole, store.load(DatasetSpec, whole.dataset), options, Silent())

    assert [case.name for case in report.cases] == ["test_0", "test_1"]
    assert report.issues == ()
    files = {path.name for path in whole.test.iterdir()}
    assert files == {"evaluation.json", "test_0.png", "test_1.png"}


def test_the_test_command_prints_the_scores_of_every_test_case(whole: Workspace, tmp_path: Path):
    dataset = store.load(DatasetSpec, whole.dataset).root
    options = ["--work", str(whole.root), "--device", "cpu", "--cases", "--cache", str(tmp_path)]
    done = CliRunner().invoke(app, ["test", str(dataset), *options])
    assert done.exit_code == 0, done.output
    for expected in ("test_0", "test_1", "2 test cases", f"Label maps and scores: {whole.test}"):
        assert expected in " ".join(done.output.split())


def test_saved_folds_of_cases_that_are_gone_are_refused(whole: Workspace):
    splits = splits_of(whole)
    gone = splits.folds[0].model_copy(update={"validation": ("disc_7",)})
    store.save(splits.model_copy(update={"folds": (gone, *splits.folds[1:])}), whole.splits)
    with pytest.raises(TrainingError, match=r"not in the fingerprint: disc_7. Correct the file"):
        splits_of(whole)


def test_a_dataset_without_test_set_is_told_how_to_add_one(tmp_path: Path):
    workspace = planned_discs(tmp_path, write_discs(tmp_path / "discs", 2))

    dataset = store.load(DatasetSpec, workspace.dataset)
    with pytest.raises(DatasetError, match=r"had no test cases .*imagesTs and labelsTs"):
        test_stage.test(workspace, dataset, PredictOptions(), Silent())


def test_a_fold_that_is_being_trained_is_not_trained_twice(whole: Workspace):
    folder = whole.fold(model_folder(whole).name, 1)

    with locked(folder), pytest.raises(TrainingError, match="being trained by process"):
        train(whole, request(fold=1), progress=Silent())

    assert not folder.exists()


def test_a_fold_whose_process_was_killed_is_trained(whole: Workspace):
    folder = whole.fold(model_folder(whole).name, 1)
    code = (
        "import os, sys; from pathlib import Path; from autoseg.training.lock import locked\n"
        "with locked(Path(sys.argv[1])): os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    assert (folder / LOCK_NAME).is_file()

    train(whole, request(fold=1), progress=Silent())

    assert (folder / "weights.safetensors").is_file()
    assert not (folder / LOCK_NAME).exists()


@pytest.fixture
def heard_ctrl_c():
    """Let Ctrl-C interrupt, also where a shell has started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard_ctrl_c")
def test_ctrl_c_during_the_forecast_stops_at_once(whole: Workspace, monkeypatch):
    def interrupted(task: object) -> float:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("went on")

    monkeypatch.setattr(train_stage, "measure_step", interrupted)

    with pytest.raises(Interrupted, match="stopped before the first step"):
        train(whole, request(fold=1), progress=Silent())
    assert not list(model_folder(whole).glob("fold_1/training.lock"))
