"""Collect the documents of a work folder, and write the report."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import numpy as np

from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Plan
from autoseg.documents.splits import Splits
from autoseg.documents.workspace import Workspace
from autoseg.reporting.blocks import Page, Section
from autoseg.reporting.data_section import DataFindings, data_section
from autoseg.reporting.label_section import label_section
from autoseg.reporting.page import save_page
from autoseg.reporting.plan_section import PlanFindings, plan_section
from autoseg.reporting.score_section import score_section
from autoseg.reporting.training_section import training_section
from autoseg.stages.report.drawing import CaseTask, Drawer
from autoseg.stages.report.facts import FOOTER, REPORT_NAME, dataset_facts, write_or_warn
from autoseg.stages.report.label_check import confidence_of, find_suspicious_labels
from autoseg.stages.report.scores import CrossValidation, find_cross_validation, score_findings
from autoseg.stages.report.trainings import finished_runs, learning_curves, load_schedule

MOST_CASES = 200
"""Default of the number of cases that are drawn and compared."""


LOOKS_SHARE = 0.6
"""Share of the time of a report in which cases are drawn for the sheet of all cases."""


@dataclass(frozen=True)
class ReportOptions:
    """Extent of a report.

    Attributes:
        most_cases: Number of training cases, and of test cases, that are drawn and compared.
        workers: Number of processes.
        most_seconds: Time after which no further case is read; None for no limit.
    """

    most_cases: int = MOST_CASES
    workers: int = 1
    most_seconds: float | None = None

    def deadline(self, share: float) -> float | None:
        """Return the time at which a share of `most_seconds` from now has passed."""
        return None if self.most_seconds is None else monotonic() + share * self.most_seconds


def report_work(
    workspace: Workspace, output: Path, options: ReportOptions, progress: Progress
) -> None:
    """Write the report of a planned dataset, with all that is trained and selected so far.

    Args:
        workspace: Work folder.
        output: HTML file; an existing one is replaced.
        options: Extent of the report.
        progress: Receives the progress.

    Raises:
        DocumentError: If the dataset has not been planned, or a document is damaged.
    """
    dataset = store.load(DatasetSpec, workspace.dataset)
    fingerprint = store.load(Fingerprint, workspace.fingerprint)
    plan = store.load(Plan, workspace.plan)
    drawer = Drawer(options.workers, progress, options.deadline(1.0))
    looker = replace(drawer, deadline=options.deadline(LOOKS_SHARE))
    splits = store.load(Splits, workspace.splits) if workspace.splits.is_file() else None
    trained = find_cross_validation(workspace, dataset, splits)
    chosen = _chosen(dataset.cases, options.most_cases)
    tasks = [
        CaseTask(case, plan.labels, None if trained is None else trained.label_map(case))
        for case in chosen
    ]
    looks, issues = looker.looks(tasks)
    tests = _chosen(dataset.test_cases, options.most_cases)
    test_looks, test_issues = looker.looks([CaseTask(case, plan.labels) for case in tests])
    data = DataFindings(
        fingerprint=fingerprint,
        recognised=dataset.inferred,
        groups={case.name: case.group for case in dataset.cases if case.group is not None},
        looks=looks,
        test_looks=test_looks,
        held_out=_held_out(splits),
        unread=(*issues, *test_issues),
    )
    runs, curves = finished_runs(workspace), learning_curves(workspace)
    sections = [data_section(data)]
    sections.append(plan_section(PlanFindings(plan, load_schedule(workspace), runs)))
    if curves:
        sections.append(training_section(curves))
    if trained is not None:
        sections += _score_sections(trained, data, dataset.cases, (chosen, drawer))
    facts = dataset_facts(fingerprint, None if trained is None else trained.report)
    subtitle = f"{dataset.root}, {dataset.layout} layout"
    save_page(Page(dataset.name, subtitle, facts, tuple(sections), FOOTER), output)


def _score_sections(
    trained: CrossValidation,
    data: DataFindings,
    cases: Sequence[CaseFiles],
    drawn: tuple[Sequence[CaseFiles], Drawer],
) -> list[Section]:
    """Build the sections on scores and on suspicious labels."""
    chosen, drawer = drawn
    known, sums = confidence_of(chosen, trained, drawer)
    reliability = sums.reliability if sums.cases else None
    findings = score_findings(trained, data, cases, drawer)
    sections = [score_section(replace(findings, reliability=reliability))]
    if known:
        found = find_suspicious_labels(known, sums, trained, drawer)
        sections.append(label_section(found))
    return sections


def write_report(workspace: Workspace, options: ReportOptions, progress: Progress) -> None:
    """Write the report into the work folder after another command.

    An error is reported and changes nothing about the result of the command.

    Args:
        workspace: Work folder.
        options: Extent of the report.
        progress: Receives the path, or the error.
    """
    output = workspace.root / REPORT_NAME

    def write() -> Path:
        report_work(workspace, output, options, progress)
        return output

    write_or_warn(write, progress)


def _chosen(cases: Sequence[CaseFiles], most: int) -> Sequence[CaseFiles]:
    """Return all cases in random order, or as many of them; the same ones in every call."""
    order = np.random.default_rng(0).permutation(len(cases))
    return [cases[place] for place in order[:most]]


def _held_out(splits: Splits | None) -> dict[str, str]:
    if splits is None:
        return {}
    return {
        name: f"fold {number}"
        for number, fold in enumerate(splits.folds)
        for name in fold.validation
    }
