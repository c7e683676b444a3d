"""Put the scores of many cases together into a report."""

from collections.abc import Iterable, Sequence

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
        labels: The classes; None takes the label values that occur and calls them by their number.
        faults: Cases that could not be scored.
        missing_predictions: References without a prediction.
        missing_references: Predictions without a reference.
    """
    scored = sorted(cases, key=lambda case: case.name)
    names, values = _foreground(scored, labels)
    columns = [[case.of_value(value) for case in scored] for value in values]
    classes = tuple(
        _class_report(name, value, column)
        for name, value, column in zip(names, values, columns, strict=True)
    )
    return Report(
        classes=classes,
        foreground=_means_of_means([entry.means for entry in classes]),
        cases=tuple(
            CaseScores(
                name=case.name,
                tolerance_mm=case.tolerance_mm,
                classes=tuple(case.of_value(value) for value in values),
            )
            for case in scored
        ),
        faults=tuple(faults),
        missing_predictions=tuple(missing_predictions),
        missing_references=tuple(missing_references),
    )


def _foreground(
    cases: Sequence[ScoredCase], labels: LabelScheme | None
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return names and values of the foreground classes, ascending by value."""
    if labels is None:
        values = sorted({value for case in cases for value in case.values})
        return tuple(f"label {value}" for value in values), tuple(values)
    pairs = sorted(zip(labels.values[1:], labels.names[1:], strict=True))
    return tuple(name for _, name in pairs), tuple(value for value, _ in pairs)


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
