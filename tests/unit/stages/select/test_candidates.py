"""Which configurations are compared, and on which folds."""

from pathlib import Path

import pytest

from autoseg.core.labels import LabelScheme
from autoseg.documents.plan import Configuration
from autoseg.documents.report import ClassScores
from autoseg.evaluation.cases import ScoredCase
from autoseg.evaluation.summary import build_report
from autoseg.stages.select.candidates import ScoredFold, TrainedConfiguration, build_comparison

LABELS = LabelScheme(names=("ground", "organ"), values=(0, 1))
NUM_FOLDS = 3


def report(names, seconds=None):
    scores = ClassScores(
        dice=0.5, iou=0.4, hd95_mm=1, assd_mm=1, nsd=0.5, reference_voxels=9, predicted_voxels=9
    )
    cases = [
        ScoredCase(name=name, tolerance_mm=1.0, values=(1,), scores=(scores,)) for name in names
    ]
    return build_report(cases, labels=LABELS).model_copy(update={"seconds_per_case": seconds})


def trained(name, *folds, seconds=()):
    """Return a configuration; fold k holds out the cases k0 and k1."""
    times = dict(zip(folds, seconds, strict=False))
    return TrainedConfiguration(
        configuration=Configuration.model_construct(name=name),
        labels=LABELS,
        folds=tuple(
            ScoredFold(
                number=number,
                folder=Path(name) / f"fold_{number}",
                report=report([f"{number}0", f"{number}1"], times.get(number)),
            )
            for number in folds
        ),
        missing=tuple(number for number in range(NUM_FOLDS) if number not in folds),
    )


def names(entries):
    return [entry.name for entry in entries]


@pytest.mark.parametrize(
    ("found", "allow_missing_folds", "expected", "folds"),
    [
        ([("2d", 0, 1, 2), ("3d", 0, 1, 2)], False, ["2d", "3d"], (0, 1, 2)),
        ([("2d", 0, 1, 2), ("3d", 0)], False, ["2d"], (0, 1, 2)),
        ([("2d", 0, 1, 2), ("3d", 0)], True, ["2d", "3d"], (0,)),
        ([("2d", 0), ("3d", 0, 1)], False, ["2d", "3d"], (0,)),
        ([("2d", 0, 1), ("3d", 2)], False, ["2d"], (0, 1)),
    ],
    ids=["all whole", "whole only", "missing folds allowed", "none whole", "no fold in common"],
)
def test_configurations_that_share_folds_are_compared(found, allow_missing_folds, expected, folds):
    entries = [trained(*entry) for entry in found]
    comparison = build_comparison(entries, NUM_FOLDS, allow_missing_folds=allow_missing_folds)
    assert names(comparison.trained) == expected
    assert comparison.folds == folds
    assert names(comparison.left_out) == [name for name in names(entries) if name not in expected]


def test_common_cases_are_those_of_the_common_folds():
    comparison = build_comparison(
        [trained("2d", 0), trained("3d", 0, 1)], NUM_FOLDS, allow_missing_folds=False
    )
    assert comparison.cases == {"00", "01"}


def test_a_case_belongs_to_the_fold_that_held_it_out():
    assert trained("2d", 0, 2).fold_of("21").number == 2


def test_seconds_are_averaged_over_the_cases_of_folds_that_know_them():
    assert trained("2d", 0, 1, seconds=(2.0, 4.0)).seconds_per_case == 3.0
    assert trained("2d", 0, 1, seconds=(2.0,)).seconds_per_case == 2.0
    assert trained("2d", 0, 1).seconds_per_case is None
