"""Losses that are sums of others, or of their powers."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from voxel_cases import counts, voxel_case

from autoseg.losses import build

CASE = voxel_case(5, 6)
PAIR = (CASE.logits, CASE.labels)


@pytest.mark.parametrize(
    ("kind", "weight", "piece"),
    [
        ("dice_ce", "cross_entropy_weight", "cross_entropy"),
        ("dice_topk", "topk_weight", "topk"),
        ("dice_focal", "focal_weight", "focal"),
        ("dice_hausdorff", "hausdorff_weight", "hausdorff_dt"),
    ],
)
def test_a_compound_is_the_weighted_sum_of_its_pieces(kind, weight, piece) -> None:
    loss = build(kind, dice_weight=0.5, **{weight: 3.0})
    expected = 0.5 * build("dice")(*PAIR, CASE.valid) + 3 * build(piece)(*PAIR, CASE.valid)
    assert float(loss(*PAIR, CASE.valid)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("dice", "pool smooth"),
        ("tversky", "fp_weight fn_weight pool smooth"),
        ("dice_ce", "pool class_weights dice_weight cross_entropy_weight smooth"),
        ("dice_boundary", "first_dice_weight last_dice_weight progress pool smooth"),
        ("combo", "cross_entropy_weight miss_weight pool smooth"),
    ],
)
def test_fields_keep_their_order_because_checkpoints_hash_the_text(kind, fields) -> None:
    assert list(build(kind).model_dump()) == ["kind", *fields.split()]
    assert list(json.loads(build(kind).model_dump_json())) == ["kind", *fields.split()]


@pytest.mark.parametrize("progress", [0.0, 0.4, 1.0])
def test_dice_hands_over_to_the_boundary_as_training_goes_on(progress: float) -> None:
    weight = 1 - 0.99 * progress
    expected = weight * build("dice")(*PAIR) + (1 - weight) * build("boundary")(*PAIR)
    found = build("dice_boundary", progress=progress)(*PAIR)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_equalized_terms_are_as_large_as_each_other() -> None:
    found = build("dice_hausdorff", equalize=True)(*PAIR)
    assert float(found) == pytest.approx(2 * float(build("dice")(*PAIR)), rel=1e-5)


def test_combo_is_the_published_formula_with_one_minus_dice() -> None:
    p, y = CASE.softmax[:, 1:], CASE.one_hot[:, 1:]
    tp, fp, fn = counts(p, y)
    entropy = -0.7 * y * np.log(p) - 0.3 * (1 - y) * np.log(1 - p)
    dice = (2 * tp + 1) / (2 * tp + fp + fn + 1)
    found = build("combo", cross_entropy_weight=0.6, miss_weight=0.7)(*PAIR)
    assert float(found) == pytest.approx(0.6 * entropy.mean() + 0.4 * (1 - dice.mean()), rel=1e-5)


def test_exponential_logarithmic_is_the_published_formula() -> None:
    frequencies = np.array([0.9, 0.08, 0.02])
    weights = np.sqrt(1 / frequencies)
    tp, fp, fn = counts(CASE.softmax, CASE.one_hot)
    dice = (2 * tp + 1) / (2 * tp + fp + fn + 1)
    entropy = weights[CASE.labels.numpy()] * (-np.log(CASE.true_scores)) ** 0.3
    expected = 0.8 * ((-np.log(dice)) ** 0.3).mean() + 0.2 * entropy.mean()
    found = build("exponential_logarithmic", class_frequencies=tuple(frequencies))(*PAIR)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def unified(form: str, delta: float, gamma: float) -> float:
    """Return the unified focal loss by its equations, in NumPy."""
    p, y = CASE.softmax, CASE.one_hot
    tp, fp, fn = counts(p, y)
    index = tp / (tp + delta * fn + (1 - delta) * fp)
    side = np.array([1 - delta, delta, delta]).reshape(1, 3, 1, 1)
    if form == "symmetric":
        focus = (1 - p) ** (1 - gamma)
        tversky = (1 - index) ** gamma
    else:
        focus = np.concatenate([(1 - p[:, :1]) ** gamma, np.ones_like(p[:, 1:])], axis=1)
        tversky = np.concatenate([1 - index[:, :1], (1 - index[:, 1:]) ** (1 - gamma)], axis=1)
    entropy = (-side * focus * y * np.log(p)).sum(axis=1).mean()
    return 0.5 * entropy + 0.5 * tversky.mean()


@pytest.mark.parametrize("form", ["symmetric", "asymmetric"])
@pytest.mark.parametrize("gamma", [0.5, 0.2])
def test_unified_focal_is_the_published_formula(form: str, gamma: float) -> None:
    found = build("unified_focal", form=form, gamma=gamma)(*PAIR)
    assert float(found) == pytest.approx(unified(form, 0.6, gamma), rel=1e-5)


def test_a_region_is_a_foreground_whose_background_is_its_outside() -> None:
    logits = CASE.logits[:, :1]
    truth = CASE.labels > 0
    two_classes = torch.cat([torch.zeros_like(logits), logits], dim=1)
    for form in ("symmetric", "asymmetric"):
        loss = build("unified_focal", form=form)
        as_region = loss(logits, truth[:, None])
        assert float(as_region) == pytest.approx(float(loss(two_classes, truth.long())), rel=1e-5)


@pytest.mark.parametrize("kind", ["combo", "dice_topk", "dice_focal", "unified_focal"])
def test_a_perfect_prediction_costs_nothing(kind: str) -> None:
    logits = 60.0 * F.one_hot(CASE.labels, 3).movedim(-1, 1)
    assert float(build(kind)(logits, CASE.labels)) == pytest.approx(0.0, abs=1e-3)
