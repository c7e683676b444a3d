"""Predict the held-out cases of a fold at full size, and score them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autoseg.core.arrays import LabelArray
from autoseg.core.compute import Compute
from autoseg.core.errors import TrainingError
from autoseg.core.formatting import format_cases
from autoseg.core.labels import LabelScheme
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles
from autoseg.documents.report import CaseScores, Report
from autoseg.documents.splits import Fold
from autoseg.evaluation.overlay import Panel, draw_overlay, make_panel
from autoseg.inference.probabilities import has_probabilities
from autoseg.inference.selected_model import as_selected_model
from autoseg.models.folder import StoredModel, weights_digest
from autoseg.models.loader import load_stored
from autoseg.readers import read_image, read_labels
from autoseg.stages.evaluate.label_state import have_labels_changed
from autoseg.stages.evaluate.score_cases import label_map, score_cases
from autoseg.stages.predict.predict import PredictOptions
from autoseg.stages.project import Project

VALIDATION_NAME = "validation"
"""Folder of the predicted label maps of the held-out cases and their scores, in the fold folder."""

PROBABILITIES_NAME = "probabilities"
"""Folder of the predicted probabilities, for `autoseg select`; in the validation folder."""

OVERLAY_NAME = "overlay.png"
"""Picture of the worst, the median and the best case. It is stored in the fold folder because it
would be taken for a label map in the validation folder."""


def score_fold(
    project: Project, stored: StoredModel, number: int, compute: Compute, progress: Progress
) -> Report:
    """Score the held-out cases of a trained fold against the original label files.

    The compressed probabilities are saved too, for `autoseg select`. Label maps predicted with the
    same weights are reused, and so are their scores unless label files have changed. A case that
    cannot be predicted or scored is listed in the issues of the report; the next call retries it.

    Args:
        project: The project.
        stored: The trained configuration.
        number: Number of the fold.
        compute: Device, precision and processes.
        progress: Receives progress and messages.

    Raises:
        TrainingError: If the fold was scored on other cases before.
    """
    fold, folder = project.splits.fold(number), stored.path / f"fold_{number}"
    outputs = folder / VALIDATION_NAME
    saved = saved_report(folder, fold)
    files = [case for case in project.dataset.cases if case.name in fold.validation]
    is_complete = all(has_probabilities(held_out_probabilities(folder, case)) for case in files)
    if (
        saved is not None
        and not saved.issues
        and is_complete
        and not have_labels_changed(saved, files)
    ):
        return saved
    progress.begin(f"scoring the held-out cases of {folder}")
    options = PredictOptions(
        skip_existing=True, probabilities=outputs / PROBABILITIES_NAME, compute=compute
    )
    model = load_stored(stored, options.loading(progress), (number,))
    report = score_cases(files, outputs, as_selected_model(model), options, progress)
    if saved is not None and report.seconds_per_case is None:  # all label maps were reused
        report = report.model_copy(update={"seconds_per_case": saved.seconds_per_case})
    weights = {fold_key(folder): weights_digest(folder) or ""}
    report = report.model_copy(update={"weights": weights})
    draw_cases(report, files, outputs, model.plan.labels, outputs.parent / OVERLAY_NAME)
    store.save(report, outputs / Report.FILE_NAME)  # last: a fold with a report is complete
    return report


def saved_report(folder: Path, fold: Fold) -> Report | None:
    """Load the report of a fold's current weights; None if missing. It may contain issues.

    Args:
        folder: Fold folder.
        fold: The fold, which defines the held-out cases.

    Raises:
        TrainingError: If the report has other held-out cases: the weights may have been trained on
            the current ones.
    """
    path = folder / VALIDATION_NAME / Report.FILE_NAME
    if not path.is_file():
        return None
    report = store.load(Report, path)
    if report.weights and weights_digest(folder) not in report.weights.values():
        return None
    names = {case.name for case in report.cases} | {issue.name for issue in report.issues}
    if names != set(fold.validation):
        msg = (
            f"{folder} was trained with {format_cases(sorted(names))} held out; splits.json now "
            f"holds out {format_cases(sorted(set(fold.validation)))}, some of which may be among "
            "its training cases. Restore splits.json, or retrain the fold with --restart."
        )
        raise TrainingError(msg)
    return report


def fold_key(folder: Path) -> str:
    """Return the key of a fold in `Report.weights` and `Selection.weights`."""
    return f"{folder.parent.name}/{folder.name}"


def _without_ignored(reference: LabelArray, labels: LabelScheme) -> LabelArray:
    """Return the class indices with ignored voxels set to background."""
    if labels.ignored_index is None:
        return reference
    return np.where(reference == labels.ignored_index, 0, reference)


def draw_cases(
    report: Report,
    files: Sequence[CaseFiles],
    outputs: Path,
    labels: LabelScheme,
    path: Path,
    *,
    are_named: bool = True,
) -> None:
    """Draw the worst, the median and the best case of a fold, if any case is scored.

    Args:
        report: Scores of the cases.
        files: Files of the cases.
        outputs: Folder of their predicted label maps.
        labels: The classes.
        path: PNG file to write.
        are_named: Whether to write the names of the cases above them, or else their numbers.
    """
    scored = sorted((_mean_dice(case), case.name) for case in report.cases)
    positions = sorted({0, len(scored) // 2, len(scored) - 1}) if scored else []
    panels: list[Panel] = []
    for position in positions:
        dice, name = scored[position]
        case = next(entry for entry in files if entry.name == name)
        image = read_image(case.images)
        reference = _without_ignored(
            labels.encode(read_labels(case.labels, like=image).values), labels
        )
        prediction = labels.encode(read_labels(label_map(outputs, case), like=image).values)
        title = f"{name if are_named else f'case {len(panels) + 1}'}: Dice {dice:.3f}"
        panels.append(make_panel(title, image.voxels, reference, prediction))
    if panels:
        draw_overlay(tuple(panels), labels.names, path)


def _mean_dice(case: CaseScores) -> float:
    known = [scores.dice for scores in case.classes if scores.dice is not None]
    return sum(known) / len(known) if known else 1.0


def held_out_probabilities(folder: Path, case: CaseFiles) -> Path:
    """Return the folder of the probabilities that a fold predicts for a held-out case."""
    return folder / VALIDATION_NAME / PROBABILITIES_NAME / case.name
