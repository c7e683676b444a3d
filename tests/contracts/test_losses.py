"""Every registered loss keeps the same promises; a new file in autoseg/losses is tested unasked."""

import pytest
import torch
from pydantic import TypeAdapter

from autoseg.architectures import NetworkOutput
from autoseg.core.errors import UnknownComponent
from autoseg.losses import LOSSES, Loss, build
from autoseg.losses.base import AnyLoss
from autoseg.training.deep_supervision import supervised_loss


@pytest.fixture(params=list(LOSSES))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def loss(kind: str) -> Loss:
    return LOSSES[kind]()


@pytest.mark.parametrize("space", [(8, 8), (4, 8, 8)], ids=["2d", "3d"])
def test_a_loss_prefers_the_truth(loss: Loss, space: tuple[int, ...]) -> None:
    labels = torch.randint(0, 3, (2, *space), generator=torch.Generator().manual_seed(0))
    right = 9.0 * torch.nn.functional.one_hot(labels, 3).movedim(-1, 1)
    assert loss(right, labels) < loss(-right, labels)


def test_a_loss_survives_a_patch_without_foreground(loss: Loss) -> None:
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


def test_a_loss_prefers_the_true_regions(loss: Loss) -> None:
    right = 9.0 * (2.0 * REGIONS - 1.0)
    assert loss(right, REGIONS) < loss(-right, REGIONS)


def test_a_loss_takes_regions_as_numbers_too(loss: Loss) -> None:
    logits = scores_for(REGIONS)
    assert torch.allclose(loss(logits, REGIONS.float()), loss(logits, REGIONS))


def test_ignored_voxels_do_not_count(loss: Loss, targets: torch.Tensor) -> None:
    logits = scores_for(targets)
    value = loss(logits, targets, VALID)
    value.backward()
    hidden = ~VALID if targets.ndim == VALID.ndim else ~VALID[:, None]
    changed = torch.where(hidden, torch.zeros_like(targets), targets)
    elsewhere = torch.where(~VALID[:, None], -2 * logits, logits)
    assert torch.allclose(loss(elsewhere, changed, VALID), value)
    assert not logits.grad[~VALID[:, None].expand_as(logits)].any()
    assert logits.grad[VALID[:, None].expand_as(logits)].any()


def test_a_patch_that_nobody_annotated_teaches_nothing(loss: Loss, targets: torch.Tensor) -> None:
    logits = scores_for(targets)
    value = loss(logits, targets, torch.zeros_like(VALID))
    value.backward()
    assert torch.isfinite(value)
    assert not logits.grad.any()


def test_nor_do_scores_whose_sum_half_precision_cannot_hold(
    loss: Loss, targets: torch.Tensor
) -> None:
    logits = (30_000 * scores_for(targets).detach().abs().clamp(1, 2)).half().requires_grad_()
    value = loss(logits, targets, torch.zeros_like(VALID))
    value.backward()
    assert torch.isfinite(value)
    assert not logits.grad.any()


def test_a_sample_that_nobody_annotated_leaves_the_others(
    loss: Loss, targets: torch.Tensor
) -> None:
    valid = torch.stack([torch.ones(SPACE), torch.zeros(SPACE)]).bool()
    logits = scores_for(targets)
    loss(logits, targets, valid).backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0].any()


def test_a_loss_is_built_by_its_name(kind: str) -> None:
    logits = scores_for(CLASSES).detach()
    assert torch.equal(build(kind)(logits, CLASSES), LOSSES[kind]()(logits, CLASSES))


def test_an_unknown_loss_is_answered_with_all_kinds(kind: str) -> None:
    with pytest.raises(UnknownComponent, match=rf"\b{kind}\b"):
        build("hinge")


BLOCKS = torch.zeros(2, 8, 8, dtype=torch.int64)
BLOCKS[0, 1:5, 1:6], BLOCKS[0, 5:7, 2:7], BLOCKS[1, 2:4, 3:8], BLOCKS[1, 5:, :4] = 1, 2, 2, 1
BLOCK_REGIONS = torch.stack([BLOCKS > 0, BLOCKS == 2], dim=1)


@pytest.mark.parametrize("labels", [BLOCKS, BLOCK_REGIONS], ids=["classes", "regions"])
def test_following_the_gradient_leads_to_the_truth(kind: str, labels: torch.Tensor) -> None:
    channels = 3 if labels is BLOCKS else 2
    random = torch.Generator().manual_seed(1)
    members = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1) if channels == 3 else labels
    hint = 0.3 * members  # mutual information alone is as glad about the opposite
    logits = (hint + 0.1 * torch.randn(2, channels, 8, 8, generator=random)).requires_grad_()
    loss, optimizer = build(kind), torch.optim.Adam([logits], lr=0.2)
    for _ in range(60):
        optimizer.zero_grad()
        loss(logits, labels).backward()
        optimizer.step()
    found = logits.argmax(dim=1) if labels is BLOCKS else logits > 0
    assert (found == labels).double().mean() > 0.97


@pytest.mark.parametrize("index", [0, 1], ids=["all background", "all of one class"])
@pytest.mark.parametrize("strength", [60.0, -60.0], ids=["right", "wrong"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_extreme_logits_of_uniform_patches_are_finite(
    loss: Loss, index: int, strength: float, dtype: torch.dtype
) -> None:
    labels = torch.full((1, 4, 6), index)
    truth = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1)
    for targets, members in ((labels, truth), (truth[:, 1:] > 0, truth[:, 1:])):
        logits = (strength * (2 * members - 1)).to(dtype).requires_grad_()
        value = loss(logits, targets)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(logits.grad).all()


def test_extreme_logits_of_mixed_patches_are_finite(loss: Loss, targets: torch.Tensor) -> None:
    logits = (60 * scores_for(targets).detach().sign()).bfloat16().requires_grad_()
    value = loss(logits, targets)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


def test_autocast_does_not_narrow_a_loss(loss: Loss, targets: torch.Tensor) -> None:
    logits = scores_for(targets).detach().bfloat16()
    expected = loss(logits.float(), targets, VALID)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(logits, targets, VALID)
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, rtol=1e-6)


def test_the_gradient_is_that_of_the_value(loss: Loss, targets: torch.Tensor) -> None:
    logits = scores_for(targets).detach().double().requires_grad_()
    found = torch.autograd.gradcheck(
        lambda scores: loss(scores, targets, VALID), logits, fast_mode=True
    )
    assert found


def test_a_flat_volume_is_a_slice(loss: Loss, targets: torch.Tensor) -> None:
    logits = scores_for(targets).detach()
    flat = loss(logits[:, :, None], targets.unsqueeze(-3), VALID[:, None])
    assert torch.allclose(flat, loss(logits, targets, VALID), rtol=1e-5)


def test_the_order_of_samples_does_not_matter(loss: Loss, targets: torch.Tensor) -> None:
    logits = scores_for(targets).detach()
    swapped = loss(logits.flip(0), targets.flip(0), VALID.flip(0))
    assert torch.allclose(swapped, loss(logits, targets, VALID), rtol=1e-5)


def test_a_patch_of_one_voxel_is_enough(loss: Loss, targets: torch.Tensor) -> None:
    logits = scores_for(targets).detach()[:1, :, :1, :1].requires_grad_()
    value = loss(logits, targets[:1, ..., :1, :1])
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("space", [(16, 16), (8, 16, 16)], ids=["2d", "3d"])
def test_every_resolution_of_the_decoder_is_supervised(loss: Loss, space: tuple[int, ...]) -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, *space), generator=random)
    sizes = [tuple(max(1, size // shrink) for size in space) for shrink in (1, 2, 4, 16)]
    scores = [torch.randn(2, 3, *size, generator=random).requires_grad_() for size in sizes]
    output = NetworkOutput(logits=scores[0], auxiliary=tuple(scores[1:]))
    supervised_loss(loss, output, labels).backward()
    assert all(torch.isfinite(logits.grad).all() for logits in scores)
    assert all(logits.grad.any() for logits in scores[:-1])


def kinds_with(field: str) -> list[str]:
    return [kind for kind in LOSSES if field in LOSSES[kind].model_fields]


@pytest.mark.parametrize("kind", kinds_with("pool"))
def test_pooling_over_a_batch_of_one_is_pooling_over_the_sample(kind: str) -> None:
    logits = scores_for(CLASSES).detach()
    alone, first = (logits[:1], CLASSES[:1], VALID[:1]), (logits, CLASSES, VALID)
    by_sample, by_batch = build(kind, pool="sample"), build(kind, pool="batch")
    assert torch.allclose(by_batch(*alone), by_sample(*alone))
    assert not torch.allclose(by_batch(*first), by_sample(*first))


@pytest.mark.parametrize("kind", kinds_with("class_weights"))
def test_class_weights_of_one_are_none_and_others_change_the_value(
    kind: str, targets: torch.Tensor
) -> None:
    logits = scores_for(targets).detach()
    count = logits.shape[1]
    plain = build(kind)(logits, targets, VALID)
    equal = build(kind, class_weights=(1.0,) * count)(logits, targets, VALID)
    other = build(kind, class_weights=(1.0, 3.0, 9.0)[:count])(logits, targets, VALID)
    assert torch.allclose(equal, plain)
    assert not torch.allclose(other, plain)


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_a_loss_stays_a_loss_while_training_goes_on(kind: str, progress: float) -> None:
    config = LOSSES[kind]()
    now = config.at(progress)
    assert now.kind == kind
    assert (now == config) or "progress" in LOSSES[kind].model_fields
    assert torch.isfinite(now(scores_for(CLASSES), CLASSES))
