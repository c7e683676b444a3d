"""The next batch is brought while the device computes, and no batch that nobody wants."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pipeline.test_losses import stored, task

from autoseg.core.errors import TrainingError
from autoseg.core.interrupt import StopRequest
from autoseg.documents.recipe import Iterations
from autoseg.training import loop, step
from autoseg.training.fit import fit
from autoseg.training.loading import BatchDataset
from autoseg.training.loop import new_state
from autoseg.training.task import Callbacks


class Loss:
    """Says when it is read: a tensor on an accelerator waits then."""

    def __init__(self, value: torch.Tensor, log: list[str]) -> None:
        self.value, self.log = value, log

    def __float__(self) -> float:
        self.log.append("read")
        return float(self.value)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what happens in a training: batches drawn, steps, and losses read."""
    events: list[str] = []
    draw, training_step = BatchDataset.__getitem__, loop.training_step

    def drawn(data, index):
        events.append(f"draw {index.stream} {index.step}")
        return draw(data, index)

    def stepped(*arguments, **settings):
        events.append("step")
        return Loss(training_step(*arguments, **settings), events)

    monkeypatch.setattr(BatchDataset, "__getitem__", drawn)
    monkeypatch.setattr(loop, "training_step", stepped)
    return events


def trained(folder: Path, num_steps: int) -> None:
    """Train for some steps, with a validation batch after every second one."""
    training = task("dice_ce", stored(folder / "case", (8, 12, 12)), (8, 12, 12), folder)
    training = replace(training, length=Iterations(total=num_steps))
    state = new_state(training, epoch_steps=2)
    fit(training, state, Callbacks(lambda _: None, lambda _: None, StopRequest(), print))


def test_the_next_batch_is_brought_before_a_loss_is_waited_for(log, tmp_path: Path) -> None:
    trained(tmp_path, 3)
    assert log == [
        *("draw train 0", "step", "draw train 1", "read"),
        *("step", "draw validation 0", "read"),
        *("draw train 2", "step", "read"),  # nothing is wanted behind it
    ]


def test_the_last_batch_of_all_may_be_one_for_validation(log, tmp_path: Path) -> None:
    trained(tmp_path, 2)
    assert log[-3:] == ["step", "draw validation 0", "read"]


def test_memory_that_runs_out_while_the_next_batch_is_brought_is_named(
    log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring = step.batch_to_device

    def crowded(batch, device):
        if "step" in log:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return bring(batch, device)

    monkeypatch.setattr(step, "batch_to_device", crowded)
    with pytest.raises(TrainingError, match="too little free memory"):
        trained(tmp_path, 3)
