"""Calibration errors of stored probabilities, against the same computed at once."""

import numpy as np
import pytest

from autoseg.core.case import InverseTransform
from autoseg.core.errors import CaseError
from autoseg.core.labels import LabelScheme, Region
from autoseg.evaluation.cases import score_case
from autoseg.evaluation.metrics.ece import BINS
from autoseg.inference.blending import LogitsSlab
from autoseg.inference.probabilities import (
    FULL,
    ProbabilityGrid,
    open_probabilities,
    save_probabilities,
)
from autoseg.stages.evaluate.calibration import with_calibration

FULL_SHAPE, CROP, AXES = (7, 30, 24), ((3, 20), (0, 24), (1, 6)), (1, 2, 0)
CLASSES = LabelScheme(names=("air", "liver", "tumour", "stone"), values=(0, 9, 4, 7))
REGIONS = CLASSES.model_copy(
    update={
        "regions": (
            Region(name="all", values=(9, 4), written_as=9),
            Region(name="tumour", values=(4,), written_as=4),
        )
    }
)
SPARSE = CLASSES.model_copy(update={"ignore": 5})


def store(folder, labels, *, seed=0, prepared=(17, 24, 5), full_shape=FULL_SHAPE):
    """Write random probabilities of an image, and return where they lie."""
    grid = ProbabilityGrid(
        restoration=InverseTransform(
            axis_order=AXES,
            full_shape=full_shape,
            crop=CROP,
            spacing=(1.0, 1.0, 1.0),
            prepared_shape=prepared,
            prepared_spacing=(1.0, 1.0, 1.0),
        ),
        orders=(1, 1, 1),
        num_outputs=labels.num_outputs,
        is_regional=bool(labels.regions),
    )
    logits = np.random.default_rng(seed).normal(0, 3, grid.shape).astype(np.float32)
    list(save_probabilities([LogitsSlab(start=0, logits=logits)], grid, folder))
    return folder


def reference_map(labels, seed=5):
    known = [0, 9, 4] if labels.ignore is None else [0, 9, 4, labels.ignore]
    return np.random.default_rng(seed).choice(known, FULL_SHAPE).astype(np.uint8)


def at_once(folders, reference, labels):
    """Return the error of every target: all voxels in one array, bin by bin."""
    inside = np.zeros((labels.num_outputs, *(FULL_SHAPE[axis] for axis in AXES)))
    box = tuple(slice(*bounds) for bounds in CROP)
    inside[(slice(None), *box)] = np.mean(
        [open_probabilities(folder).planes(0, 17) / FULL for folder in folders], axis=0
    )
    whole = np.moveaxis(inside, -1, 1)  # axes 1, 2, 0 back to 0, 1, 2
    known = np.ones(FULL_SHAPE, bool) if labels.ignore is None else reference != labels.ignore
    errors = []
    for target, of_target in zip(labels.targets, whole[-len(labels.targets) :], strict=True):
        p, truth = of_target[known], np.isin(reference, target.values)[known]
        total = 0.0
        for low in range(BINS):
            chosen = (p > low / BINS + 1e-7) & (p <= (low + 1) / BINS + 1e-7) | (
                (p == 0) & (low == 0)
            )
            if chosen.any():
                total += chosen.mean() * abs(p[chosen].mean() - truth[chosen].mean())
        errors.append(total)
    return errors


def scores(folders, reference, labels):
    prediction = np.where(reference == labels.ignore, 0, np.roll(reference, 1, axis=1))
    prediction = np.where(prediction == labels.ignore, 0, prediction)
    case = score_case("a", prediction, reference, spacing=(1.0, 1.0, 1.0), labels=labels)
    return case, with_calibration(case, reference, folders, labels)


@pytest.mark.parametrize("num_members", [1, 2])
@pytest.mark.parametrize("labels", [CLASSES, REGIONS, SPARSE], ids=["classes", "regions", "sparse"])
def test_the_error_is_that_over_the_whole_image(labels, num_members, tmp_path):
    reference = reference_map(labels)
    folders = [store(tmp_path / str(seed), labels, seed=seed) for seed in range(num_members)]
    _, found = scores(folders, reference, labels)
    by_name = dict(
        zip(
            [t.written_as for t in labels.targets], at_once(folders, reference, labels), strict=True
        )
    )
    assert found.metrics[-1] == "ece"
    for value, entry in zip(found.values, found.scores, strict=True):
        assert entry.metric("ece") == pytest.approx(by_name[value], abs=1e-5)
    assert len(found.values) == 2  # nothing has a stone


def test_other_grids_are_interpolated(tmp_path):
    folder = store(tmp_path / "a", CLASSES, prepared=(9, 13, 3))
    _, found = scores([folder], reference_map(CLASSES), CLASSES)
    assert all(0 < entry.metric("ece") < 1 for entry in found.scores)


def test_without_probabilities_nothing_changes(tmp_path):
    before, after = scores([tmp_path / "none"], reference_map(CLASSES), CLASSES)
    assert after == before


def test_a_region_that_nothing_has_gets_no_error(tmp_path):
    reference = np.where(reference_map(REGIONS) == 4, 0, 9)
    _, found = scores([store(tmp_path / "a", REGIONS)], reference, REGIONS)
    assert [entry.metric("ece") is None for entry in found.scores] == [False, True]


def test_probabilities_of_another_image_are_refused(tmp_path):
    folder = store(tmp_path / "a", CLASSES, full_shape=(8, 30, 24))
    with pytest.raises(CaseError, match=r"of an image of \(8, 30, 24\) voxels"):
        scores([folder], reference_map(CLASSES), CLASSES)
