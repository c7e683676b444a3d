"""Scores are stored as one number per metric, whatever metrics exist."""

import json

import pytest
from pydantic import ValidationError

from autoseg.documents.report import ClassScores, Mean, Means

SIZES = {"reference_voxels": 5, "predicted_voxels": 4}


def test_metrics_are_stored_next_to_the_sizes() -> None:
    scores = ClassScores.model_validate({"dice": 0.5, "hd95_mm": None, **SIZES})
    stored = json.loads(scores.model_dump_json())
    assert stored == {"dice": 0.5, "hd95_mm": None, "tolerance_mm": None, **SIZES}
    assert ClassScores.model_validate_json(scores.model_dump_json()) == scores


def test_a_metric_that_was_not_measured_has_no_value() -> None:
    scores = ClassScores.model_validate({"dice": 0.5, "nsd": None, **SIZES})
    assert [scores.metric(name) for name in ("dice", "nsd", "iou")] == [0.5, None, None]
    assert scores.dice == 0.5
    means = Means.model_validate({"iou": {"value": 0.5, "count": 2}})
    assert means.metric("iou") == Mean(value=0.5, count=2)
    assert means.dice == Mean(value=None, count=0)


@pytest.mark.parametrize("value", ["NaN", "Infinity", '"high"', "[1]"])
def test_a_score_is_a_finite_number(value: str) -> None:
    text = f'{{"iou": {value}, "reference_voxels": 5, "predicted_voxels": 4}}'
    with pytest.raises(ValidationError, match="iou"):
        ClassScores.model_validate_json(text)


def test_a_mean_is_complete() -> None:
    with pytest.raises(ValidationError, match=r"iou\.count"):
        Means.model_validate({"iou": {"value": 0.5}})


def test_scores_with_a_new_metric_are_a_copy() -> None:
    scores = ClassScores.model_validate({"dice": 0.5, **SIZES})
    changed = scores.model_copy(update={"ece": 0.1, "tolerance_mm": 2.0})
    assert (changed.metric("ece"), changed.tolerance_mm, changed.dice) == (0.1, 2.0, 0.5)
    assert scores.metric("ece") is None
