"""The section of a report on labels that held-out predictions contradict."""

from collections.abc import Sequence
from dataclasses import dataclass

from autoseg.core.formatting import format_count
from autoseg.documents.report import Report
from autoseg.reporting.blocks import Block, Cell, Column, Section, SliceViewer, Table, Text
from autoseg.reporting.label_errors import LabelErrors, SuspiciousRegion
from autoseg.reporting.score_section import mean_dice

MOST_ROWS = 100


@dataclass(frozen=True)
class LabelFindings:
    """Suspicious labels of a dataset.

    Attributes:
        errors: The cases, the most suspicious first.
        target_names: Names of the classes or regions.
        report: Scores of the same predictions.
        viewer: Slices of the first cases; None without pictures.
    """

    errors: tuple[LabelErrors, ...]
    target_names: tuple[str, ...]
    report: Report
    viewer: SliceViewer | None = None


def label_section(findings: LabelFindings) -> Section:
    """Build the section on suspicious labels."""
    found = [entry for entry in findings.errors if entry.score > 0]
    text = (
        "A label is suspicious where a network that was not trained on it is confident of another "
        "class. Look at the first cases: either the label is wrong, or the network is, for example "
        "because the case is unlike the others."
    )
    if not found:
        text += " No such labels were found."
    dice = {case.name: mean_dice(case) for case in findings.report.cases}
    columns = (
        Column("rank"),
        Column("case"),
        Column("suspicious", "suspicious voxels per labelled or predicted voxel", digits=3),
        Column("Dice, mean"),
        Column("largest regions"),
    )
    rows: list[tuple[Cell, ...]] = [
        (rank, entry.name, entry.score, dice.get(entry.name), _regions(entry, findings))
        for rank, entry in enumerate(found[:MOST_ROWS], start=1)
    ]
    blocks: list[Block] = [Text((text,))]
    if rows:
        blocks.append(Table("Suspicious labels", columns, tuple(rows), case_column=1))
    if findings.viewer is not None:
        blocks.append(findings.viewer)
    return Section("labels", "Suspicious labels", tuple(blocks))


def _regions(entry: LabelErrors, findings: LabelFindings) -> str:
    return "; ".join(describe_region(region, findings.target_names) for region in entry.regions)


def describe_region(region: SuspiciousRegion, names: Sequence[str]) -> str:
    """Return a region as text, such as `Anterior predicted but not labelled, 408 voxels`."""
    is_volume = len(region.centre) == 3
    place = f"slice {region.centre[0] + 1}, " if is_volume else ""
    what = "predicted but not labelled" if region.is_missing else "labelled but not predicted"
    return f"{names[region.target]} {what}, {place}{format_count(region.voxels, 'voxel')}"
