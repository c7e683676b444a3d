import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from autoseg.losses.dice_ce import DiceCrossEntropy, soft_dice

LABELS = torch.tensor([[[0, 1], [2, 1]], [[0, 0], [0, 2]]])


def logits_of(labels: torch.Tensor, strength: float) -> torch.Tensor:
    return strength * F.one_hot(labels, 3).movedim(-1, 1).float()


def test_a_perfect_prediction_costs_nothing() -> None:
    loss = DiceCrossEntropy().build()
    assert float(loss(logits_of(LABELS, 60.0), LABELS)) == pytest.approx(0.0, abs=1e-4)


def test_dice_of_a_hand_computed_case() -> None:
    # class 1: one voxel of two found, nothing else predicted -> 2·1/(1+2); class 2: perfect
    labels = torch.tensor([[[1, 1], [2, 0]]])
    predicted = torch.tensor([[[1, 0], [2, 0]]])
    probabilities = F.one_hot(predicted, 3).movedim(-1, 1).float()
    value = soft_dice(probabilities, labels, pool="sample", smooth=1e-5)
    assert float(value) == pytest.approx((2 / 3 + 1) / 2, abs=1e-4)


def test_pooling_over_the_batch_forgives_a_sample_without_the_class() -> None:
    # the second sample has no class 1, but 1 voxel of it is predicted there
    labels = torch.tensor([[[1, 1], [1, 1]], [[0, 0], [0, 0]]])
    predicted = torch.tensor([[[1, 1], [1, 1]], [[1, 0], [0, 0]]])
    probabilities = F.one_hot(predicted, 2).movedim(-1, 1).float()
    apart = soft_dice(probabilities, labels, pool="sample", smooth=1e-5)
    together = soft_dice(probabilities, labels, pool="batch", smooth=1e-5)
    assert float(apart) == pytest.approx(0.5, abs=1e-4)
    assert float(together) == pytest.approx(8 / 9, abs=1e-4)


def test_empty_classes_predicted_empty_are_perfect() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    probabilities = F.one_hot(labels, 3).movedim(-1, 1).float()
    assert float(soft_dice(probabilities, labels, pool="sample", smooth=1e-5)) == pytest.approx(1.0)


def test_class_weights_weigh_the_cross_entropy() -> None:
    logits = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    config = DiceCrossEntropy(class_weights=(1.0, 2.0, 4.0), dice_weight=0.0)
    expected = F.cross_entropy(logits, LABELS, weight=torch.tensor([1.0, 2.0, 4.0]))
    assert float(config.build()(logits, LABELS)) == pytest.approx(float(expected))


@pytest.mark.parametrize("strength", [60.0, -60.0])
def test_extreme_logits_keep_finite_gradients_in_bfloat16(strength: float) -> None:
    logits = logits_of(LABELS, strength).bfloat16().requires_grad_()
    loss = DiceCrossEntropy().build()(logits, LABELS)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


class LargestTensor(TorchDispatchMode):
    """Notes the bytes of the largest tensor that any operation gives."""

    num_bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.num_bytes = max(self.num_bytes, result.numel() * result.element_size())
        return result


def test_nothing_larger_than_the_logits_is_made_which_counts_with_many_classes() -> None:
    logits = torch.zeros(1, 40, 8, 8)
    loss = DiceCrossEntropy().build()
    with LargestTensor() as largest:
        loss(logits, torch.zeros(1, 8, 8, dtype=torch.int64))
    assert largest.num_bytes <= logits.numel() * logits.element_size()
