"""The expected Dice that a prediction reports."""

from pathlib import Path

import pytest

from autoseg.core.labels import LabelScheme
from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.quality import CaseTtaConsistency, Quality, QualityCurve
from autoseg.stages.predict.expected_quality import QualityReport

LABELS = LabelScheme(names=("ground", "organ", "lesion"), values=(0, 1, 2))
ORGAN = QualityCurve(name="organ", agreements=(0.5, 1.0), dice=(0.4, 0.9), error=0.05, cases=9)


class Listening(Silent):
    def __init__(self):
        self.said = []

    def say(self, message):
        self.said.append(message)


@pytest.fixture
def said(tmp_path: Path):
    def report(*targets, curves=(ORGAN,), name="a", skipped=()):
        progress = Listening()
        quality = QualityReport(curves, LABELS, tmp_path, progress)
        quality.add(CaseTtaConsistency(name=name, targets=targets))
        quality.finish([tmp_path / file for file in skipped])
        return progress.said

    return report


def test_each_class_with_a_curve_and_an_agreement_is_named(said):
    assert said(0.75, 0.9) == ["a: expected Dice: organ 0.65 ± 0.05"]


def test_beyond_what_was_seen_the_curve_is_level(said):
    assert said(0.1, None) == ["a: expected Dice: organ 0.40 ± 0.05"]


def test_a_class_that_was_not_found_has_no_expectation(said):
    assert said(None, 0.9) == []


def test_without_mirroring_there_is_no_estimate_and_that_is_said(said):
    assert said(None, None) == ["no quality estimate: it requires TTA (prediction with mirroring)"]


def test_without_curves_nothing_is_said(said):
    assert said(0.75, 0.9, curves=()) == []


def test_expectations_are_written_beside_the_label_maps_and_added_to(said, tmp_path):
    said(0.75, None, name="b")
    said(1.0, None, name="a")
    written = store.load(Quality, tmp_path / Quality.FILE_NAME)
    assert [(case.name, case.targets[0].dice) for case in written.cases] == [
        ("a", 0.9),
        ("b", 0.65),
    ]


def test_without_expectations_nothing_is_written(said, tmp_path):
    said(None, None)
    assert not list(tmp_path.iterdir())


def test_label_maps_of_an_earlier_prediction_without_an_estimate_are_named(said):
    said(0.75, None, name="b")
    messages = said(1.0, None, name="a", skipped=("b.nii.gz", "c.nii.gz", "d.nii.gz"))
    assert messages[-1].startswith("no quality estimate for 2 existing label maps: c.nii")
    assert "b.nii" not in messages[-1]


def test_each_case_is_kept_as_soon_as_it_is_done(tmp_path):
    quality = QualityReport((ORGAN,), LABELS, tmp_path, Silent())
    quality.add(CaseTtaConsistency(name="a", targets=(0.75, None)))
    written = store.load(Quality, tmp_path / Quality.FILE_NAME)
    assert [case.name for case in written.cases] == ["a"]
