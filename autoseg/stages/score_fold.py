"""Predict the held-out cases of a fold whole, and score them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from autoseg.core.arrays import LabelArray
from autoseg.core.errors import TrainingError
from autoseg.core.labels import LabelScheme
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.model import WEIGHTS_NAME
from autoseg.documents.report import CaseScores, Report
from autoseg.documents.splits import Fold
from autoseg.documents.workspace import Workspace
from autoseg.evaluation.overlay import draw_overlay, panel
from autoseg.inference.model import load_model
from autoseg.inference.model_selection import only
from autoseg.inference.probabilities import has_probabilities
from autoseg.readers import read_image, read_labels
from autoseg.stages.evaluate import REPORT_NAME
from autoseg.stages.label_state import have_labels_changed
from autoseg.stages.predict import PredictOptions
from autoseg.stages.score_cases import label_map, score_cases
from autoseg.stages.step_check import known_precision

VALIDATION_NAME = "validation"
"""Folder of the predicted held-out cases and their scores, in the fold's folder."""

PROBABILITIES_NAME = "probabilities"
"""Folder of what the network found for them, for `autoseg select`; in the folder above."""

OVERLAY_NAME = "overlay.png"
"""Picture of the worst, the middle and the best of them, in the fold's folder: among the label maps
it would count as one."""


def score_fold(
    workspace: Workspace, folder: Path, fold: Fold, options: PredictOptions, progress: Progress
) -> Report:
    """Return the scores of a trained fold's held-out cases, against the user's own label files.

    Their compact probabilities are kept too, for `autoseg select`. Label maps that were predicted
    before, with the same weights, are kept, and so are their scores unless label files have changed
    since. A case that could not be predicted or scored is listed in the report's issues, and is
    tried again by the next call.

    Args:
        workspace: Work folder of the dataset.
        folder: The fold's folder, with its weights.
        fold: Which cases are held out.
        options: Device, precision and workers.
        progress: Where to report to.

    Raises:
        TrainingError: If the fold was scored on other cases before.
    """
    outputs = folder / VALIDATION_NAME
    known = saved_report(folder, fold)
    spec = store.load(DatasetSpec, workspace.dataset, made_by="autoseg plan")
    files = [case for case in spec.cases if case.name in fold.validation]
    kept = all(has_probabilities(held_out_probabilities(folder, case)) for case in files)
    if known is not None and not known.issues and kept and not have_labels_changed(known, files):
        return known
    progress.begin(f"scoring the held-out cases of {folder}")
    model = load_model(
        folder,
        device=options.device,
        precision=options.precision,
        rule=known_precision(options.cache, progress),
    )
    options = replace(options, skip_existing=True, probabilities=outputs / PROBABILITIES_NAME)
    report = score_cases(files, outputs, only(model), options, progress)
    if known is not None and report.seconds_per_case is None:  # nothing had to be predicted
        report = report.model_copy(update={"seconds_per_case": known.seconds_per_case})
    store.save(report, outputs / REPORT_NAME)
    _draw(report, files, outputs, model.plan.labels)
    return report


def saved_report(folder: Path, fold: Fold) -> Report | None:
    """Return the report that was made with a fold's weights; some cases may be its issues.

    Raises:
        TrainingError: If other cases were held out then: these weights may know the present ones.
    """
    saved = folder / VALIDATION_NAME / REPORT_NAME
    if not saved.is_file() or saved.stat().st_mtime < (folder / WEIGHTS_NAME).stat().st_mtime:
        return None
    report = store.load(Report, saved, made_by="autoseg train")
    names = {case.name for case in report.cases} | {issue.name for issue in report.issues}
    if names != set(fold.validation):
        msg = (
            f"{folder} was trained when it held out {_some(names)}; now it should hold out "
            f"{_some(set(fold.validation))}, some of which it may have been trained on. Restore "
            "splits.json, or train it anew with --restart."
        )
        raise TrainingError(msg)
    return report


def _some(names: set[str]) -> str:
    return f"{len(names)} cases ({', '.join(sorted(names)[:3])}{' …' if len(names) > 3 else ''})"


def _drawn(reference: LabelArray, labels: LabelScheme) -> LabelArray:
    """Return class indices with nothing drawn where nobody annotated."""
    if labels.ignored_index is None:
        return reference
    return np.where(reference == labels.ignored_index, 0, reference)


def _draw(report: Report, files: Sequence[CaseFiles], outputs: Path, labels: LabelScheme) -> None:
    """Draw the worst, the middle and the best case of a fold."""
    scored = sorted((_mean_dice(case), case.name) for case in report.cases)
    places = sorted({0, len(scored) // 2, len(scored) - 1}) if scored else []
    panels = []
    for place in places:
        dice, name = scored[place]
        case = next(entry for entry in files if entry.name == name)
        image = read_image(case.images)
        reference = _drawn(labels.encode(read_labels(case.labels, like=image).values), labels)
        prediction = labels.encode(read_labels(label_map(outputs, case), like=image).values)
        panels.append(panel(f"{name}: Dice {dice:.3f}", image.voxels, reference, prediction))
    if panels:
        draw_overlay(tuple(panels), labels.names, outputs.parent / OVERLAY_NAME)


def _mean_dice(case: CaseScores) -> float:
    known = [scores.dice for scores in case.classes if scores.dice is not None]
    return sum(known) / len(known) if known else 1.0


def held_out_probabilities(folder: Path, case: CaseFiles) -> Path:
    """Return where a fold's network's probabilities of a held-out case lie."""
    return folder / VALIDATION_NAME / PROBABILITIES_NAME / case.name
