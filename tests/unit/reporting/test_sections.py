"""Sections: each finding is in the block in which a reader looks for it."""

import numpy as np
import pytest
from fingerprints import make_fingerprint

from autoseg.documents.report import CaseScores, ClassReport, ClassScores, Mean, Means, Report
from autoseg.documents.run import EpochRecord
from autoseg.documents.selection import Candidate, Estimate, LargestComponent, Selection
from autoseg.reporting.case_look import CaseLook
from autoseg.reporting.data_section import DataFindings, data_section, unusual_cases
from autoseg.reporting.label_errors import LabelErrors, SuspiciousRegion
from autoseg.reporting.label_section import LabelFindings, label_section
from autoseg.reporting.score_section import ScoreFindings, score_section
from autoseg.reporting.training_section import LearningCurve, training_section

SPACING = (1.0, 1.0, 1.0)


def block(section, title):
    return next(entry for entry in section.blocks if entry.title == title)


def look(name: str, seed: int) -> CaseLook:
    means = np.random.default_rng(seed).normal(size=64)
    means -= means.mean()
    means /= np.linalg.norm(means)
    return CaseLook(name, b"RIFF", means, (True,), (3,))


def data(count: int = 12, **more) -> DataFindings:
    shapes = [(20, 30, 40)] * (count - 1) + [(20, 300, 400)]
    return DataFindings(make_fingerprint(shapes, [SPACING] * count), **more)


def test_the_case_of_another_size_is_unusual():
    assert list(unusual_cases(data())) == ["case_0011"]
    rows = block(data_section(data()), "Unusual cases").rows
    assert rows[0][0] == "case_0011"
    assert "number of voxels" in rows[0][1]


def test_duplicates_across_folds_and_tests_are_a_warning():
    looks = tuple(look(f"case_{index:04d}", seed=index % 9) for index in range(10))
    tests = (look("test", seed=1),)
    held_out = {f"case_{index:04d}": f"fold {index % 2}" for index in range(12)}
    section = data_section(data(looks=looks, test_looks=tests, held_out=held_out))
    rows = block(section, "Near-duplicates").rows
    assert {(row[0], row[1], row[3]) for row in rows} == {
        ("case_0000", "case_0009", "different folds"),
        ("case_0001", "test", "training and test"),
    }
    assert any(entry.kind == "text" and entry.is_warning for entry in section.blocks)


def test_placement_names_the_case_with_the_most_components():
    looks = tuple(look(f"case_{index:04d}", seed=index) for index in range(3))
    (row,) = block(data_section(data(looks=looks)), "Placement of classes").rows
    assert row[1:5] == (3, 3, 3.0, 3)


def scores(dice: float | None, reference: int, predicted: int) -> ClassScores:
    sizes = {"reference_voxels": reference, "predicted_voxels": predicted}
    return ClassScores.model_validate({"dice": dice, **sizes})


def report() -> Report:
    cases = [("good", 0.9, 1000, 1100), ("bad", 0.2, 1000, 200), ("none", None, 0, 0)]
    means = Means.model_validate({"dice": Mean(value=0.55, count=2, low=0.2, high=0.9)})
    return Report(
        classes=(ClassReport(name="a", label=1, means=means, missed=0, spurious=0, absent=1),),
        foreground=means,
        cases=tuple(
            CaseScores(name=name, tolerance_mm=1.0, classes=(scores(*rest),))
            for name, *rest in cases
        ),
        metrics=("dice",),
        missing_predictions=("lost",),
    )


def score_findings(**more) -> ScoreFindings:
    spacings = {"good": (1.0, 1.0, 2.0), "bad": (1.0, 1.0, 2.0)}
    return ScoreFindings(report(), "Scores.", {"dice": "Dice"}, "mL", spacings, **more)


def test_the_worst_case_is_first_and_volumes_use_the_spacing():
    rows = block(score_section(score_findings()), "Scores of cases").rows
    assert [row[0] for row in rows] == ["bad", "good", "none"]
    assert rows[0][3:] == (2.0, 0.4)


def test_differences_of_volumes_are_drawn_against_their_mean():
    chart = block(score_section(score_findings()), "Volume of a")
    (series,) = chart.option["series"]
    points = {point["name"]: point["value"] for point in series["data"]}
    assert points["good"] == pytest.approx([2.1, 0.2])
    assert "none" not in points
    names = [line["name"] for line in series["markLine"]["data"]]
    assert names[1:] == ["+1.96 SD", "−1.96 SD"]


def test_cases_without_a_partner_are_a_warning():
    section = score_section(score_findings())
    warnings = [entry.lines[0] for entry in section.blocks if getattr(entry, "is_warning", False)]
    assert warnings == ["Without a partner, and not scored: lost."]


def test_the_leaderboard_marks_the_selected_model_and_its_post_processing():
    estimate = Estimate(value=0.8, low=0.7, high=0.9)
    best, other = (
        Candidate(members=(name,), dice=estimate, hd95_mm=estimate, nsd=estimate)
        for name in ("2d", "3d")
    )
    step = LargestComponent(values=(1,), dice_before=0.7, dice_after=0.8)
    selection = Selection(
        members=("2d",),
        folds=((0,),),
        postprocessing=(step,),
        reason="It is the best.",
        candidates=(best, other),
    )
    section = score_section(score_findings(selection=selection))
    assert [row[0] for row in block(section, "Leaderboard").rows] == ["2d (selected)", "3d"]
    assert block(section, "Dice with 95 % intervals")
    assert "from 0.7000 to 0.8000" in " ".join(section.blocks[1].lines)


def record(epoch: int) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        step=10 * epoch,
        seconds=5.0 * epoch,
        learning_rate=0.01,
        training_loss=1.0,
        validation_loss=None,
        pseudo_dice=(0.5, None),
    )


def test_time_per_step_is_that_between_two_epochs():
    curves = [LearningCurve("one", (record(1), record(2), record(3)), is_finished=False)]
    section = training_section(curves)
    assert section.blocks[0].lines == ("Not finished: one.",)
    (series,) = block(section, "Time per step").option["series"]
    assert series["data"] == [(20, 0.5), (30, 0.5)]


def test_suspicious_labels_are_ranked_with_their_regions():
    region = SuspiciousRegion(target=0, is_missing=True, voxels=40, centre=(6, 2, 2))
    errors = (LabelErrors("bad", 0.1, (region,)), LabelErrors("good", 0.0, ()))
    section = label_section(LabelFindings(errors, ("a",), report()))
    (row,) = block(section, "Suspicious labels").rows
    assert row == (1, "bad", 0.1, 0.2, "a predicted but not labelled, slice 7, 40 voxels")


def test_without_suspicious_labels_the_section_says_so():
    section = label_section(LabelFindings((LabelErrors("good", 0.0, ()),), ("a",), report()))
    assert len(section.blocks) == 1
    assert "No such labels were found" in section.blocks[0].lines[0]
