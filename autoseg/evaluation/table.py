"""Lay a report out as tables of text."""

from collections.abc import Sequence
from typing import NamedTuple

from autoseg.core.geometry import LengthUnit
from autoseg.core.text import counted
from autoseg.documents.report import Means, MetricName, Report
from autoseg.documents.selection import Candidate, Estimate, Selection

TITLES: dict[MetricName, str] = {
    "dice": "Dice",
    "iou": "IoU",
    "hd95_mm": "HD95 mm",
    "assd_mm": "ASSD mm",
    "nsd": "NSD",
    "sensitivity": "sensitivity",
    "precision": "precision",
    "relative_volume_error": "volume error",
    "absolute_volume_error_ml": "|error| mL",
    "hd_mm": "HD mm",
    "lesion_f1": "lesion F1",
    "cldice": "clDice",
    "ece": "ECE",
}
"""How tables call each metric."""

TITLES_IN_PIXELS: dict[MetricName, str] = {
    "hd95_mm": "HD95 px",
    "assd_mm": "ASSD px",
    "absolute_volume_error_ml": "|error| 1000 px",
    "hd_mm": "HD px",
}
"""Those that differ where nobody knows how large voxels are."""

SHOWN: tuple[MetricName, ...] = ("dice", "hd95_mm", "nsd")
"""Shown if nothing else is asked for: overlap, distance, and how much of a surface is right."""

MOST_COLUMNS = 3
"""Metrics that fit into 80 columns with their intervals."""

SIGNED: tuple[MetricName, ...] = ("relative_volume_error",)

UNDEFINED = "–"


def title(metric: MetricName, unit: LengthUnit) -> str:
    """Return how tables call a metric whose distances are in a unit."""
    return TITLES_IN_PIXELS.get(metric, TITLES[metric]) if unit == "px" else TITLES[metric]


class Rows(NamedTuple):
    """A table.

    Attributes:
        header: Names of the columns.
        rows: One text per column.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def report_tables(report: Report, metrics: Sequence[MetricName]) -> tuple[Rows, ...]:
    """Return what `report_rows` does, as several tables if one would be too wide."""
    starts = range(0, len(metrics), MOST_COLUMNS)
    return tuple(report_rows(report, metrics[start : start + MOST_COLUMNS]) for start in starts)


def report_rows(report: Report, metrics: Sequence[MetricName] = SHOWN) -> Rows:
    """Return a row per class, and the mean over classes below; 95 % intervals below their means.

    "0.912 (7)" is a mean over the 7 cases that define the metric, without a number over all; "–"
    means that no case defines it. "missed" counts cases whose prediction lacks the class,
    "spurious" those whose reference does.
    """
    rows = [
        (
            entry.name,
            *(_mean_text(entry.means, name, len(report.cases)) for name in metrics),
            str(entry.missed),
            str(entry.spurious),
        )
        for entry in report.classes
    ]
    means = (_mean_text(report.foreground, name, None) for name in metrics)
    titles = (title(name, report.distance_unit) for name in metrics)
    header = ("class", *titles, "missed", "spurious")
    return Rows(header, (*rows, ("all classes", *means, "", "")))


def calibration_lines(report: Report) -> tuple[str, ...]:
    """Return one line on how well the probabilities are calibrated; none if nobody measured it."""
    mean = report.foreground.ece
    if mean.value is None:
        return ()
    interval = "" if mean.low is None else f" (95 % interval {mean.low:.4f}–{mean.high:.4f})"
    return (f"Expected calibration error, mean of classes: {mean.value:.4f}{interval}",)


def case_rows(report: Report, metrics: Sequence[MetricName] = SHOWN) -> Rows:
    """Return a row per case and class."""
    header = ("case", "class", *(title(name, report.distance_unit) for name in metrics))
    rows = [
        (case.name, entry.name, *(_number_text(scores.metric(name), name) for name in metrics))
        for case in report.cases
        for entry, scores in zip(report.classes, case.classes, strict=True)
    ]
    return Rows(header, tuple(rows))


def leaderboard_rows(selection: Selection) -> Rows:
    """Return a row per candidate, best first; 95 % intervals stand below their means.

    Configurations that lack folds come last, with the number of cases that they were scored on.
    """
    distance = title("hd95_mm", selection.candidates[0].distance_unit)
    header = ("candidate", "Dice", distance, "NSD", "s/case", "GiB")
    rows = [
        (
            _candidate_text(entry, selection),
            _estimate_text(entry.dice, "{:.3f}"),
            _estimate_text(entry.hd95_mm, "{:.2f}"),
            _estimate_text(entry.nsd, "{:.3f}"),
            UNDEFINED if entry.seconds_per_case is None else f"{entry.seconds_per_case:.3g}",
            UNDEFINED if entry.memory_gib is None else f"{entry.memory_gib:.2f}",
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


def _mean_text(means: Means, metric: MetricName, num_cases: int | None) -> str:
    """Return a mean, over how many cases if not over all, and its interval on a second line."""
    mean = means.metric(metric)
    text = _number_text(mean.value, metric)
    if num_cases is not None and mean.value is not None and mean.count != num_cases:
        text = f"{text} ({mean.count})"
    if mean.low is None or mean.high is None:
        return text
    dash = " … " if metric in SIGNED else "–"
    return f"{text}\n{_number_text(mean.low, metric)}{dash}{_number_text(mean.high, metric)}"


def _number_text(value: float | None, metric: MetricName) -> str:
    """Return a share with three decimals, a distance or a volume with two."""
    if value is None:
        return UNDEFINED
    if metric.endswith(("_mm", "_ml")):
        return f"{value:.2f}"
    return f"{value:+.3f}" if metric in SIGNED else f"{value:.3f}"
