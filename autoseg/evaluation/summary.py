"""Combine the scores of many cases into a report."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from autoseg.core.geometry import LengthUnit
from autoseg.core.labels import LabelScheme, default_label_name
from autoseg.documents.report import (
    CaseScores,
    ClassReport,
    ClassScores,
    Mean,
    Means,
    Report,
    UnscoredCase,
)
from autoseg.documents.selection import Estimate
from autoseg.evaluation.bootstrap import ScoreTable, estimates, metric_table
from autoseg.evaluation.cases import ScoredCase
from autoseg.evaluation.metrics import ALL_METRICS, DEFAULT_METRICS


def build_report(
    cases: Iterable[ScoredCase],
    *,
    labels: LabelScheme | None = None,
    issues: Sequence[UnscoredCase] = (),
) -> Report:
    """Build the report of scored cases.

    Args:
        cases: Scored cases.
        labels: Classes or regions; None uses the label values that occur, named by their number.
        issues: Cases that could not be scored; those whose distances are in another unit than in
            most cases are added.
    """
    scored, others = _with_one_unit(sorted(cases, key=lambda case: case.name))
    # regions are scored in order, also absent ones
    has_regions = labels is not None and bool(labels.regions)
    classes = _foreground(scored, labels)
    values = [value for _, value in classes]
    scores = [
        CaseScores(
            name=case.name,
            tolerance_mm=case.tolerance_mm,
            classes=case.scores if has_regions else tuple(map(case.of_value, values)),
        )
        for case in scored
    ]
    measured = {metric for case in scored for metric in case.metrics} or DEFAULT_METRICS
    metrics = tuple(metric for metric in ALL_METRICS if metric in measured)
    return _with_means(classes, scores, metrics).model_copy(
        update={
            "issues": (*issues, *others),
            "distance_unit": _unit([case.distance_unit for case in scored]),
        }
    )


def pool_reports(reports: Sequence[Report], names: Collection[str]) -> Report:
    """Merge several reports into one, restricted to the named cases.

    Args:
        reports: Reports with the same classes, at least one. If several contain a case, the first
            one is used.
        names: Names of the cases to keep; names that no report contains are ignored.
    """
    found = {case.name: case for report in reversed(reports) for case in report.cases}
    classes = [(entry.name, entry.label) for entry in reports[0].classes]
    cases = [found[name] for name in sorted(found.keys() & set(names))]
    scored = [report for report in reports if report.cases] or reports[:1]
    everywhere = tuple(
        metric for metric in scored[0].metrics if all(metric in report.metrics for report in scored)
    )
    unit = _unit([report.distance_unit for report in scored])
    return _with_means(classes, cases, everywhere).model_copy(update={"distance_unit": unit})


def _with_one_unit(
    cases: Sequence[ScoredCase],
) -> tuple[list[ScoredCase], list[UnscoredCase]]:
    """Separate the cases with the most common unit of distances from the others.

    A unit of mm may be that of files without a pixel size, so that px and mm count as one.
    """
    kinds = ["mm" if case.distance_unit == "px" else case.distance_unit for case in cases]
    common = next(iter(Counter(kinds).most_common(1)), ("mm",))[0]
    others = [
        UnscoredCase(
            name=case.name,
            message=f"its distances are in {case.distance_unit}, those of most cases in {common}; "
            "their means need one unit. Store the voxel sizes of all label maps in one unit.",
        )
        for case, kind in zip(cases, kinds, strict=True)
        if kind != common
    ]
    return [case for case, kind in zip(cases, kinds, strict=True) if kind == common], others


def _unit(units: Sequence[LengthUnit]) -> LengthUnit:
    """Return the common unit of distances; mm if some are in pixels."""
    return units[0] if len(set(units)) == 1 else "mm"


def _with_means(
    classes: Sequence[tuple[str, int]], cases: Sequence[CaseScores], metrics: Sequence[str]
) -> Report:
    """Build the report of cases that each have the scores of all classes, in the same order."""
    tables = {metric: metric_table(cases, len(classes), metric) for metric in metrics}
    means = {metric: _means(table) for metric, table in tables.items()}
    reports = tuple(
        _class_report(
            name,
            label,
            [case.classes[position] for case in cases],
            Means.model_validate({metric: entry[position] for metric, (entry, _) in means.items()}),
        )
        for position, (name, label) in enumerate(classes)
    )
    return Report(
        classes=reports,
        foreground=Means.model_validate({metric: over for metric, (_, over) in means.items()}),
        cases=tuple(cases),
        metrics=tuple(metrics),
    )


def _foreground(cases: Sequence[ScoredCase], labels: LabelScheme | None) -> list[tuple[str, int]]:
    """Return name and value of each foreground class, ascending by value, or of each region."""
    if labels is None:
        values = sorted({value for case in cases for value in case.values})
        return [(default_label_name(value), value) for value in values]
    targets = labels.regions or sorted(labels.targets, key=lambda target: target.written_as)
    return [(target.name, target.written_as) for target in targets]


def _class_report(
    name: str, value: int, scores: Sequence[ClassScores], means: Means
) -> ClassReport:
    has = [(entry.reference_voxels > 0, entry.predicted_voxels > 0) for entry in scores]
    return ClassReport(
        name=name,
        label=value,
        means=means,
        missed=has.count((True, False)),
        spurious=has.count((False, True)),
        absent=has.count((False, False)),
    )


def _means(table: ScoreTable) -> tuple[tuple[Mean, ...], Mean]:
    """Compute the mean of each class over the cases that define it, and the mean over classes."""
    found = estimates(table)
    counts = np.count_nonzero(~np.isnan(table), axis=0).tolist()
    classes = tuple(map(_mean, found.classes, counts))
    return classes, _mean(found.overall, sum(count > 0 for count in counts))


def _mean(entry: Estimate, count: int) -> Mean:
    return Mean(value=entry.value, count=count, low=entry.low, high=entry.high)
