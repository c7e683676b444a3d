"""Write the report of a model file."""

from pathlib import Path

from autoseg.core.errors import ModelError
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Plan
from autoseg.documents.report import Report
from autoseg.documents.run import Run
from autoseg.documents.selection import CROSS_VALIDATION_NAME
from autoseg.models.archive.contents import fold_part
from autoseg.models.archive.reader import ModelArchive
from autoseg.reporting.blocks import Page, Section
from autoseg.reporting.data_section import DataFindings, data_section
from autoseg.reporting.page import save_page
from autoseg.reporting.plan_section import PlanFindings, plan_section, run_name
from autoseg.reporting.score_section import ScoreFindings, score_section
from autoseg.reporting.training_section import LearningCurve, training_section
from autoseg.stages.report.facts import (
    FOOTER,
    dataset_facts,
    metric_titles,
)


def report_model(path: Path, output: Path) -> None:
    """Write the report of a model file: its training data, plan, trainings and scores.

    Args:
        path: Model file.
        output: HTML file; an existing one is replaced.

    Raises:
        ModelError: If the file is not a model file, is damaged, or has no fingerprint.
    """
    archive = ModelArchive(path)
    names = {part.name for part in archive.manifest.parts}
    if Fingerprint.FILE_NAME not in names:
        msg = (
            f"{path} has no fingerprint of its training data, as models that were imported; "
            f"`autoseg describe {path}` prints its model card."
        )
        raise ModelError(msg)
    fingerprint = archive.read_document(Fingerprint, Fingerprint.FILE_NAME)
    configuration = archive.manifest.members[0]
    plan = archive.read_document(Plan, f"{configuration}/{Plan.FILE_NAME}")
    runs = tuple(
        archive.read_document(Run, part)
        for name in archive.manifest.configurations
        for fold in archive.folds(name)
        if (part := fold_part(name, fold, Run.FILE_NAME)) in names
    )
    data = DataFindings(fingerprint)
    sections = [data_section(data), plan_section(PlanFindings(plan, None, runs))]
    curves = [LearningCurve(run_name(run), run.history, is_finished=True) for run in runs]
    if any(curve.records for curve in curves):
        sections.append(training_section([curve for curve in curves if curve.records]))
    report = None
    if CROSS_VALIDATION_NAME in names:
        report = archive.read_document(Report, CROSS_VALIDATION_NAME)
        sections.append(_scores(archive, report, data))
    facts = dataset_facts(fingerprint, report)
    title = fingerprint.dataset_name
    save_page(Page(title, f"Model file {path.name}", facts, tuple(sections), FOOTER), output)


def _scores(archive: ModelArchive, report: Report, data: DataFindings) -> Section:
    members = " + ".join(archive.manifest.members)
    findings = ScoreFindings(
        report=report,
        description=f"Scores of {members} on the held-out cases of its training data.",
        metric_titles=metric_titles(report),
        volume_unit=data.volume_unit,
        spacings={case.name: case.spacing for case in data.fingerprint.cases},
        selection=archive.read_selection(),
        held_out=None,
        class_names=data.fingerprint.labels.names,
    )
    return score_section(findings)
