"""Planned work folders whose networks are small enough to train in a test."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes import compact_at_full_resolution

from autoseg.architectures import Topology
from autoseg.architectures.unet import UNet
from autoseg.core.child import EndedProcess
from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.plan import Plan
from autoseg.documents.workspace import Workspace
from autoseg.stages import step_check
from autoseg.stages.plan.plan import plan
from autoseg.stages.preprocess import preprocess
from autoseg.training.trial_step import TrialResult


def tiny(made: Plan, patch_shape: tuple[int, ...]) -> Plan:
    """Return the plan with one configuration, of a two-stage network with 4 features."""
    axes = len(patch_shape)
    configuration = compact_at_full_resolution(made, axes)
    topology = Topology(
        patch_shape=patch_shape,
        strides=((1,) * axes, (2,) * axes),
        kernels=((3,) * axes, (3,) * axes),
    )
    network = UNet(
        topology=topology,
        in_channels=len(made.channel_names),
        num_classes=made.labels.num_outputs,
        features=(4, 8),
        encoder_convolutions=(1, 1),
        decoder_convolutions=(1,),
    )
    small = configuration.model_copy(update={"architecture": network, "batch_size": 2})
    return made.model_copy(update={"configurations": (small,), "default_configuration": small.name})


def planned(dataset: Path, root: Path, patch_shape: tuple[int, ...]) -> Workspace:
    """Plan a dataset with a tiny network and prepare it."""
    workspace = Workspace(root / "work")
    made = plan(dataset, workspace, workers=1, progress=Silent())
    store.save(tiny(made, patch_shape), workspace.plan)
    preprocess(workspace, configuration=None, workers=1, progress=Silent())
    return workspace


@pytest.fixture(autouse=True, scope="session")
def _sound_steps() -> Iterator[None]:
    """Spare every training the check of its step, where the CPU computes in bfloat16."""
    with pytest.MonkeyPatch.context() as patch:
        valid = EndedProcess(0, TrialResult(finding=None).model_dump_json(), "")
        patch.setattr(step_check, "run_module", lambda *_, **__: valid)
        yield


@pytest.fixture(scope="session")
def shrink() -> Callable[[Plan, tuple[int, ...]], Plan]:
    """Return `tiny`, for tests that plan by themselves."""
    return tiny


@pytest.fixture(scope="session")
def planned_volumes(volumes_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return planned(volumes_dataset, tmp_path_factory.mktemp("volumes_work"), (8, 16, 16))


@pytest.fixture(scope="session")
def planned_pictures(pictures_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return planned(pictures_dataset, tmp_path_factory.mktemp("pictures_work"), (32, 32))


@pytest.fixture
def volumes_work(planned_volumes: Workspace, tmp_path: Path) -> Workspace:
    """Return a work folder of its own, planned and prepared."""
    return Workspace(shutil.copytree(planned_volumes.root, tmp_path / "work"))


@pytest.fixture
def pictures_work(planned_pictures: Workspace, tmp_path: Path) -> Workspace:
    """Return a work folder of its own, planned and prepared."""
    return Workspace(shutil.copytree(planned_pictures.root, tmp_path / "work"))
