"""The validation loss of an epoch."""

import inspect
from math import inf, nan
from types import SimpleNamespace

import pytest
import torch

from autoseg.training import loop


@pytest.mark.parametrize(("losses", "expected"), [((1.0, 3.0, inf), 2.0), ((nan,), None)])
def test_a_validation_loss_that_is_not_finite_does_not_end_the_training(
    losses: tuple[float, ...], expected: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = iter(losses)
    counts = torch.ones(3, 1, dtype=torch.int64)
    monkeypatch.setattr(loop, "batch_objective", lambda *_: None)
    monkeypatch.setattr(loop, "validation_scores", lambda *_: (torch.tensor(next(given)), counts))
    recipe = SimpleNamespace(learning_rate=lambda _: 0.1)
    task = SimpleNamespace(
        length=None, labels=SimpleNamespace(targets=[0]), dtype=None, recipe=recipe
    )
    position = SimpleNamespace(progress=lambda _: 0.5, step=3, seconds=1.0)
    state = SimpleNamespace(
        position=position, history=[], epoch_losses=[1.0], rate_factor=1.0, result=None
    )
    batches = SimpleNamespace(take=lambda: (None, None))
    inspect.unwrap(loop.end_epoch)(task, state, batches, len(losses))  # of stand-ins
    assert state.history[0].validation_loss == expected
