"""Lay a report out as tables of text."""

from typing import NamedTuple

from autoseg.documents.report import METRICS, Mean, MetricName, Report

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
            *(_mean_text(entry.means.metric(name), len(report.cases)) for name in METRICS),
            str(entry.missed),
            str(entry.invented),
        )
        for entry in report.classes
    ]
    means = (_number_text(report.foreground.metric(name).value) for name in METRICS)
    header = ("class", *(TITLES[name] for name in METRICS), "missed", "invented")
    return Rows(header, (*rows, ("all classes", *means, "", "")))


def case_rows(report: Report) -> Rows:
    """Return a row per case and class."""
    header = ("case", "class", *(TITLES[name] for name in METRICS))
    rows = [
        (case.name, entry.name, *(_number_text(scores.metric(name)) for name in METRICS))
        for case in report.cases
        for entry, scores in zip(report.classes, case.classes, strict=True)
    ]
    return Rows(header, tuple(rows))


def _mean_text(mean: Mean, num_cases: int) -> str:
    text = _number_text(mean.value)
    return text if mean.value is None or mean.count == num_cases else f"{text} ({mean.count})"


def _number_text(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.3f}"
