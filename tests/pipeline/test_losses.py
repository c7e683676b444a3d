"""Two steps and a validation of a small network with every loss, as training takes them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import LABELS, tiny_configuration

from autoseg.core.case import InverseTransform, PreparedImage
from autoseg.core.interrupt import StopRequest
from autoseg.documents.recipe import Iterations, Recipe
from autoseg.losses import LOSSES
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.preprocessing.storage import StoredCase, open_case, save_case
from autoseg.training.distance_maps import distance_mapper_for
from autoseg.training.fit import fit
from autoseg.training.loading import BatchDataset
from autoseg.training.loop import new_state
from autoseg.training.sampling import Sampling
from autoseg.training.task import Callbacks, TrainingTask

SHAPES = {"2d": (1, 16, 16), "3d": (8, 12, 12)}
"""Sizes of the case; a 2-D patch is one slice."""


def stored(folder: Path, shape: tuple[int, ...]) -> StoredCase:
    """Save a case with a block of each foreground class."""
    classes = np.zeros(shape, np.uint8)
    classes[:, 2:7, 3:8], classes[:, 8:11, 2:9] = 1, 2
    noise = np.random.default_rng(0).normal(size=shape)
    restoration = InverseTransform.uncropped(shape, (1.0,) * 3)
    prepared = PreparedCase(
        name=folder.name,
        image=PreparedImage(
            voxels=(classes + noise)[None].astype(np.float32), restoration=restoration
        ),
        classes=classes,
        foreground=tuple(np.argwhere(classes == index).astype(np.int32) for index in range(3)),
    )
    save_case(prepared, folder, shape, key="key", content_key="key")
    return open_case(folder)


def task(kind: str, case: StoredCase, patch: tuple[int, ...], folder: Path) -> TrainingTask:
    configuration = tiny_configuration(patch, spacing=(1.0, 0.8, 0.7)[-len(patch) :])
    loss = LOSSES[kind]()
    sampling = Sampling(
        patch_shape=patch,
        batch_size=2,
        foreground_fraction=0.5,
        masked_channels=(),
        augmentations=(),
        seed=0,
        distance_mapper=distance_mapper_for(loss, LABELS, configuration.spacing),
    )
    return TrainingTask(
        architecture=configuration.architecture,
        loss=loss,
        labels=LABELS,
        recipe=Recipe(),
        length=Iterations(total=2),
        seed=0,
        data=BatchDataset((case,), (case,), sampling, sampling),
        class_frequencies=(0.7, 0.15, 0.15),
        device=torch.device("cpu"),
        dtype=torch.float32,
        workers=0,
        checkpoint=folder / "checkpoint.safetensors",
        checkpoint_seconds=1e6,
        identity="",
    )


@pytest.mark.parametrize("axes", ["2d", "3d"])
@pytest.mark.parametrize("kind", list(LOSSES))
def test_every_loss_trains_a_network(kind: str, axes: str, tmp_path: Path) -> None:
    shape = SHAPES[axes]
    case = stored(tmp_path / "case", shape)
    training = task(kind, case, shape[1:] if axes == "2d" else shape, tmp_path)
    state = new_state(training, epoch_steps=2)
    before = {name: value.clone() for name, value in state.network.state_dict().items()}
    fit(training, state, Callbacks(lambda _: None, lambda _: None, StopRequest(), print))
    after = state.network.state_dict()
    assert all(torch.isfinite(value).all() for value in after.values())
    assert any(not torch.equal(value, after[name]) for name, value in before.items())
    assert np.isfinite([state.history[0].training_loss, state.history[0].validation_loss]).all()
