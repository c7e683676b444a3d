"""A second `autoseg train` on the same work folder: what it refuses, keeps and mends."""

import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK
import torch

from autoseg.core.compute import Compute
from autoseg.core.errors import DatasetError, Interrupted, TrainingError
from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.model import WEIGHTS_NAME
from autoseg.documents.plan import Plan
from autoseg.documents.report import Report
from autoseg.documents.splits import Splits
from autoseg.documents.workspace import Workspace
from autoseg.models.folder import ModelFolder, StoredModel
from autoseg.models.loader import LoadOptions, load_stored
from autoseg.stages.project import load_project
from autoseg.stages.train import score_fold as scoring
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.progress import TrainingReporter
from autoseg.stages.train.task import TrainRequest, loader_workers
from autoseg.stages.train.train import train

CPU = Compute(device="cpu", workers=0)


class Spoken(Silent):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def say(self, message: str) -> None:
        self.messages.append(message)


def request(**changes: object) -> TrainRequest:
    length = TrainingDuration(iterations=2)
    return TrainRequest(**{"fold": 0, "length": length, "compute": CPU} | changes)


@pytest.fixture(scope="module")
def trained_once(planned_volumes: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = shutil.copytree(planned_volumes.root, tmp_path_factory.mktemp("trained") / "work")
    train(Workspace(root), request(), progress=Silent())
    return root


@pytest.fixture
def work(trained_once: Path, tmp_path: Path) -> Workspace:
    return Workspace(shutil.copytree(trained_once, tmp_path / "work"))


def fold_folder(work: Workspace) -> Path:
    return work.fold(store.load(Plan, work.plan).default_configuration, 0)


def rename_labels(work: Workspace) -> Plan:
    """Change plan and dataset so that the same class index means another label value."""
    made, dataset = store.load(Plan, work.plan), store.load(DatasetSpec, work.dataset)
    values = (made.labels.values[0], *(value + 1 for value in made.labels.values[1:]))
    labels = made.labels.model_copy(update={"values": values})
    store.save(made.model_copy(update={"labels": labels}), work.plan)
    store.save(dataset.model_copy(update={"labels": labels}), work.dataset)
    return made


def test_a_plan_with_other_classes_than_the_dataset_is_refused(work: Workspace) -> None:
    dataset = store.load(DatasetSpec, work.dataset)
    rename_labels(work)
    store.save(dataset, work.dataset)
    with pytest.raises(DatasetError, match="other classes than in the dataset"):
        train(work, request(), progress=Silent())


@pytest.mark.parametrize(
    "changes",
    [
        {"length": TrainingDuration(budget="half an hour")},
        {"compute": Compute(device="gpu")},
        {"fold": 77},
    ],
    ids=["length", "device", "fold"],
)
def test_a_mistyped_restart_throws_nothing_away(work: Workspace, changes: dict) -> None:
    with pytest.raises(TrainingError):
        train(work, request(restart=True, **changes), progress=Silent())
    assert (fold_folder(work) / WEIGHTS_NAME).is_file()


def test_folds_that_mean_other_labels_are_not_joined(work: Workspace) -> None:
    before = rename_labels(work)
    with pytest.raises(TrainingError, match="holds folds that were trained with another"):
        train(work, request(fold=1), progress=Silent())
    beside = store.load(Plan, fold_folder(work).parent / Plan.FILE_NAME)
    assert beside.labels == before.labels


def test_a_plan_that_changed_keeps_the_other_folds_from_a_restart(work: Workspace) -> None:
    folder = fold_folder(work)
    shutil.copytree(folder, folder.with_name("fold_1"))
    rename_labels(work)
    with pytest.raises(TrainingError, match="Move that folder away"):
        train(work, request(restart=True), progress=Silent())
    assert (folder / WEIGHTS_NAME).is_file()


def test_cases_that_are_in_no_fold_are_named(work: Workspace) -> None:
    splits = store.load(Splits, work.splits)
    left_out = splits.folds[1].train[0]
    folds = tuple(
        fold.model_copy(
            update={
                side: tuple(name for name in getattr(fold, side) if name != left_out)
                for side in ("train", "validation")
            }
        )
        for fold in splits.folds
    )
    store.save(splits.model_copy(update={"folds": folds}), work.splits)
    spoken = Spoken()
    train(work, request(), progress=spoken)
    assert any("cases are not used" in text and left_out in text for text in spoken.messages)


def test_a_fold_is_not_scored_on_cases_that_it_was_trained_on(work: Workspace) -> None:
    splits = store.load(Splits, work.splits)
    store.save(splits.model_copy(update={"folds": splits.folds[::-1]}), work.splits)
    with pytest.raises(TrainingError, match=r"Restore splits\.json, or retrain the fold"):
        train(work, request(), progress=Silent())


def test_weights_that_were_lost_come_back_from_the_checkpoint(work: Workspace) -> None:
    weights = fold_folder(work) / WEIGHTS_NAME
    before = weights.read_bytes()
    weights.unlink()
    train(work, request(), progress=Silent())
    assert weights.read_bytes() == before


def test_new_weights_are_not_scored_by_what_earlier_ones_predicted(work: Workspace) -> None:
    folder = fold_folder(work)
    for name in (WEIGHTS_NAME, "run.json", "checkpoint.safetensors"):  # as a kill may leave it
        (folder / name).unlink()
    earlier = {path: path.stat().st_mtime_ns for path in (folder / "validation").glob("*.nii.gz")}
    train(work, request(seed=1), progress=Silent())
    assert earlier
    assert all(path.stat().st_mtime_ns > time for path, time in earlier.items())


def test_a_held_out_case_that_failed_is_a_fault_and_is_tried_again(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = fold_folder(work) / scoring.VALIDATION_NAME
    first = sorted(outputs.glob("*.nii.gz"))[0]
    (outputs / "evaluation.json").unlink()
    first.unlink()
    with monkeypatch.context() as patch:
        patch.setattr("autoseg.stages.predict.predict.read_image", _unreadable)
        report = train(work, request(), progress=Silent()).report
    assert [issue.message.split(" (")[0] for issue in report.issues] == [
        "OSError: the disk is gone"
    ]
    assert len(report.cases) == 1
    mended = train(work, request(), progress=Silent()).report
    assert not mended.issues
    assert len(mended.cases) == 2


def test_a_stop_after_the_last_step_is_heard(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(TrainingReporter, "finish", lambda *_: signal.raise_signal(signal.SIGINT))
        with pytest.raises(Interrupted, match="the training is complete"):
            train(work, request(restart=True), progress=Silent())
    assert train(work, request(), progress=Silent()).report is not None


def test_scoring_that_was_killed_knows_the_agreement_of_every_case_in_the_end(
    work: Workspace,
) -> None:
    outputs = fold_folder(work) / scoring.VALIDATION_NAME
    whole = train(work, request(), progress=Silent()).report
    (outputs / "evaluation.json").unlink()
    first = sorted(outputs.glob("*.nii.gz"))[0]
    first.unlink()
    (outputs.parent / "overlay.png").unlink()
    again = train(work, request(), progress=Silent()).report
    assert (outputs.parent / "overlay.png").is_file()
    assert again.agreements == whole.agreements
    assert len(again.agreements) == len(again.cases) == 2


def test_scores_are_made_anew_when_a_label_file_has_changed_and_only_then(
    work: Workspace, tmp_path: Path
) -> None:
    spec = store.load(DatasetSpec, work.dataset)
    places = {case.name: tmp_path / case.labels.name for case in spec.cases}
    cases = [case.model_copy(update={"labels": places[case.name]}) for case in spec.cases]
    for case in spec.cases:
        shutil.copy2(case.labels, places[case.name])
    store.save(spec.model_copy(update={"cases": tuple(cases)}), work.dataset)
    folder = fold_folder(work)
    project, stored = load_project(work, Silent()), ModelFolder(folder.parent)
    report = store.load(Report, folder / "validation" / "evaluation.json")
    assert scoring.score_fold(project, stored, 0, replace(CPU, workers=1), Silent()) == report

    corrected = places[report.cases[0].name]
    image = SimpleITK.ReadImage(str(corrected))
    SimpleITK.WriteImage(image * 0, str(corrected))
    outputs = {path: path.stat().st_mtime_ns for path in (folder / "validation").glob("*.nii.gz")}
    again = scoring.score_fold(project, stored, 0, replace(CPU, workers=1), Silent())
    assert [scores.reference_voxels for scores in again.cases[0].classes] == [0, 0]
    assert again.cases[1] == report.cases[1]
    assert again.seconds_per_case == report.seconds_per_case is not None
    assert outputs == {path: path.stat().st_mtime_ns for path in outputs}


def _unreadable(paths: tuple[Path, ...]) -> None:
    msg = "the disk is gone"
    raise OSError(msg)


def test_held_out_cases_are_predicted_in_the_precision_of_the_training(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(fold_folder(work) / scoring.VALIDATION_NAME)
    asked = []

    def recording(stored: StoredModel, options: LoadOptions, folds: tuple[int, ...]) -> object:
        asked.append(options.precision)
        return load_stored(stored, options, folds)

    monkeypatch.setattr(scoring, "load_stored", recording)
    train(work, request(compute=replace(CPU, precision="float32")), progress=Silent())
    assert asked == ["float32"]


@pytest.mark.parametrize("taken_by", ["initial_state", "training_step", "validation_scores"])
def test_a_device_with_too_little_memory_comes_with_advice(
    taken_by: str, work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        msg = "CUDA out of memory. Tried to allocate 2.00 GiB."
        raise torch.OutOfMemoryError(msg)

    monkeypatch.setattr(f"autoseg.training.loop.{taken_by}", full)
    with pytest.raises(TrainingError, match=r"2 patches of 8 × 16 × 16 voxels.* --memory"):
        train(work, request(restart=True), progress=Silent())


def test_a_training_on_any_accelerator_gets_several_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("autoseg.stages.train.task.default_workers", lambda: 8)
    found = [loader_workers(None, torch.device(name)) for name in ("cpu", "mps", "cuda")]
    assert found == [1, 8, 8]
