"""Largest components are kept where held-out cases say that it helps, and only there."""

from pathlib import Path

import numpy as np
import pytest
from synthetic import write_volume

from autoseg.core.errors import CaseError
from autoseg.core.labels import LabelScheme, Region
from autoseg.core.progress import Silent
from autoseg.readers import read_labels
from autoseg.stages.evaluate.evaluate import LabelMapPair
from autoseg.stages.select.components import apply_steps, find_steps

LABELS = LabelScheme(names=("ground", "organ", "lesion"), values=(0, 1, 2))
REGIONS = LABELS.model_copy(
    update={
        "regions": (
            Region(name="whole", values=(1, 2), written_as=1),
            Region(name="lesion", values=(2,), written_as=2),
        )
    }
)
SHAPE = (6, 12, 12)


def boxes(*parts: tuple[int, int, int]) -> np.ndarray:
    """Return a label map; each part is a value, its first row and its number of rows."""
    values = np.zeros(SHAPE, dtype=np.uint8)
    for value, row, rows in parts:
        values[1:5, row : row + rows, 3:9] = value
    return values


def pair(folder: Path, name: str, predicted: np.ndarray, expected: np.ndarray) -> LabelMapPair:
    for kind, values in (("predicted", predicted), ("expected", expected)):
        write_volume(values, folder / kind / f"{name}.nii.gz", spacing=(2.0, 1.0, 1.0))
    return LabelMapPair(
        name, folder / "predicted" / f"{name}.nii.gz", folder / "expected" / f"{name}.nii.gz"
    )


def steps_of(pairs, labels=LABELS):
    return find_steps(pairs, labels, workers=1, progress=Silent())


def test_specks_apart_from_all_foreground_are_removed(tmp_path):
    expected = boxes((1, 1, 3), (2, 4, 2))
    pairs = [pair(tmp_path, "a", boxes((1, 1, 3), (2, 4, 2), (1, 10, 1)), expected)]
    (step,) = steps_of(pairs)
    assert step.values == (1, 2)
    assert step.dice_before < step.dice_after == 1


def test_where_foreground_has_several_parts_only_the_class_with_specks_is_changed(tmp_path):
    """The lesion stands apart from the organ, so that all foreground must not be one thing."""
    expected = boxes((1, 1, 3), (2, 6, 2))
    pairs = [pair(tmp_path, "a", boxes((1, 1, 3), (2, 6, 2), (1, 10, 1)), expected)]
    (step,) = steps_of(pairs)
    assert step.values == (1,)
    assert step.dice_before == pytest.approx(6 / 7)
    assert step.dice_after == 1


def test_a_class_with_two_true_parts_keeps_both(tmp_path):
    expected = boxes((1, 1, 3), (2, 6, 2), (2, 9, 1))
    assert steps_of([pair(tmp_path, "a", expected, expected)]) == ()


def test_cases_decide_together(tmp_path):
    """What helps one case a little and hurts another much is not done."""
    speck = pair(tmp_path, "a", boxes((1, 1, 4), (1, 10, 1)), boxes((1, 1, 4)))
    two_parts = pair(tmp_path, "b", boxes((1, 1, 4), (1, 8, 3)), boxes((1, 1, 4), (1, 8, 3)))
    assert len(steps_of([speck])) == 1
    assert steps_of([speck, two_parts]) == ()


def test_a_region_is_tried_as_the_values_it_is_made_of(tmp_path):
    expected = boxes((1, 0, 2), (2, 2, 2), (1, 6, 2))
    predicted = boxes((1, 0, 2), (2, 2, 2), (1, 6, 2), (2, 10, 1))
    (step,) = steps_of([pair(tmp_path, "a", predicted, expected)], REGIONS)
    assert step.values == (2,)
    assert step.dice_after == 1


def test_a_step_that_helps_a_region_and_hurts_the_one_around_it_is_not_done(tmp_path):
    """What is removed becomes background, and here it lies within the larger region."""
    expected = boxes((1, 1, 3), (2, 4, 3))
    predicted = expected.copy()
    predicted[1:5, 1, 3:9] = 2
    assert steps_of([pair(tmp_path, "a", predicted, expected)], REGIONS) == ()


def test_only_changed_label_maps_are_written_with_their_geometry(tmp_path):
    expected = boxes((1, 1, 3))
    pairs = [
        pair(tmp_path, "changed", boxes((1, 1, 3), (1, 10, 1)), expected),
        pair(tmp_path, "same", expected, expected),
    ]
    steps = steps_of(pairs)
    (changed,) = apply_steps(pairs, steps, tmp_path / "after", 0, workers=1, progress=Silent())
    assert changed.name == "changed"
    assert [path.name for path in (tmp_path / "after").iterdir()] == ["changed.nii.gz"]
    found, wanted = read_labels(changed.prediction), read_labels(changed.reference)
    np.testing.assert_array_equal(found.values, wanted.values)
    assert found.geometry.difference(wanted.geometry, SHAPE) is None


def test_a_label_map_that_cannot_be_read_is_named(tmp_path):
    broken = pair(tmp_path, "broken", boxes(), boxes())
    broken.prediction.write_bytes(b"nothing")
    with pytest.raises(CaseError, match=r"^broken: "):
        steps_of([broken])
