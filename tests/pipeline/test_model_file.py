"""From a training to a model file, and from the file alone to the same label maps."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from typer.testing import CliRunner

from autoseg.cli import app
from autoseg.core.progress import Silent
from autoseg.documents.workspace import Workspace
from autoseg.stages.length import LengthRequest
from autoseg.stages.predict import PredictOptions, predict
from autoseg.stages.train import TrainRequest, train


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
    length = LengthRequest(iterations=6)
    train(
        workspace,
        TrainRequest(fold=0, length=length, device="cpu", workers=0),
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
            PredictOptions(model=model, device="cpu", precision="float32"),
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
        options = PredictOptions(model=model, device="cpu")
        predict(tmp_path / "in", tmp_path / "out", options, progress)
        warnings = [line for line in progress.messages if line.startswith("warning")]
        assert warnings[0] == (
            "warning: coarse: its voxels are 5 mm long along axis 0 (superior); in training always "
            "2 mm."
        )
        assert all(line.startswith("warning: coarse: ") for line in warnings)
