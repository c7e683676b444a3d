"""Every registered loss keeps the same promises; a new file in autoseg/losses is tested unasked."""

import pytest
import torch
from pydantic import TypeAdapter

from autoseg.losses import LOSSES, LossFunction
from autoseg.losses.base import AnyLoss


@pytest.fixture(params=list(LOSSES))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def loss(kind: str) -> LossFunction:
    return LOSSES[kind]().build()


@pytest.mark.parametrize("space", [(8, 8), (4, 8, 8)], ids=["2d", "3d"])
def test_a_loss_prefers_the_truth(loss: LossFunction, space: tuple[int, ...]) -> None:
    labels = torch.randint(0, 3, (2, *space), generator=torch.Generator().manual_seed(0))
    right = 9.0 * torch.nn.functional.one_hot(labels, 3).movedim(-1, 1)
    assert loss(right, labels) < loss(-right, labels)


def test_a_loss_survives_a_patch_without_foreground(loss: LossFunction) -> None:
    logits = torch.zeros(1, 3, 4, 4, requires_grad=True)
    loss(logits, torch.zeros(1, 4, 4, dtype=torch.int64)).backward()
    assert torch.isfinite(logits.grad).all()


def test_a_loss_round_trips_through_json(kind: str) -> None:
    adapter = TypeAdapter(AnyLoss)
    config = LOSSES[kind]()
    assert adapter.validate_json(adapter.dump_json(config)) == config
    assert adapter.validate_python(kind) == config
