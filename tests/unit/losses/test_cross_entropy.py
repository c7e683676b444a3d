import numpy as np
import pytest
import torch
import torch.nn.functional as F
from voxel_cases import voxel_case

from autoseg.losses import build, cross_entropy

CASE = voxel_case(5, 6)


def test_it_is_the_mean_logarithm_of_the_true_classes_scores() -> None:
    found = build("cross_entropy")(CASE.logits, CASE.labels)
    assert float(found) == pytest.approx(-np.log(CASE.true_scores).mean())


def test_ignored_voxels_are_no_part_of_the_mean() -> None:
    found = build("cross_entropy")(CASE.logits, CASE.labels, CASE.valid)
    kept = CASE.true_scores[CASE.valid.numpy()]
    assert float(found) == pytest.approx(-np.log(kept).mean())


def test_of_regions_it_is_the_mean_of_binary_ones() -> None:
    found = build("cross_entropy")(CASE.logits[:, :2], CASE.regions)
    expected = F.binary_cross_entropy_with_logits(CASE.logits[:, :2], CASE.regions.float())
    assert float(found) == pytest.approx(float(expected))


def test_class_weights_weigh_the_mean_as_torch_does() -> None:
    weights = (1.0, 2.0, 5.0)
    found = build("weighted_cross_entropy", class_weights=weights)(CASE.logits, CASE.labels)
    expected = F.cross_entropy(CASE.logits, CASE.labels, weight=torch.tensor(weights))
    assert float(found) == pytest.approx(float(expected))


@pytest.mark.parametrize("valid", [None, CASE.valid], ids=["all", "valid"])
def test_class_weights_reach_a_card_without_a_wait(valid, monkeypatch) -> None:
    send, found = cross_entropy.to_device, []
    monkeypatch.setattr(
        cross_entropy, "to_device", lambda array, device: found.append(array) or send(array, device)
    )
    build("weighted_cross_entropy", class_weights=(1.0, 2.0, 5.0))(CASE.logits, CASE.labels, valid)
    (weights,) = found
    assert weights.tolist() == [1.0, 2.0, 5.0]
