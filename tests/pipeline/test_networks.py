"""Every network that is not the planner's default trains, and predicts images of any size."""

import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from extras import network_kinds
from safetensors.torch import load_file

from autoseg.architectures import ARCHITECTURES
from autoseg.core.compute import Compute
from autoseg.core.errors import Interrupted
from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.plan import Plan
from autoseg.documents.workspace import Workspace
from autoseg.losses import LOSSES
from autoseg.stages.predict.predict import PredictOptions, predict
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest
from autoseg.stages.train.train import train

OTHERS = network_kinds("unet", "residual_encoder_unet")
"""The two planned by default are tested elsewhere."""

WITH_MARGIN = ("unet_2015", "unet_3d_2016")
"""Only these go ways of their own through sampling and prediction, by the number of axes."""


def with_network(planned: Workspace, root: Path, kind: str) -> Workspace:
    """Return a copy of a planned work folder with another network of the same topology."""
    workspace = Workspace(shutil.copytree(planned.root, root / "work"))
    made = store.load(Plan, workspace.plan)
    (configuration,) = made.configurations
    before = configuration.architecture
    network = ARCHITECTURES[kind].for_topology(
        before.topology, in_channels=before.in_channels, num_classes=before.num_classes
    )
    changed = configuration.model_copy(update={"architecture": network.compact()})
    store.save(made.model_copy(update={"configurations": (changed,)}), workspace.plan)
    return workspace


def training(steps: int) -> TrainRequest:
    return TrainRequest(
        fold=0, length=TrainingDuration(iterations=steps), compute=Compute(device="cpu", workers=0)
    )


def weights_of(workspace: Workspace) -> dict:
    (path,) = workspace.models.glob("*/fold_0/weights.safetensors")
    return load_file(path)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        *((kind, "pictures") for kind in OTHERS),
        *((kind, "volumes") for kind in WITH_MARGIN),
    ],
)
def test_a_network_trains_and_predicts(
    kind: str, data: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    workspace = with_network(request.getfixturevalue(f"planned_{data}"), tmp_path, kind)
    dataset = request.getfixturevalue(f"{data}_dataset")
    images = next(folder for folder in dataset.iterdir() if folder.name.startswith("images"))
    train(workspace, training(1), progress=Silent())
    options = PredictOptions(model=workspace.root, compute=Compute(device="cpu", workers=1))
    image = sorted(images.iterdir())[0]
    report = predict(image, tmp_path / "out", options, Silent())
    assert report.failures == ()
    predicted, original = SimpleITK.ReadImage(report.written[0]), SimpleITK.ReadImage(image)
    assert predicted.GetSize() == original.GetSize()


class StopAfterAnEpoch(Silent):
    """Interrupts as soon as an epoch has been reported."""

    def say(self, message: str) -> None:
        if message.startswith("epoch "):
            signal.raise_signal(signal.SIGINT)


def test_dropout_is_the_same_after_an_interruption(
    planned_pictures: Workspace, tmp_path: Path
) -> None:
    whole = with_network(planned_pictures, tmp_path / "whole", "unet_2015")
    train(whole, training(8), progress=Silent())
    stopped = with_network(planned_pictures, tmp_path / "stopped", "unet_2015")
    with pytest.raises(Interrupted):
        train(stopped, training(8), progress=StopAfterAnEpoch())
    train(stopped, training(8), progress=Silent())
    one, other = weights_of(whole), weights_of(stopped)
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_the_first_u_net_trains_with_its_border_weighted_loss(
    planned_pictures: Workspace, tmp_path: Path
) -> None:
    """Distances are measured in the labels of the patch, which have no margin."""
    workspace = with_network(planned_pictures, tmp_path, "unet_2015")
    made = store.load(Plan, workspace.plan)
    (configuration,) = made.configurations
    changed = configuration.model_copy(update={"loss": LOSSES["border_weighted_ce"]()})
    store.save(made.model_copy(update={"configurations": (changed,)}), workspace.plan)
    train(workspace, training(1), progress=Silent())
    assert weights_of(workspace)
