"""Training that starts from another model: it helps, it is recorded, and it is not mixed up."""

import json
import shutil
import signal
from pathlib import Path

import pytest
from fakes import compact_at_full_resolution
from synthetic import write_volume

from autoseg.architectures import Topology
from autoseg.architectures.unet import UNet
from autoseg.core.compute import Compute
from autoseg.core.errors import Interrupted, ModelError, TrainingError
from autoseg.core.progress import Silent
from autoseg.core.random import generator
from autoseg.datasets.phantoms import VOLUME_SPACING_MM, phantom_volume
from autoseg.documents import store
from autoseg.documents.run import Run
from autoseg.documents.splits import ALL
from autoseg.documents.workspace import Workspace
from autoseg.stages.export import ExportOptions, export
from autoseg.stages.plan.plan import plan
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest
from autoseg.stages.train.train import train

SOURCE_STEPS = 80
STEPS = 20


class Listener(Silent):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


class StopAtFirstEpoch(Silent):
    """Interrupts a training at the end of its first epoch."""

    def say(self, message: str) -> None:
        if message.startswith("epoch "):
            signal.raise_signal(signal.SIGINT)


def write_phantoms(root: Path, seed: int, *, names: tuple[str, str]) -> Path:
    """Write four phantoms whose two classes have the given names."""
    for index in range(4):
        image, classes = phantom_volume(generator(seed, "phantom", index))
        write_volume(image, root / "imagesTr" / f"p{index}_0000.nii.gz", spacing=VOLUME_SPACING_MM)
        write_volume(classes, root / "labelsTr" / f"p{index}.nii.gz", spacing=VOLUME_SPACING_MM)
    content = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, names[0]: 1, names[1]: 2},
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def planned_phantoms(root: Path, seed: int, names: tuple[str, str]) -> Workspace:
    """Return a work folder whose network has two stages with 8 and 16 features."""
    dataset = write_phantoms(root / f"Phantoms_{seed}", seed, names=names)
    workspace = Workspace(root / f"work_{seed}")
    made = plan(dataset, workspace, workers=1, progress=Silent())
    topology = Topology(
        patch_shape=(16, 24, 24), strides=((1,) * 3, (2,) * 3), kernels=((3,) * 3,) * 2
    )
    network = UNet.for_topology(
        topology, in_channels=1, num_classes=made.labels.num_classes
    ).model_copy(update={"features": (8, 16)})
    full = compact_at_full_resolution(made, 3)
    small = full.model_copy(update={"architecture": network, "batch_size": 2})
    changed = {"configurations": (small,), "default_configuration": small.name}
    store.save(made.model_copy(update=changed), workspace.plan)
    return workspace


def request(steps: int = STEPS, **changes: object) -> TrainRequest:
    """On every case: no held-out case takes time to predict."""
    length = TrainingDuration(iterations=steps)
    settings = {"fold": ALL, "length": length, "compute": Compute(device="cpu", workers=0)}
    return TrainRequest(**settings | changes)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A trained model of heads and tails."""
    workspace = planned_phantoms(tmp_path_factory.mktemp("source"), 1, ("head", "tail"))
    train(workspace, request(SOURCE_STEPS), progress=Silent())
    return workspace


@pytest.fixture(scope="module")
def planned_target(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Other cases, one of whose classes has another name."""
    return planned_phantoms(tmp_path_factory.mktemp("target"), 2, ("head", "end"))


@pytest.fixture
def target(planned_target: Workspace, tmp_path: Path) -> Workspace:
    return Workspace(shutil.copytree(planned_target.root, tmp_path / "work"))


def last_loss(run: Run) -> float:
    return sum(record.training_loss for record in run.history[-5:]) / 5


def test_fine_tuning_helps(source: Workspace, planned_target: Workspace, tmp_path: Path):
    losses = {}
    for name, pretrained in (("scratch", None), ("tuned", source.root)):
        work = Workspace(shutil.copytree(planned_target.root, tmp_path / name))
        run = train(work, request(pretrained=pretrained), progress=Silent()).run
        losses[name] = last_loss(run)

    assert losses["tuned"] < losses["scratch"] - 0.1


def test_what_became_of_each_tensor_is_said_and_recorded(source: Workspace, target: Workspace):
    listener = Listener()

    trained = train(target, request(2, pretrained=source.root), progress=listener)

    run = store.load(Run, trained.folder / "run.json")
    assert run.pretraining is not None
    assert run.pretraining.model.startswith("Phantoms_1, ")
    assert run.pretraining.model.endswith(", fold all")
    assert run.pretraining.adapted.names == ("heads.0.weight", "heads.0.bias")
    assert run.pretraining.fresh.names == run.pretraining.unused.names == ()
    assert run.recipe.optimizer.learning_rate == pytest.approx(target_rate(target) / 3)
    (table,) = [message for message in listener.said if message.startswith("starting from")]
    lines = table.splitlines()
    assert "loaded" in lines[1]
    assert "2 tensors" in lines[2]
    assert lines[2].endswith("heads.0.weight, heads.0.bias")


def target_rate(workspace: Workspace) -> float:
    made = json.loads(workspace.plan.read_text())
    return made["configurations"][0]["recipe"]["optimizer"]["learning_rate"]


def test_a_model_file_is_as_good_a_start_as_a_folder(
    source: Workspace, target: Workspace, tmp_path: Path
):
    file = tmp_path / "source.autoseg"
    export(source.root, file, ExportOptions())

    trained = train(target, request(2, pretrained=file), progress=Silent())
    again = train(target, request(2, pretrained=source.root, restart=True), progress=Silent())

    assert trained.run.pretraining == again.run.pretraining


def test_a_fine_tuning_goes_on_only_from_the_same_model(source: Workspace, target: Workspace):
    with pytest.raises(Interrupted):
        train(target, request(4, pretrained=source.root), progress=StopAtFirstEpoch())

    with pytest.raises(
        TrainingError,
        match=r"--pretrained, Phantoms_1, .*, fold all, not with --iterations 4 --seed 0\.",
    ):
        train(target, request(4), progress=Silent())

    trained = train(target, request(4, pretrained=source.root), progress=Silent())
    assert trained.run.steps == 4


def test_a_finished_fold_with_another_start_is_mentioned(source: Workspace, target: Workspace):
    train(target, request(2), progress=Silent())
    listener = Listener()

    train(target, request(3, pretrained=source.root), progress=listener)

    (line,) = [line for line in listener.said if "already trained" in line]
    assert ", with different settings: 2 steps, requested 3 steps; initialised randomly" in line
    assert "requested from Phantoms_1" in line
    assert "seed" not in line


def test_a_model_that_is_not_there_is_named(target: Workspace, tmp_path: Path):
    with pytest.raises(ModelError, match="nowhere"):
        train(target, request(pretrained=tmp_path / "nowhere"), progress=Silent())
