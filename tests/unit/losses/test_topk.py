import numpy as np
import pytest
import torch
from voxel_cases import voxel_case

from autoseg.losses import build

CASE = voxel_case(5, 6)


def test_the_hardest_tenth_of_the_batch_counts() -> None:
    hardest = np.sort(-np.log(CASE.true_scores).ravel())[-6:]
    assert float(build("topk")(CASE.logits, CASE.labels)) == pytest.approx(hardest.mean())


def test_the_share_is_one_of_the_valid_voxels() -> None:
    costs = np.sort(-np.log(CASE.true_scores)[CASE.valid.numpy()])
    count = round(0.25 * len(costs))
    found = build("topk", fraction=0.25)(CASE.logits, CASE.labels, CASE.valid)
    assert float(found) == pytest.approx(costs[-count:].mean())


def test_all_voxels_are_cross_entropy() -> None:
    whole = build("topk", fraction=1.0)(CASE.logits, CASE.labels)
    assert float(whole) == pytest.approx(float(build("cross_entropy")(CASE.logits, CASE.labels)))


def test_at_least_one_voxel_counts() -> None:
    logits = torch.tensor([[[[0.0, 3.0]], [[0.0, 0.0]]]])
    found = build("topk")(logits, torch.tensor([[[0, 1]]]))
    assert float(found) == pytest.approx(np.log(1 + np.exp(3)))


def test_weights_choose_the_hardest_and_divide() -> None:
    # costs log 2 and log 4, weighted 3·log 2 > log 4: the first is chosen, its mean is log 2
    logits = torch.tensor([[[[0.0, np.log(3.0)]], [[0.0, 0.0]]]])
    loss = build("topk", fraction=0.5, class_weights=(3.0, 1.0))
    assert float(loss(logits, torch.tensor([[[0, 1]]]))) == pytest.approx(np.log(2))
