"""Means leave undefined values out and say over how many cases they are."""

from dataclasses import replace

import numpy as np
import pytest

from autoseg.core.errors import CaseError
from autoseg.core.labels import LabelScheme, Region
from autoseg.documents.report import ClassScores, Mean, Report
from autoseg.documents.store import load, save
from autoseg.evaluation.cases import Measurement, ScoredCase, score_case
from autoseg.evaluation.selection import ScoredCandidate, leaderboard
from autoseg.evaluation.summary import build_report, pool_reports
from autoseg.evaluation.table import (
    calibration_lines,
    case_rows,
    report_rows,
    report_tables,
    title,
)

LABELS = LabelScheme(names=("ground", "nucleus", "rim"), values=(0, 9, 4))


def scored(name, prediction, reference, **settings):
    return score_case(
        name,
        np.array([prediction], dtype=np.uint8),
        np.array([reference], dtype=np.uint8),
        spacing=(1.0, 1.0),
        **settings,
    )


@pytest.fixture
def cases():
    """Return a perfect case, one that misses the nucleus, and one that invents it."""
    return [
        scored("perfect", [0, 9, 9, 4], [0, 9, 9, 4]),
        scored("misses", [0, 0, 0, 4], [0, 9, 9, 4]),
        scored("invents", [0, 9, 9, 0], [0, 0, 0, 0]),
    ]


def test_a_mean_is_over_the_cases_that_define_it(cases):
    report = build_report(cases, labels=LABELS)
    rim, nucleus = report.classes
    assert (nucleus.name, nucleus.label) == ("nucleus", 9)
    assert (nucleus.means.dice.value, nucleus.means.dice.count) == (pytest.approx(1 / 3), 3)
    assert (nucleus.means.metric("hd95_mm").value, nucleus.means.metric("hd95_mm").count) == (0, 1)
    assert (nucleus.missed, nucleus.spurious, nucleus.absent) == (1, 1, 0)
    assert (rim.means.dice.value, rim.means.dice.count) == (1, 2)
    assert (rim.missed, rim.spurious, rim.absent) == (0, 0, 1)
    assert report.foreground.dice.value == pytest.approx((1 / 3 + 1) / 2)


def test_classes_ascend_by_label_value_and_cases_by_name(cases):
    report = build_report(cases, labels=LABELS)
    assert [entry.label for entry in report.classes] == [4, 9]
    assert [case.name for case in report.cases] == ["invents", "misses", "perfect"]


def test_without_names_the_values_that_occur_are_the_classes(cases):
    report = build_report(cases)
    assert [entry.name for entry in report.classes] == ["label_4", "label_9"]


def test_a_class_that_never_occurs_is_left_out_of_the_mean_of_classes():
    report = build_report([scored("a", [0, 9], [0, 9])], labels=LABELS)
    assert report.classes[0].means.dice.value is None
    assert (report.foreground.dice.value, report.foreground.dice.count) == (1, 1)


def test_a_report_without_any_case_has_no_means():
    report = build_report([], labels=LABELS)
    assert report.foreground.dice.value is None


def test_undefined_values_survive_saving(cases, tmp_path):
    report = build_report(cases, labels=LABELS)
    save(report, tmp_path / "report.json")
    assert load(Report, tmp_path / "report.json") == report
    assert "NaN" not in (tmp_path / "report.json").read_text()


def test_an_unexpected_label_value_is_named():
    with pytest.raises(CaseError, match=r"label values \[200\].*\[0, 9, 4\]"):
        scored("a", [0, 200], [0, 9], labels=LABELS)


def test_a_background_that_is_not_zero_is_no_class():
    inverted = LabelScheme(names=("ground", "cell"), values=(255, 0))
    case = scored("a", [255, 0], [255, 0], labels=inverted)
    assert case.values == (0,)


def test_tables_show_means_with_counts_below_all_and_undefined_as_a_dash(cases):
    header, rows = report_rows(build_report(cases, labels=LABELS))
    assert header == ("class", "Dice", "HD95 mm", "NSD", "missed", "spurious")
    assert rows[1] == (
        "nucleus",
        "0.333\n0.000–1.000",
        "0.00 (1)",
        "0.333\n0.000–1.000",
        "1",
        "1",
    )
    assert rows[-1][1].startswith("0.667\n")
    header, rows = case_rows(build_report(cases, labels=LABELS))
    assert rows[0][:3] == ("invents", "rim", "–")
    assert len({len(row) for row in rows} | {len(header)}) == 1


def test_distances_that_no_file_gives_in_millimetres_are_called_pixels(cases):
    drawn = [replace(case, distance_unit="px") for case in cases]
    assert report_rows(build_report(cases[:1] + drawn[1:], labels=LABELS)).header[2] == "HD95 mm"
    report = build_report(drawn, labels=LABELS)
    assert report_rows(report).header[2] == case_rows(report).header[3] == "HD95 px"
    assert report_rows(pool_reports([report], ["misses"])).header[2] == "HD95 px"
    (candidate,) = leaderboard([ScoredCandidate(("2d",), report)])
    assert candidate.distance_unit == "px"


def test_more_metrics_than_fit_make_several_tables(cases):
    report = build_report(cases, labels=LABELS)
    tables = report_tables(report, report.metrics)
    headers = [header[1:-2] for header, _ in tables]
    assert [len(titles) for titles in headers] == [3, 3, 3, 2]
    found = [text for titles in headers for text in titles]
    assert found == [title(name, "mm") for name in report.metrics]
    (signed,) = [table for table in tables if "volume error" in table.header]
    text = signed.rows[1][signed.header.index("volume error")]
    assert text == "-0.500 (2)\n-1.000 … +0.000"


def test_the_calibration_error_has_a_line_where_it_was_measured(cases):
    report = build_report(cases[:1], labels=LABELS)
    assert calibration_lines(report) == ()
    means = report.foreground.model_copy(update={"ece": Mean(value=0.0123, count=1)})
    (line,) = calibration_lines(report.model_copy(update={"foreground": means}))
    assert line.endswith("mean of classes: 0.0123")
    known = Mean(value=0.0123, count=2, low=0.01, high=0.02)
    means = report.foreground.model_copy(update={"ece": known})
    (line,) = calibration_lines(report.model_copy(update={"foreground": means}))
    assert line.endswith("0.0123 (95 % interval 0.0100–0.0200)")


def test_a_mean_over_cases_has_an_interval(cases):
    rim, nucleus = build_report(cases, labels=LABELS).classes
    assert (nucleus.means.dice.low, nucleus.means.dice.high) == (0, 1)
    assert (rim.means.dice.low, rim.means.dice.high) == (1, 1)
    alone = build_report(cases[:1], labels=LABELS)
    assert (alone.foreground.dice.low, alone.foreground.dice.high) == (None, None)


def test_one_voxel_along_the_coarsest_axis_is_the_default_tolerance():
    labels = np.zeros((2, 3, 4), dtype=np.uint8)
    assert score_case("a", labels, labels, spacing=(5.0, 0.7, 0.7)).tolerance_mm == 5.0


def test_a_class_may_have_a_tolerance_of_its_own():
    measurement = Measurement(tolerance_mm=1.0, class_tolerances_mm=(("nucleus", 2.0),))
    case = scored(
        "a", [9, 0, 0, 4, 0, 0], [0, 0, 9, 0, 0, 4], labels=LABELS, measurement=measurement
    )
    report = build_report([case], labels=LABELS)
    assert [entry.means.metric("nsd").value for entry in report.classes] == [0, 1]
    assert report.cases[0].tolerance_mm == 1
    assert [entry.tolerance_mm for entry in report.cases[0].classes] == [None, 2]


def test_pooled_reports_keep_what_all_of_them_measured(cases):
    few = scored("few", [0, 9], [0, 9], measurement=Measurement(("dice", "cldice")), labels=LABELS)
    first, second = build_report(cases, labels=LABELS), build_report([few], labels=LABELS)
    assert second.metrics == ("dice", "cldice")
    assert pool_reports([first, second], {"perfect", "few"}).metrics == ("dice",)
    assert pool_reports([build_report([], labels=LABELS), second], {"few"}) == second


def test_pooled_reports_have_each_wanted_case_once(cases):
    perfect, misses, invents = cases
    first = build_report([perfect, misses], labels=LABELS)
    second = build_report([invents, scored("perfect", [0, 0, 0, 0], [0, 9, 9, 4])], labels=LABELS)
    together = pool_reports([first, second], {"perfect", "invents"})
    assert together == build_report([perfect, invents], labels=LABELS)


def test_pooling_folds_is_scoring_all_cases_at_once(cases):
    folds = [build_report([case], labels=LABELS) for case in cases]
    assert pool_reports(folds, {case.name for case in cases}) == build_report(cases, labels=LABELS)


REGIONAL = LABELS.model_copy(
    update={
        "regions": (
            Region(name="whole", values=(9, 4), written_as=4),
            Region(name="core", values=(9,), written_as=9),
        )
    }
)
SPARSE = LABELS.model_copy(update={"ignore": 7})


def test_regions_are_scored_instead_of_the_values_in_them():
    case = scored("a", [0, 4, 9, 9], [0, 9, 9, 4], labels=REGIONAL)
    whole, core = build_report([case], labels=REGIONAL).classes
    assert (whole.name, whole.label, whole.means.dice.value) == ("whole", 4, 1.0)
    assert (core.name, core.label) == ("core", 9)
    assert core.means.dice.value == pytest.approx(2 * 1 / 4)


def test_an_absent_region_has_no_scores():
    case = scored("a", [0, 4, 4, 0], [0, 4, 0, 0], labels=REGIONAL)
    whole, core = build_report([case], labels=REGIONAL).classes
    assert whole.means.dice.value == pytest.approx(2 / 3)
    assert (core.means.dice.value, core.absent) == (None, 1)


@pytest.mark.parametrize("hidden", [0, 4, 9], ids=["empty", "wrong", "right"])
def test_ignored_voxels_count_in_neither_map(hidden):
    case = scored("a", [9, 9, 4, hidden], [9, 0, 4, 7], labels=SPARSE)
    alone = scored("a", [9, 9, 4, 0], [9, 0, 4, 0], labels=LABELS)
    assert case == alone


def test_the_ignore_value_cannot_be_predicted_where_somebody_annotated():
    with pytest.raises(CaseError, match=r"found label values \[7\]"):
        scored("a", [7, 9], [9, 7], labels=SPARSE)


def test_missed_invented_and_absent_classes_are_told_apart() -> None:
    sizes = [(5, 0), (5, 0), (5, 0), (0, 4), (0, 4), (0, 0), (5, 4)]  # true and predicted voxels
    cases = [
        ScoredCase(
            name=f"case_{index}",
            tolerance_mm=1.0,
            values=(1,),
            scores=(ClassScores(reference_voxels=true, predicted_voxels=predicted),),
        )
        for index, (true, predicted) in enumerate(sizes)
    ]
    (entry,) = build_report(cases).classes
    assert (entry.missed, entry.spurious, entry.absent) == (3, 2, 1)


def test_cases_with_distances_in_another_unit_are_not_averaged(cases):
    mixed = [
        replace(case, distance_unit=unit)
        for case, unit in zip(cases, ("mm", "µm", "px"), strict=True)
    ]
    report = build_report(mixed, labels=LABELS)
    assert [case.name for case in report.cases] == ["invents", "perfect"]
    assert report.distance_unit == "mm"
    (issue,) = report.issues
    assert issue.name == "misses"
    assert issue.message.startswith("its distances are in µm, those of most cases in mm")
