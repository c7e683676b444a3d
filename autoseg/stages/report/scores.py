"""Collect the scores of the held-out cases of a work folder for a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.colours import class_colour
from autoseg.core.errors import ModelError
from autoseg.core.formatting import format_count
from autoseg.core.labels import LabelScheme
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.report import CaseScores, Report
from autoseg.documents.selection import Selection
from autoseg.documents.splits import Splits
from autoseg.documents.workspace import Workspace
from autoseg.inference.probabilities import has_probabilities
from autoseg.reporting.blocks import SlicedCase, SliceViewer
from autoseg.reporting.data_section import DataFindings
from autoseg.reporting.score_section import ScoreFindings, mean_dice
from autoseg.stages.evaluate.score_cases import label_map
from autoseg.stages.next_command import view_command
from autoseg.stages.report.drawing import CaseTask, Drawer
from autoseg.stages.report.facts import metric_titles
from autoseg.stages.select.candidates import TrainedConfiguration, find_trained
from autoseg.stages.train.score_fold import VALIDATION_NAME, held_out_probabilities

SHOWN = 3
"""Number of worst, of middle and of best cases whose slices are drawn."""


@dataclass(frozen=True)
class CrossValidation:
    """A trained configuration with its scored held-out cases.

    Attributes:
        trained: The configuration whose predictions are drawn.
        report: Scores: those of the selected model, if there is one.
        description: Sentence on what was scored.
        selection: The selected model; None without one.
        work: The work folder.
    """

    trained: TrainedConfiguration
    report: Report
    description: str
    selection: Selection | None
    work: Path

    def label_map(self, case: CaseFiles) -> Path | None:
        """Return the file of the held-out prediction of a case; None if it is not scored."""
        if case.name not in self.trained.cases:
            return None
        return label_map(self.trained.fold_of(case.name).folder / VALIDATION_NAME, case)

    def probabilities(self, case: CaseFiles) -> Path | None:
        """Return the folder of the stored probabilities of a held-out case; None without any."""
        if case.name not in self.trained.cases:
            return None
        folder = held_out_probabilities(self.trained.fold_of(case.name).folder, case)
        return folder if has_probabilities(folder) else None

    @property
    def held_out(self) -> Mapping[str, str]:
        """Name of the fold that predicted each case."""
        return {
            case.name: f"fold {fold.number}"
            for fold in reversed(self.trained.folds)
            for case in fold.report.cases
        }


def find_cross_validation(
    workspace: Workspace, dataset: DatasetSpec, splits: Splits | None
) -> CrossValidation | None:
    """Find the scores to show: of the selected model, else of the configuration with most folds.

    Args:
        workspace: Work folder.
        dataset: Description of the dataset.
        splits: Folds of the cross-validation; None if they have not been made.

    Returns:
        None if no fold is trained and scored.
    """
    if splits is None:
        return None
    try:
        found = find_trained(workspace, dataset, splits)
    except ModelError:
        return None
    selection = None
    if workspace.selection.is_file() and workspace.cross_validation.is_file():
        selection = store.load(Selection, workspace.selection)
    members = () if selection is None else selection.members
    named = [entry for entry in found if entry.name in members[:1]]
    trained = (named or sorted(found, key=lambda entry: -len(entry.folds)))[0]
    if selection is not None and named:
        report = store.load(Report, workspace.cross_validation)
        text = f"Scores of the selected model, {' + '.join(members)}, on its held-out cases."
        if len(members) > 1 or selection.postprocessing:
            text += f" Pictures and errors are those of {trained.name} without post-processing."
    else:
        selection, report = None, trained.report(trained.cases)
        folds = format_count(len(trained.folds), "fold")
        text = f"Scores of {trained.name} on the held-out cases of {folds}."
    return CrossValidation(trained, report, text, selection, workspace.root)


def score_findings(
    found: CrossValidation,
    data: DataFindings,
    cases: Sequence[CaseFiles],
    drawer: Drawer,
) -> ScoreFindings:
    """Collect what the section on scores shows.

    Args:
        found: The scores.
        data: Measurements of the dataset.
        cases: Files of all cases.
        drawer: Draws the slices.
    """
    return ScoreFindings(
        report=found.report,
        description=found.description,
        metric_titles=metric_titles(found.report),
        volume_unit=data.volume_unit,
        spacings={case.name: case.spacing for case in data.fingerprint.cases},
        selection=found.selection,
        held_out=found.held_out,
        class_names=found.trained.labels.names,
        looks=data.looks,
        viewer=_viewer(found, cases, drawer),
    )


def shown_cases(report: Report) -> tuple[CaseScores, ...]:
    """Return the worst, the middle and the best cases, in this order, each once."""
    ordered = sorted(report.cases, key=lambda case: (mean_dice(case), case.name))
    middle = max(0, len(ordered) // 2 - SHOWN // 2)
    picked = (*ordered[:SHOWN], *ordered[middle : middle + SHOWN], *ordered[-SHOWN:])
    return tuple({case.name: case for case in picked}.values())


def _viewer(
    found: CrossValidation, cases: Sequence[CaseFiles], drawer: Drawer
) -> SliceViewer | None:
    files = {case.name: case for case in cases}
    labels = found.trained.labels
    tasks = [
        CaseTask(
            files=files[case.name],
            labels=labels,
            prediction=path,
            caption=f"{case.name}, Dice {mean_dice(case):.3f}",
        )
        for case in shown_cases(found.report)
        if case.name in files and (path := found.label_map(files[case.name])) is not None
    ]
    drawn = drawer.slices(tasks)
    if not drawn:
        return None
    note = (
        "The worst cases, those in the middle, and the best ones. The difference shows voxels of "
        "the reference that the prediction misses, spurious ones, and those of another class. "
        f"`{view_command(found.work, drawn[0].name)}` shows a whole case."
    )
    return viewer_of("Slices", drawn, labels, note)


def viewer_of(
    title: str, cases: tuple[SlicedCase, ...], labels: LabelScheme, note: str
) -> SliceViewer:
    """Return a viewer of slices with the names and colours of the classes.

    Args:
        title: Heading.
        cases: The slices.
        labels: The classes.
        note: Sentence below the heading.
    """
    names = labels.names[1:]
    colours = tuple(class_colour(index) for index in range(len(names)))
    return SliceViewer(title, cases, names, colours, note)
