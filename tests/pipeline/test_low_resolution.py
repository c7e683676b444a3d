"""A low-resolution residual encoder, as planned, goes through every command."""

from pathlib import Path

import SimpleITK

from autoseg.core.compute import Compute
from autoseg.core.progress import Silent
from autoseg.documents.workspace import Workspace
from autoseg.stages.plan.plan import PlanRequest, plan
from autoseg.stages.predict.predict import PredictOptions, predict
from autoseg.stages.preprocess import preprocess
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest
from autoseg.stages.train.train import train

NAME = "3d_lowres"

TINY_MEMORY_GIB = 0.0015
"""So little that a patch covers under a quarter of the small test volumes."""


def test_the_low_resolution_is_prepared_trained_and_predicted_with(
    volumes_dataset: Path, tmp_path: Path
):
    workspace, progress = Workspace(tmp_path / "work"), Silent()
    made = plan(
        volumes_dataset,
        workspace,
        PlanRequest(network="residual_encoder_unet", memory_gib=TINY_MEMORY_GIB),
        workers=1,
        progress=progress,
    )
    low, full = made.configuration(NAME), made.configuration("3d_fullres")
    assert all(coarse > fine for coarse, fine in zip(low.spacing, full.spacing, strict=True))
    preprocess(workspace, configuration=NAME, workers=1, progress=progress)
    assert workspace.preprocessed(NAME).is_dir()
    assert not workspace.preprocessed("3d_fullres").exists()
    request = TrainRequest(
        fold=0,
        configuration=NAME,
        length=TrainingDuration(iterations=2),
        compute=Compute(device="cpu", workers=0),
    )
    train(workspace, request, progress=progress)
    image = next(iter(sorted((volumes_dataset / "imagesTr").iterdir())))
    options = PredictOptions(model=workspace.root, compute=Compute(device="cpu", workers=1))
    report = predict(image, tmp_path / "out", options, progress)
    assert report.failures == ()
    predicted, original = SimpleITK.ReadImage(report.written[0]), SimpleITK.ReadImage(image)
    assert predicted.GetSize() == original.GetSize()
    assert predicted.GetSpacing() == original.GetSpacing()
