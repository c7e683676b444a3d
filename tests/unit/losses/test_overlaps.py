"""The losses that are ratios of soft counts: each against its formula, and on cases by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from voxel_cases import counts, voxel_case

from autoseg.losses import build

CASE = voxel_case(5, 6)
SOLID = voxel_case(3, 4, 5)
RATIOS = {
    "dice": lambda tp, fp, fn: 2 * tp / (2 * tp + fp + fn),
    "iou": lambda tp, fp, fn: tp / (tp + fp + fn),
    "tversky": lambda tp, fp, fn: tp / (tp + 0.3 * fp + 0.7 * fn),
    "asymmetric": lambda tp, fp, fn: 3.25 * tp / (3.25 * tp + 2.25 * fn + fp),
}
OVERLAPS = [
    *RATIOS,
    "squared_dice",
    "generalized_dice",
    "focal_tversky",
    "log_cosh_dice",
    "sensitivity_specificity",
]


@pytest.mark.parametrize("case", [CASE, SOLID], ids=["2d", "3d"])
@pytest.mark.parametrize("kind", RATIOS)
def test_a_ratio_of_counts_is_averaged_over_foreground_classes_and_samples(kind, case) -> None:
    score = RATIOS[kind](*counts(case.softmax[:, 1:], case.one_hot[:, 1:]))
    assert float(build(kind)(case.logits, case.labels)) == pytest.approx(1 - score.mean(), rel=1e-5)


@pytest.mark.parametrize("kind", RATIOS)
def test_pooled_over_the_batch_counts_are_summed_before(kind: str) -> None:
    pooled = [count.sum(axis=0) for count in counts(CASE.softmax[:, 1:], CASE.one_hot[:, 1:])]
    found = build(kind, pool="batch")(CASE.logits, CASE.labels)
    assert float(found) == pytest.approx(1 - RATIOS[kind](*pooled).mean(), rel=1e-5)


@pytest.mark.parametrize("kind", RATIOS)
def test_every_region_counts_and_ignored_voxels_do_not(kind: str) -> None:
    valid = CASE.valid.numpy()[:, None]
    score = RATIOS[kind](*counts(CASE.sigmoid * valid, CASE.regions.numpy() * valid))
    found = build(kind)(CASE.logits[:, :2], CASE.regions, CASE.valid)
    outside = (CASE.sigmoid * (1 - valid)).sum()
    assert outside > 0
    assert float(found) == pytest.approx(1 - score.mean(), rel=1e-5)


@pytest.mark.parametrize("kind", OVERLAPS)
def test_a_perfect_prediction_costs_nothing(kind: str) -> None:
    logits = 60.0 * F.one_hot(CASE.labels, 3).movedim(-1, 1)
    assert float(build(kind)(logits, CASE.labels)) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("kind", OVERLAPS)
def test_an_empty_class_that_is_predicted_empty_costs_nothing(kind: str) -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    logits = 60.0 * F.one_hot(labels, 3).movedim(-1, 1)
    assert float(build(kind)(logits, labels)) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("dice", 1 - 2 / 5),
        ("squared_dice", 1 - 2 / 5),
        ("iou", 1 - 1 / 4),
        ("tversky", 1 - 1 / (1 + 0.3 * 2 + 0.7 * 1)),
        ("focal_tversky", (1 - 1 / (1 + 0.3 * 2 + 0.7 * 1)) ** 0.75),
        ("asymmetric", 1 - 3.25 / (3.25 + 2.25 * 1 + 1 * 2)),
        ("log_cosh_dice", np.log(np.cosh(1 - 2 / 5))),
        # 2 voxels inside, 1 missed; 4 outside, 2 of them found
        ("sensitivity_specificity", 0.05 * 1 / 2 + 0.95 * 2 / 4),
        # weights 1/4 and 1/16; foreground 1 of 2 and 3, background 2 of 4 and 3
        ("generalized_dice", 1 - 2 * (1 / 4 + 2 / 16) / (5 / 4 + 7 / 16)),
    ],
)
def test_a_hand_computed_case(kind: str, expected: float) -> None:
    # one voxel of two found, two voxels wrongly found
    labels = torch.tensor([[[1, 1, 0, 0, 0, 0]]])
    predicted = torch.tensor([[[1, 0, 1, 1, 0, 0]]])
    logits = 60.0 * F.one_hot(predicted, 2).movedim(-1, 1)
    assert float(build(kind)(logits, labels)) == pytest.approx(expected, abs=1e-4)


def test_equal_tversky_weights_are_dice_and_full_ones_intersection_over_union() -> None:
    def tversky(weight: float) -> float:
        loss = build("tversky", fp_weight=weight, fn_weight=weight)
        return float(loss(CASE.logits, CASE.labels))

    assert tversky(0.5) == pytest.approx(float(build("dice")(CASE.logits, CASE.labels)), rel=1e-5)
    assert tversky(1.0) == pytest.approx(float(build("iou")(CASE.logits, CASE.labels)), rel=1e-5)


def test_squared_dice_squares_the_sizes() -> None:
    p, y = CASE.softmax[:, 1:], CASE.one_hot[:, 1:]
    axes = (2, 3)
    score = 2 * (p * y).sum(axes) / ((p**2).sum(axes) + (y**2).sum(axes))
    found = build("squared_dice")(CASE.logits, CASE.labels)
    assert float(found) == pytest.approx(1 - score.mean(), rel=1e-5)


def test_generalized_dice_weighs_by_the_inverse_square_of_the_volume() -> None:
    tp, fp, fn = counts(CASE.softmax, CASE.one_hot)
    weights = 1 / (tp + fn) ** 2
    score = 2 * (weights * tp).sum(1) / (weights * (2 * tp + fp + fn)).sum(1)
    found = build("generalized_dice")(CASE.logits, CASE.labels)
    assert float(found) == pytest.approx(1 - score.mean(), rel=1e-4)


def test_an_absent_class_leaves_generalized_dice() -> None:
    labels = CASE.labels.clamp(max=1)
    y = np.stack([labels.numpy() == index for index in range(2)], axis=1).astype(float)
    tp, fp, fn = counts(CASE.softmax[:, :2], y)
    weights = 1 / (tp + fn) ** 2
    score = 2 * (weights * tp).sum(1) / (weights * (2 * tp + fp + fn)).sum(1)
    found = build("generalized_dice")(CASE.logits, labels)
    assert float(found) == pytest.approx(1 - score.mean(), rel=1e-4)


def test_focal_tversky_takes_the_power_of_every_class() -> None:
    tp, fp, fn = counts(CASE.softmax[:, 1:], CASE.one_hot[:, 1:])
    each = (1 - tp / (tp + 0.3 * fp + 0.7 * fn)) ** 0.75
    found = build("focal_tversky")(CASE.logits, CASE.labels)
    assert float(found) == pytest.approx(each.mean(), rel=1e-5)


def test_log_cosh_dice_is_that_of_the_dice_loss() -> None:
    dice = float(build("dice")(CASE.logits, CASE.labels))
    found = build("log_cosh_dice")(CASE.logits, CASE.labels)
    assert float(found) == pytest.approx(np.log(np.cosh(dice)), rel=1e-5)


def test_sensitivity_and_specificity_are_mean_squared_errors_of_their_sides() -> None:
    p, y = CASE.softmax[:, 1:], CASE.one_hot[:, 1:]
    axes, errors = (2, 3), (p - y) ** 2
    inside = (errors * y).sum(axes) / y.sum(axes)
    outside = (errors * (1 - y)).sum(axes) / (1 - y).sum(axes)
    found = build("sensitivity_specificity", sensitivity_ratio=0.2)(CASE.logits, CASE.labels)
    assert float(found) == pytest.approx((0.2 * inside + 0.8 * outside).mean(), rel=1e-5)
