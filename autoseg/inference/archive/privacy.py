"""Take the names of cases out of what goes into a model file: they may name patients."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.report import Report, UnscoredCase
from autoseg.documents.splits import FoldName
from autoseg.inference.archive.model_card import FoldRecord


@dataclass(frozen=True)
class Records:
    """What is known of a model's training data and scores, case by case.

    Attributes:
        fingerprint: What was measured; None if that is not known.
        folds: Of each configuration's folds.
        cross_validation: Scores of what predicts; None if there are none.
    """

    fingerprint: Fingerprint | None
    folds: Mapping[tuple[str, FoldName], FoldRecord]
    cross_validation: Report | None = None


def without_case_names(records: Records) -> Records:
    """Return the records with numbered cases, the same number for the same case everywhere.

    File names, sizes and times, and the messages of cases that could not be scored, are left out.
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
        }
    )
