import numpy as np
import pytest
import torch
import torch.nn.functional as F
from copies import META, Copies
from voxel_cases import voxel_case

from autoseg.losses import build

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


@pytest.mark.parametrize("is_valid_known", [False, True])
def test_class_weights_reach_a_card_without_a_wait(is_valid_known: bool) -> None:
    loss = build("weighted_cross_entropy", class_weights=(1.0, 2.0, 5.0))
    logits, labels = CASE.logits.to(META), CASE.labels.to(META)
    valid = CASE.valid.to(META) if is_valid_known else None
    with Copies() as copies:
        loss(logits, labels, valid)
    assert copies.unsent == 0
