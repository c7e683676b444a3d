"""Write the report of a folder of scored predictions."""

from pathlib import Path

from autoseg.documents import store
from autoseg.documents.report import Report
from autoseg.reporting.blocks import Page
from autoseg.reporting.page import save_page
from autoseg.reporting.score_section import ScoreFindings, score_section
from autoseg.stages.report.facts import FOOTER, REPORT_NAME, metric_titles, score_facts


def report_evaluation(folder: Path, output: Path | None = None) -> Path:
    """Write the report of a folder of predictions that `autoseg evaluate` has scored.

    Args:
        folder: The folder with `evaluation.json`.
        output: HTML file; an existing one is replaced. None for `report.html` in the folder.

    Raises:
        DocumentError: If the scores are damaged.
    """
    output = output or folder / REPORT_NAME
    report = store.load(Report, folder / Report.FILE_NAME)
    findings = ScoreFindings(
        report=report,
        description=f"Scores of the label maps in {folder}.",
        metric_titles=metric_titles(report),
        volume_unit="voxels",
        spacings={},
    )
    page = Page(folder.name, str(folder), score_facts(report), (score_section(findings),), FOOTER)
    save_page(page, output)
    return output
