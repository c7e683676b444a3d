"""Format reports and selections as text tables."""

from collections.abc import Sequence
from typing import NamedTuple

from autoseg.core.formatting import format_count, format_value
from autoseg.core.geometry import LengthUnit
from autoseg.documents.report import Mean, Report
from autoseg.documents.selection import Candidate, Estimate, Selection
from autoseg.evaluation.metrics import METRICS, TABLE_METRICS
from autoseg.evaluation.metrics.base import Unit

MOST_COLUMNS = 3
"""Number of metrics that fit into 80 columns with their intervals."""

UNITS: dict[LengthUnit, dict[Unit, str]] = {
    "mm": {"none": "", "length": " mm", "volume": " mL"},
    "µm": {"none": "", "length": " µm", "volume": " 1000 µm³"},
    "nm": {"none": "", "length": " nm", "volume": " 1000 nm³"},
    "px": {"none": "", "length": " px", "volume": " 1000 px"},
}
"""Endings of column titles, for known and unknown voxel sizes."""


def title(metric: str, unit: LengthUnit) -> str:
    """Return the column title of a metric, given the unit of distances."""
    kind = METRICS[metric]
    return f"{kind.title}{UNITS[unit][kind.unit]}"


class Rows(NamedTuple):
    """A table.

    Attributes:
        header: Names of the columns.
        rows: One text per column.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def report_tables(report: Report, metrics: Sequence[str]) -> tuple[Rows, ...]:
    """Return the table of `report_rows`, split into several tables if it would be too wide."""
    starts = range(0, len(metrics), MOST_COLUMNS)
    return tuple(report_rows(report, metrics[start : start + MOST_COLUMNS]) for start in starts)


def report_rows(report: Report, metrics: Sequence[str] = TABLE_METRICS) -> Rows:
    """Return one row per class and a last row with the means over classes.

    95 % intervals are printed below their means. "0.912 (7)" is a mean over the 7 cases that define
    the metric; without a number, all cases define it; "–" means that no case does. "missed" counts
    cases with the class in the reference only, "spurious" cases with it in the prediction only.
    """
    rows = [
        (
            entry.name,
            *(_mean_text(entry.means.metric(name), name, len(report.cases)) for name in metrics),
            str(entry.missed),
            str(entry.spurious),
        )
        for entry in report.classes
    ]
    means = (_interval_text(report.foreground.metric(name), name) for name in metrics)
    titles = (title(name, report.distance_unit) for name in metrics)
    header = ("class", *titles, "missed", "spurious")
    return Rows(header, (*rows, ("all classes", *means, "", "")))


def calibration_lines(report: Report) -> tuple[str, ...]:
    """Return one line with the calibration error, or none if it was not measured."""
    mean = report.foreground.metric("ece")
    if mean.value is None:
        return ()
    interval = "" if mean.low is None else f" (95 % interval {mean.low:.4f}–{mean.high:.4f})"
    return (f"Expected calibration error, mean of classes: {mean.value:.4f}{interval}",)


def case_rows(report: Report, metrics: Sequence[str] = TABLE_METRICS) -> Rows:
    """Return one row per case and class."""
    header = ("case", "class", *(title(name, report.distance_unit) for name in metrics))
    rows = [
        (case.name, entry.name, *(_number_text(scores.metric(name), name) for name in metrics))
        for case in report.cases
        for entry, scores in zip(report.classes, case.classes, strict=True)
    ]
    return Rows(header, tuple(rows))


def leaderboard_rows(selection: Selection) -> Rows:
    """Return one row per candidate, best first, with 95 % intervals below the means.

    Configurations that lack folds come last, with the number of cases that they were scored on.
    """
    distance = title("hd95_mm", selection.candidates[0].distance_unit)
    header = ("candidate", "Dice", distance, "NSD", "s/case", "GiB")
    rows = [
        (
            _candidate_text(entry, selection),
            _interval_text(entry.dice, "dice"),
            _interval_text(entry.hd95_mm, "hd95_mm"),
            _interval_text(entry.nsd, "nsd"),
            format_value(entry.seconds_per_case, ".3g"),
            format_value(entry.memory_gib, ".2f"),
        )
        for entry in (*selection.candidates, *selection.left_out)
    ]
    return Rows(header, tuple(rows))


def _candidate_text(entry: Candidate, selection: Selection) -> str:
    text = "\n+ ".join(entry.members)
    if entry.members == selection.members:
        return f"{text} ←"
    if entry in selection.left_out and entry.num_cases is not None:
        return f"{text}\n({format_count(entry.num_cases, 'case')} only)"
    return text


def _mean_text(mean: Mean, metric: str, num_cases: int) -> str:
    """Format a mean with its interval below, and its number of cases unless it is over all."""
    is_partial = mean.value is not None and mean.count != num_cases
    return _interval_text(mean, metric, f" ({mean.count})" if is_partial else "")


def _interval_text(mean: Mean | Estimate, metric: str, remark: str = "") -> str:
    """Format a mean with a remark, and its interval below."""
    text = f"{_number_text(mean.value, metric)}{remark}"
    if mean.low is None or mean.high is None:
        return text
    dash = " … " if _is_signed(metric) else "–"
    return f"{text}\n{_number_text(mean.low, metric)}{dash}{_number_text(mean.high, metric)}"


def _number_text(value: float | None, metric: str) -> str:
    """Format a value: shares with three decimals, distances and volumes with two."""
    sign = "+" if _is_signed(metric) else ""
    return format_value(value, f"{sign}.{3 if METRICS[metric].unit == 'none' else 2}f")


def _is_signed(metric: str) -> bool:
    return METRICS[metric].better == "nearest zero"
