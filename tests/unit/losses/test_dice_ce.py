import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from autoseg.losses.dice import Dice
from autoseg.losses.dice_ce import DiceCrossEntropy
from autoseg.losses.soft_counts import masked

LABELS = torch.tensor([[[0, 1], [2, 1]], [[0, 0], [0, 2]]])


def foreground_of(labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    return F.one_hot(labels, num_classes).movedim(-1, 1).float()[:, 1:]


def logits_of(labels: torch.Tensor, strength: float) -> torch.Tensor:
    return strength * F.one_hot(labels, 3).movedim(-1, 1).float()


def test_a_perfect_prediction_costs_nothing() -> None:
    loss = DiceCrossEntropy()
    assert float(loss(logits_of(LABELS, 60.0), LABELS)) == pytest.approx(0.0, abs=1e-4)


def test_dice_of_a_hand_computed_case() -> None:
    # class 1: one voxel of two found, nothing else predicted -> 2·1/(1+2); class 2: perfect
    labels = torch.tensor([[[1, 1], [2, 0]]])
    predicted = torch.tensor([[[1, 0], [2, 0]]])
    loss = Dice().of_probabilities(foreground_of(predicted, 3), foreground_of(labels, 3))
    assert float(1 - loss) == pytest.approx((2 / 3 + 1) / 2, abs=1e-4)


def test_pooling_over_the_batch_forgives_a_sample_without_the_class() -> None:
    # the second sample has no class 1, but 1 voxel of it is predicted there
    labels = torch.tensor([[[1, 1], [1, 1]], [[0, 0], [0, 0]]])
    predicted = torch.tensor([[[1, 1], [1, 1]], [[1, 0], [0, 0]]])
    both = foreground_of(predicted, 2), foreground_of(labels, 2)
    apart = Dice(pool="sample").of_probabilities(*both)
    together = Dice(pool="batch").of_probabilities(*both)
    assert float(1 - apart) == pytest.approx(0.5, abs=1e-4)
    assert float(1 - together) == pytest.approx(8 / 9, abs=1e-4)


def test_empty_classes_predicted_empty_are_perfect() -> None:
    nothing = foreground_of(torch.zeros(1, 4, 4, dtype=torch.int64), 3)
    assert float(Dice().of_probabilities(nothing, nothing)) == 0.0


def test_class_weights_weigh_the_cross_entropy() -> None:
    logits = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    loss = DiceCrossEntropy(class_weights=(1.0, 2.0, 4.0), dice_weight=0.0)
    expected = F.cross_entropy(logits, LABELS, weight=torch.tensor([1.0, 2.0, 4.0]))
    assert float(loss(logits, LABELS)) == pytest.approx(float(expected))


@pytest.mark.parametrize("strength", [60.0, -60.0])
def test_extreme_logits_keep_finite_gradients_in_bfloat16(strength: float) -> None:
    logits = logits_of(LABELS, strength).bfloat16().requires_grad_()
    loss = DiceCrossEntropy()(logits, LABELS)
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
    loss = DiceCrossEntropy()
    with LargestTensor() as largest:
        loss(logits, torch.zeros(1, 8, 8, dtype=torch.int64))
    assert largest.num_bytes <= logits.numel() * logits.element_size()


REGIONS = torch.stack([LABELS > 0, LABELS == 2], dim=1)
VALID = torch.tensor([[[True, True], [False, True]], [[False, True], [True, True]]])
SCORES = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(1))


def test_regions_are_scored_by_binary_cross_entropy() -> None:
    loss = DiceCrossEntropy(dice_weight=0.0)
    expected = F.binary_cross_entropy_with_logits(SCORES[:, :2], REGIONS.float())
    assert float(loss(SCORES[:, :2], REGIONS)) == pytest.approx(float(expected))


def test_dice_of_regions_counts_the_first_channel_too() -> None:
    loss = DiceCrossEntropy(cross_entropy_weight=0.0)
    expected = Dice().of_probabilities(SCORES[:, :2].sigmoid(), REGIONS)
    assert float(loss(SCORES[:, :2], REGIONS)) == pytest.approx(float(expected))


@pytest.mark.parametrize("weights", [None, (1.0, 2.0, 4.0)])
def test_the_cross_entropy_is_the_mean_over_the_valid_voxels(weights) -> None:
    loss = DiceCrossEntropy(class_weights=weights, dice_weight=0.0)
    hidden = LABELS.masked_fill(~VALID, -100)
    weight = None if weights is None else torch.tensor(weights)
    expected = F.cross_entropy(SCORES, hidden, weight=weight, ignore_index=-100)
    assert float(loss(SCORES, LABELS, VALID)) == pytest.approx(float(expected))


@pytest.mark.parametrize("labels", [LABELS, REGIONS], ids=["classes", "regions"])
def test_a_mask_of_valid_voxels_everywhere_changes_nothing(labels: torch.Tensor) -> None:
    loss = DiceCrossEntropy()
    logits = SCORES[:, : 2 if labels.ndim == 4 else 3]
    masked = loss(logits, labels, torch.ones_like(VALID))
    assert float(masked) == pytest.approx(float(loss(logits, labels)), rel=1e-6)


def test_valid_dice_is_that_of_the_valid_voxels_alone() -> None:
    keep = torch.tensor([[[True, False]]])
    probabilities = torch.tensor([[[[0.7, 0.2]]]])
    truth = torch.tensor([[[[True, True]]]])
    found = Dice().of_probabilities(*masked(probabilities, truth, keep))
    assert float(1 - found) == pytest.approx(2 * 0.7 / 1.7, abs=1e-4)


def test_weights_of_regions_weigh_their_cross_entropies() -> None:
    loss = DiceCrossEntropy(class_weights=(1.0, 3.0), dice_weight=0.0)
    logits, valid = SCORES[:, :2], VALID
    each = F.binary_cross_entropy_with_logits(logits, REGIONS.float(), reduction="none")
    means = [float(each[:, region][valid].mean()) for region in range(2)]
    expected = (means[0] + 3 * means[1]) / 4
    assert float(loss(logits, REGIONS, valid)) == pytest.approx(expected)
