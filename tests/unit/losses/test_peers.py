"""Losses against MONAI, where it implements the same formula (`pip install autoseg[peers]`)."""

import warnings

import pytest
import torch
from voxel_cases import voxel_case

from autoseg.losses import build

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    monai = pytest.importorskip("monai.losses", reason="MONAI is not installed: the extra `peers`")

CASE = voxel_case(9, 10)
SOFTMAX = {"softmax": True, "to_onehot_y": True}
FOREGROUND = {**SOFTMAX, "include_background": False}
SIGMOID = {"sigmoid": True}


@pytest.mark.parametrize(
    ("kind", "settings", "peer", "given"),
    [
        ("dice", {}, "DiceLoss", FOREGROUND),
        ("dice", {"pool": "batch"}, "DiceLoss", {**FOREGROUND, "batch": True}),
        ("squared_dice", {}, "DiceLoss", {**FOREGROUND, "squared_pred": True}),
        ("generalized_dice", {}, "GeneralizedDiceLoss", SOFTMAX),
        ("tversky", {}, "TverskyLoss", {**FOREGROUND, "alpha": 0.3, "beta": 0.7}),
        ("iou", {}, "TverskyLoss", {**FOREGROUND, "alpha": 1.0, "beta": 1.0}),
        ("focal", {}, "FocalLoss", {"use_softmax": True, "to_onehot_y": True}),
        ("dice_ce", {}, "DiceCELoss", FOREGROUND),
        ("hausdorff_dt", {}, "HausdorffDTLoss", FOREGROUND),
    ],
)
def test_a_loss_of_classes_is_that_of_monai(kind, settings, peer, given) -> None:
    expected = getattr(monai, peer)(**given)(CASE.logits, CASE.labels[:, None])
    scale = 3 if kind == "focal" else 1  # MONAI averages over the zeros of the other classes too
    found = build(kind, **settings)(CASE.logits, CASE.labels)
    assert float(found) == pytest.approx(scale * float(expected), rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "peer", "given"),
    [
        ("dice", "DiceLoss", SIGMOID),
        ("generalized_dice", "GeneralizedDiceLoss", SIGMOID),
        ("tversky", "TverskyLoss", {**SIGMOID, "alpha": 0.3, "beta": 0.7}),
        ("focal", "FocalLoss", {}),
        ("hausdorff_dt", "HausdorffDTLoss", {**SIGMOID, "include_background": True}),
    ],
)
def test_a_loss_of_regions_is_that_of_monai(kind, peer, given) -> None:
    logits, regions = CASE.logits[:, :2], CASE.regions
    expected = getattr(monai, peer)(**given)(logits, regions.float())
    assert float(build(kind)(logits, regions)) == pytest.approx(float(expected), rel=1e-4)


def test_gradients_agree_too() -> None:
    ours, theirs = CASE.logits.clone().requires_grad_(), CASE.logits.clone().requires_grad_()
    build("dice_ce")(ours, CASE.labels).backward()
    monai.DiceCELoss(**FOREGROUND)(theirs, CASE.labels[:, None]).backward()
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)
