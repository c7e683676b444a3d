"""A training whose loss becomes NaN or infinite continues once, more slowly."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pipeline.test_losses import stored, task

from autoseg.core.errors import Interrupted, TrainingError
from autoseg.core.interrupt import StopRequest
from autoseg.documents.recipe import Iterations
from autoseg.training import loop
from autoseg.training.checkpoint import load_checkpoint
from autoseg.training.fit import fit
from autoseg.training.loop import new_state
from autoseg.training.state import TrainingState
from autoseg.training.step import training_step
from autoseg.training.task import Callbacks, TrainingTask


@pytest.fixture
def training(tmp_path: Path) -> TrainingTask:
    """Return a training of 12 steps."""
    training = task("dice_ce", stored(tmp_path / "case", (8, 12, 12)), (8, 12, 12), tmp_path)
    return replace(training, length=Iterations(total=12))


class Steps:
    """Replaces the training step; some of its calls, counted from 1, spoil the network."""

    def __init__(self, *spoiled: int) -> None:
        self.rates: list[float] = []
        self._spoiled = spoiled

    def __call__(self, state: TrainingState, *arguments, **settings) -> torch.Tensor:
        self.rates.append(settings["rate"])
        if len(self.rates) in self._spoiled:
            with torch.no_grad():
                next(iter(state.network.parameters())).fill_(torch.nan)
        return training_step(state, *arguments, **settings)


def trained(
    training: TrainingTask, monkeypatch: pytest.MonkeyPatch, *spoiled: int
) -> tuple[TrainingState, Steps, list[str]]:
    """Train, and return the final state, the steps and the messages."""
    steps, said = Steps(*spoiled), []
    monkeypatch.setattr(loop, "training_step", steps)
    state = new_state(training, epoch_steps=4)
    fit(training, state, Callbacks(lambda _: None, lambda _: None, StopRequest(), said.append))
    return state, steps, said


def test_without_a_checkpoint_it_starts_again_with_half_the_rate(training, monkeypatch) -> None:
    state, steps, said = trained(training, monkeypatch, 3)
    assert len(said) == 1
    assert "nan in step 3; the training continues from the beginning with half" in said[0]
    assert len(steps.rates) == 3 + 12
    assert steps.rates[3] == steps.rates[0] / 2
    assert all(torch.isfinite(value).all() for value in state.network.state_dict().values())
    assert [record.step for record in state.history] == [4, 8, 12]


def test_it_continues_from_the_last_checkpoint(training, monkeypatch) -> None:
    training = replace(training, checkpoint_seconds=0.0)  # a checkpoint after every step
    state, steps, said = trained(training, monkeypatch, 6)
    assert "nan in step 6" in said[0]
    assert "from the checkpoint of step 5 with half" in said[0]
    assert len(steps.rates) == 12 + 1
    assert steps.rates[6] == steps.rates[5] / 2
    assert state.history[-1].learning_rate == pytest.approx(training.recipe.learning_rate(1.0) / 2)


def test_the_second_time_it_ends_with_advice(training, monkeypatch) -> None:
    with pytest.raises(TrainingError, match=r"nan in step 1, although .* float32"):
        trained(training, monkeypatch, 3, 4)


def test_the_lower_rate_is_kept_when_the_training_is_resumed(training, monkeypatch) -> None:
    stop = StopRequest()
    monkeypatch.setattr(loop, "training_step", Steps(3))

    def stop_after_5(state: TrainingState) -> None:
        stop.is_requested = state.position.step == 5

    state = new_state(training, epoch_steps=4)
    with pytest.raises(Interrupted):
        fit(training, state, Callbacks(stop_after_5, lambda _: None, stop, print))
    resumed = new_state(training, epoch_steps=4)
    load_checkpoint(resumed, training.checkpoint, identity=training.identity)
    fit(training, resumed, Callbacks(lambda _: None, lambda _: None, StopRequest(), print))
    uninterrupted, _, _ = trained(training, monkeypatch, 3)
    assert resumed.history[-1].learning_rate == uninterrupted.history[-1].learning_rate
    for name, value in uninterrupted.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name])


def test_a_float16_step_is_skipped_and_the_scale_lowered(training, monkeypatch) -> None:
    calls = []

    def overflowing(state: TrainingState, batch, *arguments, **settings) -> torch.Tensor:
        calls.append(state.scaler.get_scale())
        if len(calls) == 2:
            batch = (batch[0] * torch.inf, batch[1])
        return training_step(state, batch, *arguments, **settings)

    monkeypatch.setattr(loop, "training_step", overflowing)
    training = replace(training, dtype=torch.float16, length=Iterations(total=4))
    state, said = new_state(training, epoch_steps=4), []
    fit(training, state, Callbacks(lambda _: None, lambda _: None, StopRequest(), said.append))
    assert said == ["note: the loss became nan in step 2; this step of float16 training is skipped"]
    assert calls[2] == calls[1] / 2
    assert state.history[0].step == 4
    assert math.isfinite(state.history[0].training_loss)
    assert all(torch.isfinite(value).all() for value in state.network.state_dict().values())


def test_an_infinite_gradient_is_found_in_its_own_step(training, monkeypatch) -> None:
    def steep(state: TrainingState, *arguments, **settings) -> torch.Tensor:
        parameter = next(iter(state.network.parameters()))
        hook = parameter.register_hook(lambda gradient: gradient * torch.inf)
        try:
            return training_step(state, *arguments, **settings)
        finally:
            hook.remove()

    monkeypatch.setattr(loop, "training_step", steep)
    state = new_state(training, epoch_steps=4)
    with pytest.raises(loop.NonFiniteLossError, match="in step 1"):
        loop.train_until_finished(
            training, state, Callbacks(lambda _: None, lambda _: None, StopRequest(), print)
        )
