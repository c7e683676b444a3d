"""Put the scores of many cases together into a report."""

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from autoseg.core.labels import LabelScheme
from autoseg.documents.report import (
    METRICS,
    CaseFault,
    CaseScores,
    ClassReport,
    ClassScores,
    Mean,
    Means,
    Report,
)
from autoseg.evaluation.cases import ScoredCase


def report_of(
    cases: Iterable[ScoredCase],
    *,
    labels: LabelScheme | None = None,
    faults: Sequence[CaseFault] = (),
    missing_predictions: Sequence[str] = (),
    missing_references: Sequence[str] = (),
) -> Report:
    """Return the report on some cases.

    Args:
        cases: Scored cases.
        labels: The classes or regions; None takes the label values that occur and calls them by
            their number.
        faults: Cases that could not be scored.
        missing_predictions: References without a prediction.
        missing_references: Predictions without a reference.
    """
    scored = sorted(cases, key=lambda case: case.name)
    has_regions = labels is not None and bool(labels.regions)  # then all are scored, in order
    names, values = _foreground(scored, labels)
    scores = [
        CaseScores(
            name=case.name,
            tolerance_mm=case.tolerance_mm,
            classes=case.scores if has_regions else tuple(map(case.of_value, values)),
        )
        for case in scored
    ]
    return _with_means(tuple(zip(names, values, strict=True)), scores).model_copy(
        update={
            "faults": tuple(faults),
            "missing_predictions": tuple(missing_predictions),
            "missing_references": tuple(missing_references),
        }
    )


def pooled(reports: Sequence[Report], names: Collection[str]) -> Report:
    """Return one report on those cases of several reports that have one of the names.

    Args:
        reports: At least one; all on the same classes. Where several have a case, the first counts.
        names: Cases to take; those that no report has are left out.
    """
    found = {case.name: case for report in reversed(reports) for case in report.cases}
    classes = tuple((entry.name, entry.label) for entry in reports[0].classes)
    return _with_means(classes, [found[name] for name in sorted(found.keys() & set(names))])


def _with_means(classes: Sequence[tuple[str, int]], cases: Sequence[CaseScores]) -> Report:
    """Return the report on scored cases; each has the scores of all classes, in their order."""
    reports = tuple(
        _class_report(name, label, [case.classes[position] for case in cases])
        for position, (name, label) in enumerate(classes)
    )
    return Report(
        classes=reports,
        foreground=_means_of_means([entry.means for entry in reports]),
        cases=tuple(cases),
    )


def _foreground(
    cases: Sequence[ScoredCase], labels: LabelScheme | None
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return names and values of the foreground classes, ascending by value, or of the regions."""
    if labels is None:
        values = sorted({value for case in cases for value in case.values})
        return tuple(f"label {value}" for value in values), tuple(values)
    targets = labels.regions or sorted(labels.targets, key=lambda target: target.written_as)
    names = tuple(target.name for target in targets)
    return names, tuple(target.written_as for target in targets)


def _class_report(name: str, value: int, scores: Sequence[ClassScores]) -> ClassReport:
    has = [(entry.reference_voxels > 0, entry.predicted_voxels > 0) for entry in scores]
    return ClassReport(
        name=name,
        label=value,
        means=Means(**{metric: _mean([s.metric(metric) for s in scores]) for metric in METRICS}),
        missed=has.count((True, False)),
        invented=has.count((False, True)),
        absent=has.count((False, False)),
    )


def _means_of_means(means: Sequence[Means]) -> Means:
    return Means(
        **{metric: _mean([entry.metric(metric).value for entry in means]) for metric in METRICS}
    )


def _mean(values: Sequence[float | None]) -> Mean:
    """Return the mean of the values that are defined."""
    defined = [value for value in values if value is not None]
    return Mean(value=float(np.mean(defined)) if defined else None, count=len(defined))
