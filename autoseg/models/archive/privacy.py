"""Remove case names from the records of a model file, because they may identify patients."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.report import Report, UnscoredCase
from autoseg.documents.splits import FoldName
from autoseg.models.archive.model_card import FoldRecord


@dataclass(frozen=True)
class Records:
    """Per-case records of a model's training data and scores.

    Attributes:
        fingerprint: Dataset fingerprint; None if unknown.
        folds: Training record and scores by configuration and fold.
        cross_validation: Cross-validation scores of the selected model; None if there are none.
    """

    fingerprint: Fingerprint | None
    folds: Mapping[tuple[str, FoldName], FoldRecord]
    cross_validation: Report | None = None


def anonymize_records(records: Records) -> Records:
    """Replace case names by numbers, with the same number for the same case everywhere.

    File names, sizes and times are dropped, and so are the error messages of unscored cases.
    """
    reports = [record.report for record in records.folds.values()]
    numbered = _numbered(
        records.fingerprint,
        [report for report in (*reports, records.cross_validation) if report is not None],
    )
    return Records(
        fingerprint=_fingerprint(records.fingerprint, numbered),
        folds={
            fold: FoldRecord(run=record.run, report=_report(record.report, numbered))
            for fold, record in records.folds.items()
        },
        cross_validation=_report(records.cross_validation, numbered),
    )


def _fingerprint(
    fingerprint: Fingerprint | None, numbered: Mapping[str, str]
) -> Fingerprint | None:
    if fingerprint is None:
        return None
    cases = tuple(
        case.model_copy(update={"name": numbered[case.name], "source": ()})
        for case in fingerprint.cases
    )
    return fingerprint.model_copy(update={"cases": cases})


def _numbered(fingerprint: Fingerprint | None, reports: Iterable[Report]) -> dict[str, str]:
    names = {case.name for case in fingerprint.cases} if fingerprint is not None else set()
    for report in reports:
        names |= {case.name for case in report.cases} | {issue.name for issue in report.issues}
        names |= {*report.missing_predictions, *report.missing_references}
        names |= {entry.name for entry in report.agreements}
    return {name: f"case_{number:04d}" for number, name in enumerate(sorted(names))}


def _report(report: Report | None, numbered: Mapping[str, str]) -> Report | None:
    if report is None:
        return None
    issues = tuple(
        UnscoredCase(name=numbered[issue.name], message="could not be scored")
        for issue in report.issues
    )
    return report.model_copy(
        update={
            "cases": tuple(
                case.model_copy(update={"name": numbered[case.name]}) for case in report.cases
            ),
            "issues": issues,
            "agreements": tuple(
                entry.model_copy(update={"name": numbered[entry.name]})
                for entry in report.agreements
            ),
            "missing_predictions": tuple(numbered[name] for name in report.missing_predictions),
            "missing_references": tuple(numbered[name] for name in report.missing_references),
            "label_state": None,
            "label_content": None,
        }
    )
