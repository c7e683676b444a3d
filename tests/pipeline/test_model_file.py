"""From a training to a model file, and from the file alone to the same label maps."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from skimage import measure
from typer.testing import CliRunner

from autoseg.cli import app
from autoseg.core.compute import Compute
from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.plan import Plan
from autoseg.documents.report import Report
from autoseg.documents.run import Run
from autoseg.documents.selection import CROSS_VALIDATION_NAME, LargestComponent, Selection
from autoseg.documents.workspace import Workspace
from autoseg.inference.averaging import ensemble_class_map
from autoseg.inference.probabilities import open_probabilities
from autoseg.models.archive.reader import ModelArchive
from autoseg.readers import read_image
from autoseg.stages.export import ExportOptions, export
from autoseg.stages.plan.plan import plan
from autoseg.stages.predict.predict import PredictOptions, predict
from autoseg.stages.select.select import select
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest
from autoseg.stages.train.train import train


class Recorder(Silent):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def say(self, message: str) -> None:
        self.messages.append(message)


@pytest.fixture(scope="module")
def trained(planned_volumes: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    work = tmp_path_factory.mktemp("model_file") / "work"
    workspace = Workspace(shutil.copytree(planned_volumes.root, work))
    length = TrainingDuration(iterations=6)
    train(
        workspace,
        TrainRequest(fold=0, length=length, compute=Compute(device="cpu", workers=0)),
        progress=Silent(),
    )
    return workspace


@pytest.fixture(scope="module")
def file(trained: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "balls.autoseg"
    shown = CliRunner().invoke(app, ["export", str(trained.root), str(path)])
    assert shown.exit_code == 0, shown.output
    assert "Next: autoseg predict IN OUT --model" in shown.output
    return path


def test_the_file_predicts_as_the_work_folder(trained, file, volumes_dataset, tmp_path):
    images = volumes_dataset / "imagesTr"
    for name, model in (("folder", trained.root), ("file", file)):
        report = predict(
            images,
            tmp_path / name,
            PredictOptions(model=model, compute=Compute(device="cpu", precision="float32")),
            Silent(),
        )
        assert not report.failures
        assert len(report.written) == 6
    for path in (tmp_path / "file").iterdir():
        found, expected = (
            SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / path.name)))
            for folder in (tmp_path / "file", tmp_path / "folder")
        )
        np.testing.assert_array_equal(found, expected)


@pytest.fixture(scope="module")
def selected(trained: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a work folder with a second configuration, on another grid, and a selection."""
    root = tmp_path_factory.mktemp("selected") / "work"
    workspace = Workspace(shutil.copytree(trained.root, root))
    plan = store.load(Plan, workspace.plan)
    (first,) = plan.configurations
    coarse = first.model_copy(
        update={
            "name": "coarse",
            "data_name": "coarse",
            "spacing": tuple(1.4 * mm for mm in first.spacing),
        }
    )
    store.save(plan.model_copy(update={"configurations": (first, coarse)}), workspace.plan)
    request = TrainRequest(
        fold=0,
        configuration="coarse",
        length=TrainingDuration(iterations=4),
        compute=Compute(device="cpu", workers=0),
    )
    train(workspace, request, progress=Silent())
    selection = Selection(
        members=(first.name, "coarse"),
        folds=((0,), (0,)),
        postprocessing=(LargestComponent(values=(1, 2), dice_before=0.1, dice_after=0.2),),
        reason="Together they are better.",
        candidates=(),
    )
    store.save(selection, workspace.selection)
    report = workspace.fold(first.name, 0) / "validation" / "evaluation.json"
    shutil.copy(report, workspace.cross_validation)
    return workspace


def test_what_was_selected_predicts_alike_from_the_work_folder_and_the_file(
    selected, volumes_dataset, tmp_path
):
    file = tmp_path / "selected.autoseg"
    shown = CliRunner().invoke(app, ["export", str(selected.root), str(file)])
    assert "3d_compact + coarse" in shown.output
    images, found = volumes_dataset / "imagesTr", {}
    for name, model in (("folder", selected.root), ("file", file)):
        progress = Recorder()
        options = PredictOptions(model=model, compute=Compute(device="cpu", precision="float32"))
        report = predict(images, tmp_path / name, options, progress)
        assert not report.failures
        assert progress.messages[0] == (
            "Predicting with 3d_compact (fold 0) + coarse (fold 0), as selected by "
            "cross-validation; only the largest component of 1/2 is kept."
        )
        found[name] = [
            SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))) for path in report.written
        ]
    for from_folder, from_file in zip(found["folder"], found["file"], strict=True):
        np.testing.assert_array_equal(from_file, from_folder)
        assert measure.label(from_file > 0).max() <= 1


def test_the_card_of_a_selection_has_its_line_of_the_leaderboard(selected, tmp_path):
    file = tmp_path / "selected.autoseg"
    export(selected.root, file, ExportOptions())
    page = CliRunner().invoke(app, ["describe", str(file)]).output
    for words in (
        "Together they are better.",
        "3d_compact + coarse with averaged probabilities",
        "Post-processing keeps only the largest connected component of the values 1, 2 combined.",
        "| class | Dice | 95 % interval |",
    ):
        assert words in page
    archive = ModelArchive(file)
    names = [case.name for case in archive.read_document(Report, CROSS_VALIDATION_NAME).cases]
    assert names
    assert all(name.startswith("case_") for name in names)
    export(selected.root, file, ExportOptions(folds=(0,)))
    assert ModelArchive(file).read_selection().folds == ((0,), (0,))


def test_a_network_that_was_trained_on_everything_is_exported_in_place_of_those_selected(
    selected, tmp_path
):
    work = Workspace(shutil.copytree(selected.root, tmp_path / "work"))
    for name in ("3d_compact", "coarse"):
        shutil.copytree(work.fold(name, 0), work.fold(name, "all"))
        run = store.load(Run, work.fold(name, "all") / Run.FILE_NAME)
        store.save(run.model_copy(update={"fold": "all"}), work.fold(name, "all") / Run.FILE_NAME)
    file = tmp_path / "selected.autoseg"
    export(work.root, file, ExportOptions(folds=("all",)))
    assert ModelArchive(file).read_selection().folds == (("all",), ("all",))


def test_the_held_out_cases_keep_their_probabilities(selected):
    """Averaged alone, they give the label map that was predicted straight from the logits."""
    outputs = selected.fold("coarse", 0) / "validation"
    folders = sorted((outputs / "probabilities").iterdir())
    assert len(folders) == 2
    for folder in folders:
        alone = ensemble_class_map([open_probabilities(folder)], workers=1)
        image = read_image((outputs / f"{folder.name}.nii.gz",))
        assert np.mean(alone == image.voxels[0]) > 0.98


def test_the_card_shows_scores_and_no_names_of_cases(file):
    shown = CliRunner().invoke(app, ["describe", str(file)])
    assert shown.exit_code == 0
    assert "# Model card: " in shown.output
    assert "| 3d_compact | 0 | 2 | bright |" in shown.output  # fold 0 held two cases out
    assert "ball_" not in shown.output


def test_only_an_image_unlike_the_training_data_is_warned_of(
    trained, file, volumes_dataset, tmp_path
):
    usual = next((volumes_dataset / "imagesTr").iterdir())
    coarse = tmp_path / "in" / "coarse.nii.gz"
    coarse.parent.mkdir()
    image = SimpleITK.ReadImage(str(usual))
    image.SetSpacing((1.0, 1.0, 5.0))
    SimpleITK.WriteImage(image, str(coarse))
    shutil.copy(usual, tmp_path / "in" / "usual.nii.gz")
    for model in (trained.root, file):
        progress = Recorder()
        options = PredictOptions(model=model, compute=Compute(device="cpu"))
        predict(tmp_path / "in", tmp_path / "out", options, progress)
        warnings = [line for line in progress.messages if line.startswith("warning")]
        assert warnings[0] == (
            "warning: coarse: its voxel size along axis 0 (superior) is 5 mm; in training always "
            "2 mm."
        )
        assert all(line.startswith("warning: coarse: ") for line in warnings)


def test_the_card_of_a_single_case_does_not_call_it_held_out(pictures_dataset, shrink, tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / "one" / kind).mkdir(parents=True)
        shutil.copy(pictures_dataset / kind / "disc_0.png", tmp_path / "one" / kind)
    workspace = Workspace(tmp_path / "work")
    made = plan(tmp_path / "one", workspace, workers=1, progress=Silent())
    store.save(shrink(made, (32, 32)), workspace.plan)
    length = TrainingDuration(iterations=2)
    request = TrainRequest(fold=0, length=length, compute=Compute(device="cpu", workers=0))
    assert train(workspace, request, progress=Silent()).run.resubstitution
    select(workspace, workers=1, progress=Silent())
    export(workspace.root, tmp_path / "one.autoseg", ExportOptions())
    page = ModelArchive(tmp_path / "one.autoseg").read_card_page()
    assert "the network was scored on its own training cases" in page
    assert "scored on 1 training case," in page
    assert "held-out" not in page
    assert "HD95 px" in page
    assert "voxel size in px" in page
    assert " mm" not in page


def test_the_card_states_that_cases_were_held_out(file):
    page = ModelArchive(file).read_card_page()
    assert "Each network was scored on its held-out cases" in page
