import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from autoseg.architectures import NetworkOutput
from autoseg.core.errors import TrainingError
from autoseg.documents.recipe import Recipe
from autoseg.documents.run import EpochRecord
from autoseg.losses.dice_ce import DiceCrossEntropy
from autoseg.optimizers import OPTIMIZERS
from autoseg.training.checkpoint import load_checkpoint, save_checkpoint
from autoseg.training.position import Position
from autoseg.training.state import TrainingState
from autoseg.training.step import training_step


class OneConvolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(1, 2, 1)

    def forward(self, images: torch.Tensor) -> NetworkOutput:
        return NetworkOutput(self.head(images))


def state_of(*, scales: bool) -> TrainingState:
    torch.manual_seed(0)
    network = OneConvolution()
    return TrainingState(
        network=network,
        average=None,
        optimizer=Recipe().optimizer.build(tuple(network.parameters())),
        scaler=torch.amp.GradScaler("cpu", enabled=scales),
        epoch_steps=1,
    )


def step(state: TrainingState) -> None:
    images = torch.linspace(-1, 1, 2 * 64).reshape(2, 1, 8, 8)
    labels = (images[:, 0] > 0.3).long()
    loss = DiceCrossEntropy()
    training_step(state, (images, labels), loss, rate=0.05, gradient_clip=12.0, dtype=torch.float32)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("random.cpu", None),
        ("random.cpu", torch.zeros(3)),
        ("network.head.weight", None),
        ("network.head.weight", torch.zeros(5)),
        ("optimizer.0.momentum_buffer", torch.zeros(7)),
        ("optimizer.x.momentum_buffer", torch.zeros(1)),
    ],
)
def test_missing_and_odd_tensors_of_a_checkpoint_are_a_sentence(name, value, tmp_path) -> None:
    state, path = state_of(scales=False), tmp_path / "checkpoint.safetensors"
    step(state)
    save_checkpoint(state, path, identity="a")
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    tensors.pop(name, None)
    save_file(tensors if value is None else tensors | {name: value}, path, header)
    with pytest.raises(TrainingError, match="invalid or corrupt checkpoint"):
        load_checkpoint(state_of(scales=False), path, identity="a")


def test_a_checkpoint_that_cannot_be_opened_is_not_called_corrupt(tmp_path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.symlink_to(path)
    with pytest.raises(OSError, match="symbolic links") as error:
        load_checkpoint(state_of(scales=False), path, identity="a")
    assert error.value.filename == str(path)


@pytest.mark.parametrize("scales", [False, True])
def test_a_resumed_training_steps_as_the_one_that_was_saved(scales: bool, tmp_path: Path) -> None:
    state, resumed = state_of(scales=scales), state_of(scales=scales)
    step(state)
    save_checkpoint(state, tmp_path / "checkpoint.safetensors", identity="a")
    load_checkpoint(resumed, tmp_path / "checkpoint.safetensors", identity="a")
    assert resumed.scaler.state_dict() == state.scaler.state_dict()
    step(state)
    step(resumed)
    pairs = zip(state.network.parameters(), resumed.network.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


class TwoConvolutions(nn.Module):
    """Weights that lie differently in memory where channels are last."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.head = nn.Conv2d(6, 2, 3, padding=1)

    def forward(self, images: torch.Tensor) -> NetworkOutput:
        return NetworkOutput(self.head(self.first(images).relu()))


def channels_last_state(recipe: Recipe) -> TrainingState:
    torch.manual_seed(0)
    network = TwoConvolutions().to(memory_format=torch.channels_last)
    optimizer = recipe.optimizer.build(tuple(network.parameters()))
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return TrainingState(network, None, optimizer, scaler, epoch_steps=1)


@pytest.mark.parametrize("kind", list(OPTIMIZERS))
def test_a_training_with_channels_last_resumes_exactly(kind: str, tmp_path: Path) -> None:
    recipe = Recipe(optimizer=OPTIMIZERS[kind]())
    state, resumed = channels_last_state(recipe), channels_last_state(recipe)
    for _ in range(2):
        step(state)
    save_checkpoint(state, tmp_path / "checkpoint.safetensors", identity="a")
    load_checkpoint(resumed, tmp_path / "checkpoint.safetensors", identity="a")
    for _ in range(2):
        step(state)
        step(resumed)
    pairs = zip(state.network.parameters(), resumed.network.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False)])
def test_a_training_may_go_on_where_gradients_are_scaled_otherwise(
    before: bool, after: bool, tmp_path: Path
) -> None:
    state, resumed = state_of(scales=before), state_of(scales=after)
    step(state)
    save_checkpoint(state, tmp_path / "checkpoint.safetensors", identity="a")
    load_checkpoint(resumed, tmp_path / "checkpoint.safetensors", identity="a")
    step(resumed)


def test_saving_a_training_on_the_cpu_leaves_graphics_cards_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched(*_: object) -> None:
        pytest.fail("a GPU was asked for its random state")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state", touched)
    save_checkpoint(state_of(scales=False), tmp_path / "checkpoint.safetensors", identity="a")


def test_a_checkpoint_holds_all_that_changes(tmp_path: Path) -> None:
    state, resumed = state_of(scales=False), state_of(scales=False)
    for one in (state, resumed):
        one.average = OneConvolution()
    state.position, state.epoch_steps, state.epoch_losses = Position(7, 12.5), 5, [0.5, 0.25]
    state.history = [
        EpochRecord(
            epoch=1,
            step=5,
            seconds=9.0,
            learning_rate=0.01,
            training_loss=0.7,
            validation_loss=None,
            pseudo_dice=(0.5,),
        )
    ]
    save_checkpoint(state, tmp_path / "checkpoint.safetensors", identity="a")
    drawn = torch.rand(3)
    load_checkpoint(resumed, tmp_path / "checkpoint.safetensors", identity="a")
    assert torch.equal(torch.rand(3), drawn)
    for field in ("position", "epoch_steps", "epoch_losses", "history"):
        assert getattr(resumed, field) == getattr(state, field)
    for name, value in state.average.state_dict().items():
        assert torch.equal(resumed.average.state_dict()[name], value)


def test_the_random_numbers_of_an_apple_device_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, restored = torch.arange(9, dtype=torch.uint8), []
    saved, resumed = state_of(scales=False), state_of(scales=False)
    weight = SimpleNamespace(device=torch.device("mps"))
    monkeypatch.setattr(OneConvolution, "parameters", lambda _: iter([weight]))
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: random)
    monkeypatch.setattr(torch.mps, "set_rng_state", restored.append)
    save_checkpoint(saved, tmp_path / "checkpoint.safetensors", identity="a")
    load_checkpoint(resumed, tmp_path / "checkpoint.safetensors", identity="a")
    (found,) = restored
    assert torch.equal(found, random)


@pytest.mark.parametrize(
    ("then", "now", "difference"),
    [
        ("--seed 0", "--seed 1", "with --seed 0, not with --seed 1. To resume"),
        ("--seed 0", "--seed 0", "the same length and seed, but another plan, precision, set of"),
        ("--pretrained, a", "--pretrained, a", "or weights of the pretrained model. To"),
        ("", "--seed 0", "another plan, length, seed, precision, set of cases or pretrained"),
    ],
)
def test_the_difference_that_prevents_resuming_is_named(
    then: str, now: str, difference: str, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(state_of(scales=False), path, identity="a", started_with=then)
    with pytest.raises(TrainingError, match=re.escape(difference)):
        load_checkpoint(state_of(scales=False), path, identity="b", started_with=now)
