"""The section of a report on the scores of predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Integer

from autoseg.core.formatting import format_value
from autoseg.documents.report import CaseScores, ClassScores, Report
from autoseg.documents.selection import Selection
from autoseg.reporting.blocks import Block, Cell, Chart, Column, Section, SliceViewer, Table, Text
from autoseg.reporting.case_look import CaseLook
from autoseg.reporting.charts import (
    Axis,
    Point,
    bar_chart,
    box_chart,
    heat_chart,
    interval_chart,
    line_chart,
    scatter_chart,
)
from autoseg.reporting.units import volume_of

MOST_BARS = 60
MOST_CLASSES = 40
CASE_METRICS = ("dice", "hd95_mm", "nsd")
"""Metrics in the table of cases."""

LIMITS_OF_AGREEMENT = 1.96
"""Standard deviations. Source: Bland and Altman, Statistical methods for assessing agreement,
The Lancet 1986."""


@dataclass(frozen=True)
class Reliability:
    """Share of the voxels that have a class, by its predicted probability.

    Attributes:
        probabilities: Mean predicted probability of each bin.
        shares: Share of the voxels of each bin that have the class.
        cases: Number of cases.
    """

    probabilities: tuple[float, ...]
    shares: tuple[float, ...]
    cases: int


@dataclass(frozen=True)
class ScoreFindings:
    """Scores of predictions with their references.

    Attributes:
        report: The scores.
        description: Sentence on what was predicted and scored.
        metric_titles: Title of each metric with its unit.
        volume_unit: Unit of volumes.
        spacings: Voxel size of each case; missing ones count in voxels.
        selection: The selected model with the leaderboard; None without one.
        held_out: Name of the fold that predicted each case.
        class_names: Names of all classes, background first, in the order of `looks`.
        looks: Looks at cases with their predictions.
        reliability: Reliability of the predicted probabilities; None if they are not stored.
        viewer: Worst, middle and best cases; None without pictures.
    """

    report: Report
    description: str
    metric_titles: Mapping[str, str]
    volume_unit: str
    spacings: Mapping[str, tuple[float, ...]]
    selection: Selection | None = None
    held_out: Mapping[str, str] | None = None
    class_names: tuple[str, ...] = ()
    looks: tuple[CaseLook, ...] = ()
    reliability: Reliability | None = None
    viewer: SliceViewer | None = None

    def title(self, metric: str) -> str:
        """Return the title of a metric."""
        return self.metric_titles.get(metric, metric)


def score_section(findings: ScoreFindings) -> Section:
    """Build the section on the scores."""
    report = findings.report
    blocks: list[Block] = [Text((findings.description,))]
    if findings.selection is not None:
        blocks += _leaderboard(findings, findings.selection)
    if report.issues:
        lines = tuple(f"{issue.name}: {issue.message}" for issue in report.issues)
        blocks.append(Text(lines, "Cases that could not be scored", is_warning=True))
    missing = (*report.missing_predictions, *report.missing_references)
    if missing:
        text = f"Without a partner, and not scored: {', '.join(missing)}."
        blocks.append(Text((text,), is_warning=True))
    blocks.append(_classes(findings))
    if findings.viewer is not None:
        blocks.append(findings.viewer)
    blocks += [_cases(findings), _distribution(findings)]
    blocks += [
        _agreement(findings, index) for index in range(min(len(report.classes), MOST_CLASSES))
    ]
    blocks += _confusion(findings)
    blocks += _error_groups(findings.looks, report)
    if findings.reliability is not None:
        blocks.append(_reliability(findings.reliability))
    return Section("scores", "Scores", tuple(blocks))


def mean_dice(case: CaseScores) -> float:
    """Return the mean Dice of the classes of a case; 1 if it is undefined for all of them."""
    known = [scores.dice for scores in case.classes if scores.dice is not None]
    return sum(known) / len(known) if known else 1.0


def _leaderboard(findings: ScoreFindings, selection: Selection) -> list[Block]:
    candidates = (*selection.candidates, *selection.left_out)
    hd95 = findings.title("hd95_mm")
    columns = tuple(
        map(
            Column,
            ("model", "Dice", "95 % interval", hd95, "NSD", "cases", "s per case", "memory, GiB"),
        )
    )
    rows = tuple(
        (
            f"{entry.name}{' (selected)' if entry.members == selection.members else ''}",
            entry.dice.value,
            _interval(entry.dice.low, entry.dice.high),
            entry.hd95_mm.value,
            entry.nsd.value,
            entry.num_cases,
            entry.seconds_per_case,
            entry.memory_gib,
        )
        for entry in candidates
    )
    known = [
        (entry.name, entry.dice.value, entry.dice.low, entry.dice.high)
        for entry in candidates
        if entry.dice.value is not None
    ]
    steps = [
        f"only the largest component of the label values {', '.join(map(str, step.values))} is "
        f"kept, which changes their Dice from {step.dice_before:.4f} to {step.dice_after:.4f}"
        for step in selection.postprocessing
    ]
    chosen = f"Selected: {' + '.join(selection.members)}. {selection.reason}"
    lines = (chosen, f"Post-processing: {'; '.join(steps) or 'none'}.")
    blocks: list[Block] = [Text(lines), Table("Leaderboard", columns, rows)]
    if len(known) > 1:
        blocks.append(interval_chart("Dice with 95 % intervals", known, Axis("Dice")))
    return blocks


def _interval(low: float | None, high: float | None) -> str | None:
    return None if low is None or high is None else f"{low:.4f} – {high:.4f}"


def _classes(findings: ScoreFindings) -> Block:
    report = findings.report
    columns = [Column("class")]
    for metric in report.metrics:
        columns += [Column(findings.title(metric)), Column("95 % interval")]
    columns += [
        Column("cases"),
        Column("missed", "cases with the class in the reference only"),
        Column("spurious", "cases with the class in the prediction only"),
    ]
    rows: list[tuple[Cell, ...]] = []
    for entry in report.classes:
        row: list[Cell] = [entry.name]
        for metric in report.metrics:
            mean = entry.means.metric(metric)
            row += [mean.value, _interval(mean.low, mean.high)]
        row += [len(report.cases) - entry.absent, entry.missed, entry.spurious]
        rows.append(tuple(row))
    overall: list[Cell] = ["all classes"]
    for metric in report.metrics:
        mean = report.foreground.metric(metric)
        overall += [mean.value, _interval(mean.low, mean.high)]
    rows.append((*overall, None, None, None))
    return Table("Scores of classes", tuple(columns), tuple(rows))


def _cases(findings: ScoreFindings) -> Block:
    report, held_out = findings.report, findings.held_out or {}
    metrics = [metric for metric in CASE_METRICS if metric in report.metrics]
    classes = list(enumerate(report.classes))[:MOST_CLASSES]
    columns = [Column("case")] + ([Column("predicted by")] if held_out else [])
    columns.append(Column("Dice, mean"))
    for _, entry in classes:
        columns += [Column(f"{entry.name}: {findings.title(metric)}") for metric in metrics]
        columns += [
            Column(f"{entry.name}: reference, {findings.volume_unit}"),
            Column(f"{entry.name}: predicted, {findings.volume_unit}"),
        ]
    rows: list[tuple[Cell, ...]] = []
    for case in sorted(report.cases, key=mean_dice):
        row: list[Cell] = [case.name]
        row += [held_out.get(case.name)] if held_out else []
        row.append(mean_dice(case))
        for index, _ in classes:
            scores = case.classes[index]
            row += [scores.metric(metric) for metric in metrics]
            row += _volumes(findings, case.name, scores)
        rows.append(tuple(row))
    note = "The worst case is first. Filter by values, such as “Dice, mean < 0.8”."
    return Table("Scores of cases", tuple(columns), tuple(rows), note, case_column=0)


def _volumes(
    findings: ScoreFindings, name: str, scores: ClassScores
) -> tuple[float | int, float | int]:
    spacing = findings.spacings.get(name)
    counts = scores.reference_voxels, scores.predicted_voxels
    if spacing is None:
        return counts
    reference, predicted = (volume_of(count, spacing) for count in counts)
    return reference, predicted


def _distribution(findings: ScoreFindings) -> Block:
    report = findings.report
    values = {
        entry.name: [
            dice for case in report.cases if (dice := case.classes[index].dice) is not None
        ]
        for index, entry in enumerate(report.classes)
    }
    return box_chart("Dice of classes", values, Axis("Dice", most=1))


def _agreement(findings: ScoreFindings, index: int) -> Block:
    """Draw the Bland–Altman plot of the volumes of one class."""
    name, unit = findings.report.classes[index].name, findings.volume_unit
    points, differences = [], []
    for case in findings.report.cases:
        scores = case.classes[index]
        if not scores.reference_voxels and not scores.predicted_voxels:
            continue
        reference, predicted = _volumes(findings, case.name, scores)
        points.append((case.name, (reference + predicted) / 2, predicted - reference))
        differences.append(predicted - reference)
    marks = {}
    if len(differences) > 1:
        mean, spread = float(np.mean(differences)), float(np.std(differences, ddof=1))
        marks = {
            f"mean {format_value(mean, '.3g')}": mean,
            "+1.96 SD": mean + LIMITS_OF_AGREEMENT * spread,
            "−1.96 SD": mean - LIMITS_OF_AGREEMENT * spread,
        }
    axes = (
        Axis(f"mean of reference and prediction, {unit}"),
        Axis(f"prediction − reference, {unit}"),
    )
    note = "Bland–Altman plot; 95 % of the differences are expected between the outer lines."
    chart = scatter_chart(f"Volume of {name}", {name: points}, axes, note=note, marks=marks)
    return replace(chart, is_half=True)


def _confusion(findings: ScoreFindings) -> list[Block]:
    matrices = [look.confusion for look in findings.looks if look.confusion is not None]
    if not matrices:
        return []
    total: Integer[np.ndarray, "classes classes"] = np.sum(matrices, axis=0)
    shares = confusion_shares(total)
    names = findings.class_names[: len(shares)]
    note = (
        f"Share of the voxels of each reference class that are predicted as each class, over "
        f"{len(matrices)} cases. Rows add up to 1."
    )
    return [heat_chart("Confusion between classes", (names, names), shares, note=note)]


def confusion_shares(
    counts: Integer[np.ndarray, "classes classes"],
) -> Float[np.ndarray, "classes classes"]:
    """Return the share of each reference class that is predicted as each class; 0 if absent."""
    totals = counts.sum(axis=1, keepdims=True)
    return np.asarray(counts / np.maximum(totals, 1))


def _error_groups(looks: Sequence[CaseLook], report: Report) -> list[Block]:
    """Draw the wrong voxels of the worst cases by group."""
    by_name = {look.name: look.errors for look in looks if look.errors is not None}
    worst = [case.name for case in sorted(report.cases, key=mean_dice) if case.name in by_name]
    if not worst:
        return []
    shown = worst[:MOST_BARS]
    errors = [by_name[name] for name in shown]
    bars = {
        group: [round(100 * getattr(entry, group) / max(1, entry.reference), 2) for entry in errors]
        for group in ("missed", "spurious", "border")
    }
    note = (
        "Missed: components of the reference that the prediction does not touch; spurious: "
        "components of the prediction that the reference does not touch; border: where both "
        f"overlap, but not exactly. The {len(shown)} cases with the lowest Dice."
    )
    axis = Axis("wrong voxels, % of foreground")
    return [bar_chart("Kinds of errors", shown, bars, axis, note=note)]


def _reliability(found: Reliability) -> Chart:
    points = list(zip(found.probabilities, found.shares, strict=True))
    lines: dict[str, list[Point]] = {
        "measured": [(across, up) for across, up in points],
        "perfect": [(0, 0), (1, 1)],
    }
    axes = Axis("predicted probability", least=0, most=1), Axis("share of voxels", least=0, most=1)
    note = (
        "Voxels of all foreground classes, by predicted probability. Above the diagonal, the "
        f"probabilities are too low; below, too high. {found.cases} cases."
    )
    return line_chart("Calibration", lines, axes, note=note, dashed=frozenset({"perfect"}))
