"""A run says how good each training is, and why it does not go on with some."""

from autoseg.documents.report import ClassReport, Mean, Means, Report
from autoseg.documents.run_schedule import ScheduledTraining
from autoseg.stages.run.trainings import notes_on_dropped, score_message


def of_dice(value: float | None) -> Means:
    return Means(dice=Mean(value=value, count=value is not None))


def test_a_score_names_the_classes_that_have_one() -> None:
    classes = tuple(
        ClassReport(name=name, label=1, means=of_dice(dice), missed=0, spurious=0, absent=0)
        for name, dice in (("kidney", 0.91234), ("cyst", None))
    )
    report = Report(classes=classes, foreground=of_dice(0.91234), cases=())
    entry = ScheduledTraining(configuration="2d", fold=3, seconds=None)
    assert score_message(entry, report) == "2d, fold 3: Dice 0.912 (kidney 0.912)"
    nothing = Report(classes=classes[1:], foreground=of_dice(None), cases=())
    assert score_message(entry, nothing) == "2d, fold 3: Dice undefined"


def test_every_incomplete_candidate_is_named_with_the_reason() -> None:
    dice = {("best", fold): 0.85 for fold in range(3)}
    dice |= {("far", 0): 0.80, ("near", 0): 0.84}
    far, near, never = notes_on_dropped(["best", "far", "near", "never"], dice, 3)
    assert "far stops after fold 0" in far
    assert "0.800, more than 0.02 below the 0.850 of best" in far
    assert near == "note: near stops after 1 fold: the budget is too small for the others"
    assert "never is not trained" in never
