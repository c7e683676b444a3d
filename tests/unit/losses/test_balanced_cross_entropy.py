import numpy as np
import pytest
import torch
from voxel_cases import voxel_case

from autoseg.losses import build

CASE = voxel_case(5, 6)


def test_it_is_the_published_formula_of_every_class_against_the_rest() -> None:
    p, y = CASE.softmax[:, 1:], CASE.one_hot[:, 1:]
    outside = 1 - y.mean(axis=(2, 3), keepdims=True)
    each = -outside * y * np.log(p) - (1 - outside) * (1 - y) * np.log(1 - p)
    found = build("balanced_cross_entropy")(CASE.logits, CASE.labels)
    assert float(found) == pytest.approx(each.mean())


def test_the_share_outside_is_one_of_the_valid_voxels() -> None:
    # of two valid voxels, one is inside: each side weighs 1/2; p = 1/2 everywhere
    labels = torch.tensor([[[1, 0, 0, 0]]])
    valid = torch.tensor([[[True, True, False, False]]])
    found = build("balanced_cross_entropy")(torch.zeros(1, 2, 1, 4), labels, valid)
    assert float(found) == pytest.approx(0.5 * np.log(2))


def test_an_absent_class_teaches_nothing() -> None:
    found = build("balanced_cross_entropy")(torch.zeros(1, 2, 1, 4), torch.zeros(1, 1, 4).long())
    assert float(found) == 0.0


def test_a_wrong_certainty_costs_its_logit_and_not_infinity() -> None:
    logits = torch.tensor([[[[-30.0, -30.0]], [[30.0, 30.0]]]])
    found = build("balanced_cross_entropy")(logits, torch.tensor([[[1, 0]]]))
    assert float(found) == pytest.approx(0.5 * 60 / 2)
