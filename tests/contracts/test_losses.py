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


SPACE = (6, 6)
RANDOM = torch.Generator().manual_seed(0)
CLASSES = torch.randint(0, 3, (2, *SPACE), generator=RANDOM)
REGIONS = torch.stack([CLASSES > 0, CLASSES == 2], dim=1)
VALID = torch.rand(2, *SPACE, generator=RANDOM) > 0.4
SCORES = torch.randn(2, 3, *SPACE, generator=RANDOM)


@pytest.fixture(params=["classes", "regions"])
def targets(request: pytest.FixtureRequest) -> torch.Tensor:
    return CLASSES if request.param == "classes" else REGIONS


def scores_for(targets: torch.Tensor) -> torch.Tensor:
    return (SCORES[:, :2] if targets.ndim == SCORES.ndim else SCORES).clone().requires_grad_()


def test_a_loss_prefers_the_true_regions(loss: LossFunction) -> None:
    right = 9.0 * (2.0 * REGIONS - 1.0)
    assert loss(right, REGIONS) < loss(-right, REGIONS)


def test_a_loss_takes_regions_as_numbers_too(loss: LossFunction) -> None:
    logits = scores_for(REGIONS)
    assert torch.allclose(loss(logits, REGIONS.float()), loss(logits, REGIONS))


def test_ignored_voxels_do_not_count(loss: LossFunction, targets: torch.Tensor) -> None:
    logits = scores_for(targets)
    value = loss(logits, targets, VALID)
    value.backward()
    hidden = ~VALID if targets.ndim == VALID.ndim else ~VALID[:, None]
    changed = torch.where(hidden, torch.zeros_like(targets), targets)
    elsewhere = torch.where(~VALID[:, None], -2 * logits, logits)
    assert torch.allclose(loss(elsewhere, changed, VALID), value)
    assert not logits.grad[~VALID[:, None].expand_as(logits)].any()
    assert logits.grad[VALID[:, None].expand_as(logits)].any()


def test_a_patch_that_nobody_annotated_teaches_nothing(
    loss: LossFunction, targets: torch.Tensor
) -> None:
    logits = scores_for(targets)
    value = loss(logits, targets, torch.zeros_like(VALID))
    value.backward()
    assert torch.isfinite(value)
    assert not logits.grad.any()


def test_a_sample_that_nobody_annotated_leaves_the_others(
    loss: LossFunction, targets: torch.Tensor
) -> None:
    valid = torch.stack([torch.ones(SPACE), torch.zeros(SPACE)]).bool()
    logits = scores_for(targets)
    loss(logits, targets, valid).backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0].any()
