"""Lay a report out as tables of text."""

from typing import NamedTuple

from autoseg.core.counting import counted
from autoseg.documents.report import METRICS, Mean, MetricName, Report
from autoseg.documents.selection import Candidate, Estimate, Selection

TITLES: dict[MetricName, str] = {
    "dice": "Dice",
    "iou": "IoU",
    "hd95_mm": "HD95 mm",
    "assd_mm": "ASSD mm",
    "nsd": "NSD",
}
"""How tables call each metric."""

UNDEFINED = "–"


class Rows(NamedTuple):
    """A table.

    Attributes:
        header: Names of the columns.
        rows: One text per column.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def report_rows(report: Report) -> Rows:
    """Return a row per class, and the mean over classes below.

    "0.912 (7)" is a mean over the 7 cases that define the metric, without a number over all; "–"
    means that no case defines it. "missed" counts cases whose prediction lacks the class,
    "invented" those whose reference does.
    """
    rows = [
        (
            entry.name,
            *(_mean_text(name, entry.means.metric(name), len(report.cases)) for name in METRICS),
            str(entry.missed),
            str(entry.invented),
        )
        for entry in report.classes
    ]
    means = (_number_text(name, report.foreground.metric(name).value) for name in METRICS)
    header = ("class", *(TITLES[name] for name in METRICS), "missed", "invented")
    return Rows(header, (*rows, ("all classes", *means, "", "")))


def case_rows(report: Report) -> Rows:
    """Return a row per case and class."""
    header = ("case", "class", *(TITLES[name] for name in METRICS))
    rows = [
        (case.name, entry.name, *(_number_text(name, scores.metric(name)) for name in METRICS))
        for case in report.cases
        for entry, scores in zip(report.classes, case.classes, strict=True)
    ]
    return Rows(header, tuple(rows))


def leaderboard_rows(selection: Selection) -> Rows:
    """Return a row per candidate, best first; 95 % intervals stand below their means.

    Configurations that lack folds come last, with the number of cases that they were scored on.
    """
    header = ("candidate", "Dice", "HD95 mm", "NSD", "s/case", "GiB")
    rows = [
        (
            _candidate_text(entry, selection),
            _estimate_text(entry.dice, "{:.3f}"),
            _estimate_text(entry.hd95_mm, "{:.2f}"),
            _estimate_text(entry.nsd, "{:.3f}"),
            UNDEFINED if entry.seconds_per_case is None else f"{entry.seconds_per_case:.3g}",
            UNDEFINED if entry.memory_gib is None else f"{entry.memory_gib:.1f}",
        )
        for entry in (*selection.candidates, *selection.left_out)
    ]
    return Rows(header, tuple(rows))


def _candidate_text(entry: Candidate, selection: Selection) -> str:
    text = "\n+ ".join(entry.members)
    if entry.members == selection.members:
        return f"{text} ←"
    if entry in selection.left_out and entry.num_cases is not None:
        return f"{text}\n({counted(entry.num_cases, 'case')} only)"
    return text


def _estimate_text(estimate: Estimate, style: str) -> str:
    if estimate.value is None:
        return UNDEFINED
    text = style.format(estimate.value)
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text}\n{style.format(estimate.low)}–{style.format(estimate.high)}"


def _mean_text(name: MetricName, mean: Mean, num_cases: int) -> str:
    text = _number_text(name, mean.value)
    return text if mean.value is None or mean.count == num_cases else f"{text} ({mean.count})"


def _number_text(name: MetricName, value: float | None) -> str:
    """Return a score with three decimals, a distance in mm with two."""
    if value is None:
        return UNDEFINED
    return f"{value:.2f}" if name.endswith("_mm") else f"{value:.3f}"
