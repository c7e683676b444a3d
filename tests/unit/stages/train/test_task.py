"""The identity of a training for resuming, and the devices of its loss."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fakes import LABELS, tiny_configuration, tiny_plan
from fingerprints import small_volumes

from autoseg.augmentations.gaussian_noise import GaussianNoise
from autoseg.augmentations.mirroring import Mirroring
from autoseg.core.case import InverseTransform
from autoseg.core.errors import TrainingError
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Configuration
from autoseg.documents.recipe import Iterations, Recipe, TrainingOptions
from autoseg.documents.splits import Fold, Splits
from autoseg.documents.store import load
from autoseg.documents.workspace import Workspace
from autoseg.losses import LOSSES
from autoseg.models.folder import ModelFolder
from autoseg.preprocessing.storage import CaseRecord, StoredCascadeInput, StoredCase
from autoseg.stages.project import Project
from autoseg.stages.train import task as stage
from autoseg.stages.train.task import training_device, training_identity
from autoseg.stages.train.train import record_model
from autoseg.training.loading import BatchDataset
from autoseg.training.sampling import Sampling


def tiny_project(folder: Path, configuration: Configuration) -> Project:
    fingerprint = small_volumes(num_cases=1)
    dataset = DatasetSpec(
        name="tiny",
        root=folder,
        layout="folders",
        num_axes=2,
        channel_names=("MRI",),
        labels=LABELS,
        cases=(),
    )
    fold = Fold(train=("a",), validation=("a",))
    splits = Splits(seed=0, reason="one case", folds=(fold,))
    plan = tiny_plan(configuration, axis_order=(0, 1))
    return Project(Workspace(folder / "work"), dataset, fingerprint, plan, splits)


@pytest.mark.parametrize(("trained", "predicted"), [((1,), (1,)), (None, (0, 1)), ((), ())])
def test_a_model_is_mirrored_along_the_axes_that_its_training_mirrors(
    tmp_path: Path, trained, predicted
) -> None:
    recipe = Recipe(augmentations=(GaussianNoise(), Mirroring(axes=trained)))
    configuration = tiny_configuration((8, 8)).model_copy(update={"recipe": recipe})
    project = tiny_project(tmp_path, configuration)
    stored = record_model(project, configuration)
    assert stored.read_trained().mirror_axes == predicted
    assert ModelFolder(stored.path).read_trained() == stored.read_trained()
    assert ModelFolder(stored.path).read_plan() == stored.read_plan()
    assert ModelFolder(stored.path).read_summary() == stored.read_summary()
    assert load(Fingerprint, stored.path / Fingerprint.FILE_NAME) == project.fingerprint


def test_only_the_same_training_resumes_from_a_checkpoint(tmp_path: Path) -> None:
    configuration = tiny_configuration((8, 8))
    plan = tiny_plan(configuration, axis_order=(0, 1))
    options = TrainingOptions(length=Iterations(total=5))
    record = CaseRecord(
        name="a",
        key="files",
        content_key="content",
        restoration=InverseTransform.uncropped((8, 8), (1.0, 1.0)),
        class_offsets=(0, 0),
    )
    case = StoredCase(tmp_path, record, inode=0)
    sampling = Sampling(
        patch_shape=(8, 8),
        batch_size=2,
        foreground_fraction=0.5,
        masked_channels=(),
        augmentations=(),
        seed=0,
    )

    def identity(plan=plan, configuration=configuration, options=options, case=case) -> str:
        return training_identity(
            plan, configuration, options, BatchDataset((case,), (), sampling, sampling)
        )

    touched = replace(case, record=record.model_copy(update={"key": "copied files"}))
    assert identity(case=touched) == identity()
    labels = LABELS.model_copy(update={"values": (0, 4, 7)})
    others = {
        identity(plan=plan.model_copy(update={"labels": labels})),
        identity(configuration=configuration.model_copy(update={"batch_size": 3})),
        identity(options=options.model_copy(update={"seed": 1})),
        identity(case=replace(case, record=record.model_copy(update={"content_key": "other"}))),
        identity(case=replace(case, cascade_input=StoredCascadeInput(tmp_path, "one"))),
        identity(case=replace(case, cascade_input=StoredCascadeInput(tmp_path, "two"))),
    }
    assert len(others | {identity()}) == 7


def configuration_with(loss: str):
    return tiny_configuration((8, 8)).model_copy(update={"loss": LOSSES[loss]()})


def test_a_loss_in_float64_is_refused_where_there_is_none(monkeypatch) -> None:
    monkeypatch.setattr(stage, "choose_device", torch.device)
    with pytest.raises(TrainingError, match=r"float64, which mps does not support.*--loss dice_ce"):
        training_device("mps", configuration_with("region_mutual_information"))


@pytest.mark.parametrize(
    ("device", "loss"), [("mps", "dice_ce"), ("cpu", "region_mutual_information")]
)
def test_other_pairs_of_device_and_loss_train(device: str, loss: str, monkeypatch) -> None:
    monkeypatch.setattr(stage, "choose_device", torch.device)
    assert training_device(device, configuration_with(loss)) == torch.device(device)
