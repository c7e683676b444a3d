"""Scores by hand, against brute force, and at their edges."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from autoseg.evaluation.class_scores import absent_scores, mask_scores, scores_of_values
from autoseg.evaluation.comparison import surface
from autoseg.evaluation.metrics import ALL_METRICS, DEFAULT_METRICS

ABSENT = absent_scores(DEFAULT_METRICS)


def bar(length, start, stop):
    mask = np.zeros((1, length), dtype=bool)
    mask[0, start:stop] = True
    return mask


def test_overlap_by_hand():
    """4 predicted, 6 true, 3 in common."""
    scores = mask_scores(bar(12, 5, 9), bar(12, 2, 8), spacing=(1.0, 1.0), tolerance_mm=1.0)
    assert scores.dice == pytest.approx(6 / 10)
    assert scores.metric("iou") == pytest.approx(3 / 7)
    assert (scores.predicted_voxels, scores.reference_voxels) == (4, 6)


def test_surface_distances_by_hand():
    """Every voxel of a one-voxel-high bar is surface; the bars are shifted by 2 voxels of 0.5 mm.

    Predicted 3 … 8 against 1 … 6: distances 0 0 0 0 and then 0.5, 1 mm, in both directions.
    """
    scores = mask_scores(bar(12, 3, 9), bar(12, 1, 7), spacing=(3.0, 0.5), tolerance_mm=0.5)
    assert scores.metric("assd_mm") == pytest.approx(1.5 / 6)
    assert scores.metric("hd95_mm") == pytest.approx(np.percentile([0, 0, 0, 0, 0.5, 1.0], 95))
    assert scores.metric("nsd") == pytest.approx(5 / 6)


def test_the_larger_directed_percentile_counts():
    """One far predicted voxel among 3 is 10 mm off; no true voxel is off."""
    prediction = bar(20, 2, 4) | bar(20, 13, 14)
    scores = mask_scores(prediction, bar(20, 2, 4), spacing=(1.0, 1.0), tolerance_mm=1.0)
    assert scores.metric("hd95_mm") == pytest.approx(np.percentile([0, 0, 10], 95))
    assert scores.metric("assd_mm") == pytest.approx(10 / 5)


def test_a_filled_square_has_its_rim_as_surface():
    square = np.zeros((7, 7), dtype=bool)
    square[1:6, 1:6] = True
    rim = square.copy()
    rim[2:5, 2:5] = False
    np.testing.assert_array_equal(surface(square), rim)


def test_where_the_image_ends_there_is_surface():
    np.testing.assert_array_equal(
        surface(np.ones((3, 3), dtype=bool)),
        [[True, True, True], [True, False, True], [True, True, True]],
    )


def test_a_perfect_prediction():
    mask = np.zeros((6, 7, 8), dtype=bool)
    mask[2:5, 1:6, 3:7] = True
    scores = mask_scores(mask, mask.copy(), spacing=(3.0, 1.0, 1.0), tolerance_mm=0.0)
    assert (scores.dice, scores.metric("iou"), scores.metric("nsd")) == (1, 1, 1)
    assert (scores.metric("hd95_mm"), scores.metric("assd_mm")) == (0, 0)


def test_volumes_sensitivity_and_precision_by_hand():
    """4 predicted, 6 true, 3 in common; voxels of 2 × 5 × 10 mm."""
    masks = bar(12, 5, 9)[None], bar(12, 2, 8)[None]
    scores = mask_scores(*masks, spacing=(2.0, 5.0, 10.0), tolerance_mm=1.0)
    assert scores.metric("sensitivity") == pytest.approx(3 / 6)
    assert scores.metric("precision") == pytest.approx(3 / 4)
    assert scores.metric("relative_volume_error") == pytest.approx(-2 / 6)
    assert scores.metric("absolute_volume_error_ml") == pytest.approx(2 * 0.1)


def test_a_picture_has_no_volume_in_millilitres():
    scores = mask_scores(bar(9, 1, 3), bar(9, 1, 5), spacing=(1.0, 1.0), tolerance_mm=1.0)
    assert scores.metric("absolute_volume_error_ml") is None
    assert scores.metric("relative_volume_error") == -0.5


def test_only_what_is_asked_for_is_measured():
    masks = bar(12, 5, 9), bar(12, 2, 8)
    scores = mask_scores(*masks, spacing=(1.0, 1.0), tolerance_mm=1.0, metrics=("iou", "ece"))
    measured = {name for name in ALL_METRICS if scores.metric(name) is not None}
    assert measured == {"iou"}


def test_neither_mask_has_the_class():
    empty = np.zeros((4, 4), dtype=bool)
    assert mask_scores(empty, empty, spacing=(1.0, 1.0), tolerance_mm=1.0) == ABSENT
    assert ABSENT.dice is None
    assert "null" in ABSENT.model_dump_json()


@pytest.mark.parametrize("is_missed", [True, False])
def test_one_empty_mask_scores_zero_without_distances(is_missed):
    some, empty = bar(6, 2, 4), bar(6, 0, 0)
    prediction, reference = (empty, some) if is_missed else (some, empty)
    scores = mask_scores(
        prediction[None],
        reference[None],
        spacing=(1.0, 1.0, 1.0),
        tolerance_mm=1.0,
        metrics=ALL_METRICS,
    )
    assert (scores.dice, scores.metric("iou"), scores.metric("nsd")) == (0, 0, 0)
    assert (scores.metric("lesion_f1"), scores.metric("cldice")) == (0, 0)
    assert (scores.metric("hd95_mm"), scores.metric("assd_mm"), scores.metric("hd_mm")) == (
        None,
        None,
        None,
    )
    assert (scores.metric("sensitivity"), scores.metric("precision")) == (
        (0, None) if is_missed else (None, 0)
    )
    assert scores.metric("relative_volume_error") == (-1 if is_missed else None)
    assert scores.metric("absolute_volume_error_ml") == 0.002
    assert scores.reference_voxels == (2 if is_missed else 0)


def brute_force(prediction, reference, spacing, tolerance):
    """Compare all pairs of surface voxels."""

    def rim(mask):
        padded = np.pad(mask, 1)
        inside = padded.copy()
        for axis in range(mask.ndim):
            for shift in (-1, 1):
                inside &= np.roll(padded, shift, axis)
        return np.argwhere(padded & ~inside) * np.asarray(spacing)

    pairs = cdist(rim(prediction), rim(reference))
    forth, back = pairs.min(axis=1), pairs.min(axis=0)
    both = np.concatenate([forth, back])
    return (
        max(np.percentile(forth, 95), np.percentile(back, 95)),
        both.mean(),
        np.mean(both <= tolerance + 1e-9),
        both.max(),
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("shape", "spacing"), [((9, 8, 7), (2.5, 1.0, 0.8)), ((12, 11), (1.0, 2.0))]
)
def test_distances_equal_brute_force_on_random_masks(seed, shape, spacing):
    random = np.random.default_rng(seed)
    prediction, reference = (random.random(shape) < share for share in (0.3, 0.1))
    scores = mask_scores(prediction, reference, spacing=spacing, tolerance_mm=1.3)
    expected = brute_force(prediction, reference, spacing, 1.3)
    found = (
        scores.metric("hd95_mm"),
        scores.metric("assd_mm"),
        scores.metric("nsd"),
        scores.metric("hd_mm"),
    )
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("values", [(40_000, 3, 5), (4_000_000, 3, 5), (3, 0, 5)])
def test_cropping_to_each_value_changes_nothing(values):
    """Values that are counted, too large ones, and 0 where that is no background."""
    random = np.random.default_rng(0)
    prediction = random.choice([7, *values[:2]], (14, 15, 16), p=[0.9, 0.05, 0.05])
    reference = np.roll(prediction, 1, axis=1)
    reference[:3] = 7
    found = scores_of_values(
        prediction,
        reference,
        [(value,) for value in values],
        spacing=(2.0, 1.0, 1.0),
        tolerances_mm=(1.0,) * 3,
        metrics=ALL_METRICS,
    )
    for value, scores in zip(values, found, strict=True):
        whole = mask_scores(
            prediction == value,
            reference == value,
            spacing=(2.0, 1.0, 1.0),
            tolerance_mm=1.0,
            metrics=ALL_METRICS,
        )
        assert scores == whole
    assert found[2] == absent_scores(ALL_METRICS)


def test_maps_without_any_class_have_no_scores():
    empty = np.zeros((3, 4, 5), dtype=np.uint8)
    assert scores_of_values(empty, empty, (), spacing=(1.0,) * 3, tolerances_mm=()) == ()


def test_a_union_of_values_is_one_mask():
    random = np.random.default_rng(1)
    prediction = random.choice([0, 2, 5, 9], (14, 15, 16), p=[0.9, 0.04, 0.03, 0.03])
    reference = np.roll(prediction, 1, axis=0)
    settings = {"spacing": (2.0, 1.0, 1.0), "tolerance_mm": 1.0}
    union, single, absent = scores_of_values(
        prediction,
        reference,
        ((9, 2, 7), (5,), (7, 8)),
        spacing=settings["spacing"],
        tolerances_mm=(1.0, 1.0, 1.0),
    )
    masks = (np.isin(array, (2, 9)) for array in (prediction, reference))
    assert union == mask_scores(*masks, **settings)
    assert single == mask_scores(prediction == 5, reference == 5, **settings)
    assert absent == ABSENT


def test_each_value_has_a_tolerance_of_its_own():
    prediction, reference = bar(9, 3, 4) * 1, bar(9, 0, 1) * 1
    both = np.stack([prediction, prediction * 2]), np.stack([reference, reference * 2])
    first, second = scores_of_values(
        *both, ((1,), (2,)), spacing=(1.0, 1.0, 1.0), tolerances_mm=(3.0, 2.9)
    )
    assert (first.metric("nsd"), second.metric("nsd")) == (1, 0)


def test_a_distance_of_exactly_the_tolerance_is_within_it_though_it_rounds_to_more() -> None:
    assert 3 * 1.1 > 3.3
    scores = mask_scores(bar(9, 3, 4), bar(9, 0, 1), spacing=(1.0, 1.1), tolerance_mm=3.3)
    assert scores.metric("nsd") == 1
    assert (
        mask_scores(bar(9, 3, 4), bar(9, 0, 1), spacing=(1.0, 1.1), tolerance_mm=3.2999).metric(
            "nsd"
        )
        == 0
    )
