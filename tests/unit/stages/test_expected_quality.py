"""What a prediction says of its own quality."""

from autoseg.core.labels import LabelScheme
from autoseg.core.progress import Silent
from autoseg.documents.quality import CaseAgreement, QualityCurve
from autoseg.stages.expected_quality import say_expected_dice

LABELS = LabelScheme(names=("ground", "organ", "lesion"), values=(0, 1, 2))
ORGAN = QualityCurve(name="organ", agreements=(0.5, 1.0), dice=(0.4, 0.9), error=0.05, cases=9)


class Listening(Silent):
    def __init__(self):
        self.said = []

    def say(self, message):
        self.said.append(message)


def said(*targets, curves=(ORGAN,)):
    progress = Listening()
    say_expected_dice([CaseAgreement(name="a", targets=targets)], curves, LABELS, progress)
    return progress.said


def test_each_class_with_a_curve_and_an_agreement_is_named():
    assert said(0.75, 0.9) == ["a: expected Dice: organ 0.65 ± 0.05"]


def test_beyond_what_was_seen_the_curve_is_level():
    assert said(0.1, None) == ["a: expected Dice: organ 0.40 ± 0.05"]


def test_a_class_that_was_not_found_has_no_expectation():
    assert said(None, 0.9) == []


def test_without_mirroring_there_is_no_estimate_and_that_is_said():
    assert said(None, None) == [
        "no quality estimate: the networks were not asked about mirrored images"
    ]


def test_without_curves_nothing_is_said():
    assert said(0.75, 0.9, curves=()) == []
