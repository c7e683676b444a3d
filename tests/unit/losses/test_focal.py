import numpy as np
import pytest
from voxel_cases import voxel_case

from autoseg.losses import build

CASE = voxel_case(5, 6)


def test_it_is_the_published_formula_averaged_over_voxels() -> None:
    p = CASE.true_scores
    found = build("focal")(CASE.logits, CASE.labels)
    assert float(found) == pytest.approx((-((1 - p) ** 2) * np.log(p)).mean())


def test_without_focus_it_is_cross_entropy() -> None:
    found = build("focal", gamma=0.0)(CASE.logits, CASE.labels, CASE.valid)
    expected = build("cross_entropy")(CASE.logits, CASE.labels, CASE.valid)
    assert float(found) == pytest.approx(float(expected))


def test_alpha_is_the_factor_of_the_foreground() -> None:
    p, inside = CASE.true_scores, CASE.labels.numpy() > 0
    each = np.where(inside, 0.25, 0.75) * -((1 - p) ** 2) * np.log(p)
    found = build("focal", alpha=0.25)(CASE.logits, CASE.labels)
    assert float(found) == pytest.approx(each.mean())


def test_of_regions_it_is_the_sigmoid_form() -> None:
    p, y = CASE.sigmoid, CASE.regions.numpy()
    true = np.where(y, p, 1 - p)
    found = build("focal")(CASE.logits[:, :2], CASE.regions)
    assert float(found) == pytest.approx((-((1 - true) ** 2) * np.log(true)).mean())


def test_class_weights_weigh_the_mean() -> None:
    weights = np.array([1.0, 2.0, 5.0])
    p, weight = CASE.true_scores, weights[CASE.labels.numpy()]
    expected = (weight * -((1 - p) ** 2) * np.log(p)).sum() / weight.sum()
    found = build("focal", class_weights=tuple(weights))(CASE.logits, CASE.labels)
    assert float(found) == pytest.approx(expected)
