"""A step is accepted if its own targets' Dice rises and no target's Dice falls."""

import numpy as np
import pytest

from autoseg.core.labels import LabelScheme, Region
from autoseg.evaluation.postprocessing import Trial, decide_step, target_dice, trial_rounds

CLASSES = LabelScheme(names=("ground", "liver", "tumour"), values=(0, 1, 7))
REGIONS = LabelScheme(
    names=("ground", "oedema", "core"),
    values=(0, 1, 2),
    regions=(
        Region(name="whole", values=(1, 2), written_as=1),
        Region(name="core", values=(2,), written_as=2),
    ),
)
NAN = np.nan
BOTH = Trial(values=(1, 7), about=(0, 1))
FIRST = Trial(values=(1,), about=(0,))


def labels(*values):
    return np.array([values], dtype=np.uint8)


def test_all_foreground_comes_first_and_then_all_classes_in_one_round():
    assert trial_rounds(CLASSES) == ((BOTH,), (FIRST, Trial(values=(7,), about=(1,))))


def test_a_single_class_is_all_foreground_and_tried_once():
    single = LabelScheme(names=("ground", "liver"), values=(0, 255))
    assert trial_rounds(single) == ((Trial(values=(255,), about=(0,)),),)


def test_regions_that_overlap_get_a_round_each():
    first, second, third = trial_rounds(REGIONS)
    assert first == (Trial(values=(1, 2), about=(0, 1)),)
    assert second == (Trial(values=(1, 2), about=(0,)),)
    assert third == (Trial(values=(2,), about=(1,)),)


def test_the_dice_of_each_target_is_that_of_its_values():
    found = target_dice(labels(1, 1, 2, 0), labels(1, 2, 2, 0), REGIONS)
    assert found == pytest.approx([1.0, 2 / 3])


def test_a_target_that_neither_has_is_not_defined():
    assert target_dice(labels(1, 0), labels(1, 1), CLASSES) == pytest.approx(
        [2 / 3, NAN], nan_ok=True
    )


def test_voxels_that_nobody_annotated_do_not_count():
    scheme = CLASSES.model_copy(update={"ignore": 9})
    found = target_dice(labels(1, 1, 7), labels(1, 9, 9), scheme)
    assert found == pytest.approx([1.0, NAN], nan_ok=True)


def test_a_step_that_raises_the_mean_is_kept_with_its_numbers():
    before, after = np.array([[0.5, 0.5], [0.7, 0.5]]), np.array([[0.7, 0.5], [0.7, 0.6]])
    step = decide_step(BOTH, before, after)
    assert step.values == (1, 7)
    assert (step.dice_before, step.dice_after) == pytest.approx((0.55, 0.625))


def test_a_step_that_lowers_one_class_is_not_kept():
    assert decide_step(BOTH, np.array([[0.5, 0.5]]), np.array([[0.9, 0.49]])) is None


def test_a_step_that_changes_nothing_is_not_kept():
    table = np.array([[0.1, 0.2], [0.3, NAN]])
    assert decide_step(BOTH, table, table.copy()) is None


def test_a_step_is_kept_for_what_it_is_about_alone():
    before, after = np.array([[0.5, 0.5]]), np.array([[0.5, 0.9]])
    assert decide_step(FIRST, before, after) is None


def test_removing_spurious_components_raises_a_mean():
    """The case then lacks the class, so its Dice is undefined instead of 0."""
    before, after = np.array([[0.0, 0.5], [0.8, 0.5]]), np.array([[NAN, 0.5], [0.8, 0.5]])
    assert decide_step(FIRST, before, after).dice_after == pytest.approx(0.8)


def test_a_class_that_no_reference_has_decides_nothing():
    before, after = np.array([[0.0, 0.5]]), np.array([[NAN, 0.5]])
    assert decide_step(FIRST, before, after) is None
    assert decide_step(BOTH, np.full((2, 2), NAN), np.full((2, 2), NAN)) is None
