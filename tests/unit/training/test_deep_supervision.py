import pytest
import torch
import torch.nn.functional as F

from autoseg.architectures import NetworkOutput
from autoseg.training.deep_supervision import shrunk, supervised_loss, supervision_weights


def test_weights_halve_and_sum_to_one() -> None:
    assert supervision_weights([(8, 8), (4, 4), (4, 2)]) == pytest.approx((4 / 7, 2 / 7, 1 / 7))
    assert supervision_weights([(8, 8)]) == (1.0,)


def test_outputs_of_one_resolution_weigh_the_same() -> None:
    assert supervision_weights([(8, 8)] * 4) == (0.25,) * 4


def test_labels_shrink_to_the_nearest() -> None:
    labels = torch.arange(16).reshape(1, 4, 4)
    smaller = shrunk(labels, (2, 2))
    assert smaller.shape == (1, 2, 2)
    assert set(smaller.flatten().tolist()) <= set(range(16))
    assert smaller.dtype == labels.dtype


def test_every_resolution_counts_with_its_weight() -> None:
    output = NetworkOutput(torch.full((1, 2, 4, 4), 3.0), (torch.full((1, 2, 2, 2), 9.0),))
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    value = supervised_loss(lambda logits, _: logits.mean(), output, labels)
    assert float(value) == pytest.approx(2 / 3 * 3 + 1 / 3 * 9)


@pytest.mark.parametrize("shape", [(5, 7, 9), (10, 7, 3), (4, 14, 6), (1, 1, 1)])
def test_shrinking_is_torchs_exact_nearest_neighbour(shape: tuple[int, ...]) -> None:
    labels = torch.randint(0, 5, (2, 10, 14, 18), generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(labels[:, None].double(), size=shape, mode="nearest-exact")[:, 0]
    assert torch.equal(shrunk(labels, shape), expected.long())
