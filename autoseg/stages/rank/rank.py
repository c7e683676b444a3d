"""Predict unlabelled images with every fold, and order them by disagreement and novelty."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_count
from autoseg.core.parallel import Failure, run_each
from autoseg.core.progress import Progress
from autoseg.datasets.inputs import InputCase, find_inputs
from autoseg.documents import store
from autoseg.documents.quality import CaseTtaConsistency
from autoseg.documents.ranking import RankedImage, Ranking
from autoseg.documents.report import UnscoredCase
from autoseg.documents.splits import FoldName, default_folds
from autoseg.evaluation.ranking import order_by_gain
from autoseg.inference.selected_model import as_selected_model
from autoseg.models.folder import StoredModel
from autoseg.models.loader import load_stored
from autoseg.models.model_selection import find_selection
from autoseg.stages.predict.predict import PredictOptions, predict_cases
from autoseg.stages.rank.images import (
    ImageTask,
    MeasuredImage,
    consistency_path,
    labelled_means,
    measure_image,
    predicted_path,
)
from autoseg.stages.rank.pages import save_table, write_page

PREDICTIONS_NAME = "predictions"
"""Folder with the label maps of each fold, in the output folder."""


@dataclass(frozen=True)
class RankReport:
    """Outcome of a ranking.

    Attributes:
        ranking: The order.
        page: HTML page with pictures.
        failures: Images that could not be predicted or read.
    """

    ranking: Ranking
    page: Path
    failures: tuple[UnscoredCase, ...]


def rank(inputs: Path, outputs: Path, options: PredictOptions, progress: Progress) -> RankReport:
    """Order unlabelled images by the expected gain of annotating them.

    Existing predictions in the output folder are reused, so that an interrupted command resumes.
    Of several selected configurations, the first one predicts.

    Args:
        inputs: Folder of images.
        outputs: Folder for the ranking and the predictions.
        options: Model, folds and hardware, as for prediction.
        progress: Receives progress and warnings.

    Raises:
        ModelError: If there is no model or more than one.
        DatasetError: If no image is found, or none can be predicted.
    """
    stored = find_selection(options.model, options.folds)
    member, folds = stored.members[0], stored.folds[0] or default_folds(stored.members[0].folds())
    plan = member.read_plan()
    cases = find_inputs(inputs, num_channels=len(plan.channel_names), series=options.series)
    failures: dict[str, UnscoredCase] = {}
    for fold in folds:
        progress.say(f"predicting {format_count(len(cases), 'image')} with fold {fold}")
        for failure in _predict_fold(member, fold, cases, outputs, options, progress):
            failures.setdefault(failure.name, failure)
    tasks = [
        ImageTask(case, tuple(_folder(outputs, fold) for fold in folds), plan.labels)
        for case in cases
        if case.name not in failures
    ]
    measured = _measured(tasks, failures, options.compute.num_workers, progress)
    if not measured:
        reasons = "; ".join(f"{entry.name}: {entry.message}" for entry in failures.values())
        msg = f"none of the images in {inputs} could be predicted and read: {reasons}"
        raise DatasetError(msg)
    known = labelled_means(stored.path, options.compute.num_workers, progress)
    ranking = _ranking(measured, known, str(stored.path))
    store.save(ranking, outputs / Ranking.FILE_NAME)
    save_table(ranking, outputs / Ranking.TABLE_NAME)
    page = write_page(ranking, measured, outputs)
    return RankReport(ranking, page, tuple(failures.values()))


def _folder(outputs: Path, fold: FoldName) -> Path:
    return outputs / PREDICTIONS_NAME / f"fold_{fold}"


def _predict_fold(
    member: StoredModel,
    fold: FoldName,
    cases: Sequence[InputCase],
    outputs: Path,
    options: PredictOptions,
    progress: Progress,
) -> tuple[UnscoredCase, ...]:
    """Predict all images with one fold, and save the TTA consistency of each."""
    folder = _folder(outputs, fold)

    def save(consistency: CaseTtaConsistency) -> None:
        store.save(consistency, consistency_path(folder, consistency.name))

    for case in cases:  # a label map without its consistency was written by a killed command
        if not consistency_path(folder, case.name).is_file():
            predicted_path(folder, case).unlink(missing_ok=True)
    model = as_selected_model(load_stored(member, options.loading(progress), (fold,)))
    options = replace(options, skip_existing=True)
    report = predict_cases(cases, folder, model, options, progress, on_written=save)
    return report.failures


def _measured(
    tasks: Sequence[ImageTask],
    failures: dict[str, UnscoredCase],
    workers: int,
    progress: Progress,
) -> list[MeasuredImage]:
    """Measure the images; those that cannot be read are added to the failures."""
    measured = []
    outcomes = run_each(measure_image, tasks, workers=workers)
    for outcome in progress.track(outcomes, description="Comparing", total=len(tasks)):
        if isinstance(outcome, Failure):
            name = tasks[outcome.index].case.name
            failures[name] = UnscoredCase(name=name, message=outcome.message)
        else:
            measured.append(outcome.value)
    return sorted(measured, key=lambda image: image.name)


def _ranking(
    images: Sequence[MeasuredImage], labelled: Sequence[np.ndarray], model: str
) -> Ranking:
    features = np.stack([image.means for image in images])
    known = np.stack(labelled) if len(labelled) else np.zeros((0, features.shape[1]))
    uncertainties = np.array([image.uncertainty for image in images])
    order = order_by_gain(uncertainties, features, known)
    entries = tuple(
        RankedImage(
            rank=place,
            name=images[index].name,
            gain=gain,
            uncertainty=images[index].uncertainty,
            fold_disagreement=images[index].fold_disagreement,
            flip_disagreement=images[index].flip_disagreement,
            novelty=novelty,
        )
        for place, (index, gain, novelty) in enumerate(order, start=1)
    )
    return Ranking(model=model, num_labelled=len(labelled), images=entries)
