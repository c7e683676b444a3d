"""Measure unlabelled images: how much predictions disagree, and what the image looks like."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from autoseg.core.labels import LabelScheme
from autoseg.core.parallel import Failure, run_each
from autoseg.core.progress import Progress
from autoseg.datasets.inputs import InputCase
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.quality import CaseTtaConsistency
from autoseg.documents.workspace import Workspace
from autoseg.evaluation.ranking import flip_disagreement, fold_disagreement
from autoseg.readers import read_image, read_labels
from autoseg.readers.names import label_ending
from autoseg.reporting.case_look import BLOCKS, THUMBNAIL_PIXELS
from autoseg.reporting.pictures import block_means, thumbnail


@dataclass(frozen=True)
class ImageTask:
    """An image with its predictions.

    Attributes:
        case: Files of the image.
        folders: Folder of the predictions of each fold.
        labels: The classes.
    """

    case: InputCase
    folders: tuple[Path, ...]
    labels: LabelScheme


@dataclass(frozen=True)
class MeasuredImage:
    """Measurements and a small picture of one image.

    Attributes:
        name: Name of the image.
        fold_disagreement: See `RankedImage`.
        flip_disagreement: See `RankedImage`.
        means: Normalised means of blocks of the image.
        picture: WebP file with the outlines of the first fold's prediction.
    """

    name: str
    fold_disagreement: float | None
    flip_disagreement: float | None
    means: Float[np.ndarray, " values"]
    picture: bytes

    @property
    def uncertainty(self) -> float:
        """Mean of the known disagreements; 0 if none is known."""
        kinds = (self.fold_disagreement, self.flip_disagreement)
        known = [value for value in kinds if value is not None]
        return sum(known) / len(known) if known else 0.0


def predicted_path(folder: Path, case: InputCase) -> Path:
    """Return the path of the label map that a fold predicts for an image."""
    return folder / f"{case.name}{label_ending(case.ending)}"


def consistency_path(folder: Path, name: str) -> Path:
    """Return the path of the TTA consistency of a fold on an image."""
    return folder / "consistency" / f"{name}.json"


def measure_image(task: ImageTask) -> MeasuredImage:
    """Compare the predictions of all folds for an image, and draw it."""
    image = read_image(task.case.images)
    paths = [predicted_path(folder, task.case) for folder in task.folders]
    predictions = [read_labels(path, like=image).values for path in paths]
    name = task.case.name
    saved = [
        store.load(CaseTtaConsistency, consistency_path(folder, name)) for folder in task.folders
    ]
    classes = task.labels.encode(predictions[0])
    return MeasuredImage(
        name=name,
        fold_disagreement=fold_disagreement(predictions, task.labels.targets),
        flip_disagreement=flip_disagreement([entry.targets for entry in saved]),
        means=block_means(image.voxels, BLOCKS[classes.ndim]),
        picture=thumbnail(image.voxels, classes, image.geometry.spacing, THUMBNAIL_PIXELS),
    )


def labelled_means(model: Path, workers: int, progress: Progress) -> list[np.ndarray]:
    """Return the block means of the training images of a model in a work folder.

    Images that cannot be read are skipped. Elsewhere than in a work folder, such as in a model
    file, the training images are unknown; the result is empty then.

    Args:
        model: Path of the model.
        workers: Number of processes.
        progress: Receives the progress.
    """
    folder = next((each for each in (model, *model.parents) if _is_work_folder(each)), None)
    if folder is None:
        return []
    cases = store.load(DatasetSpec, Workspace(folder).dataset).cases
    outcomes = run_each(_means, cases, workers=workers)
    tracked = progress.track(outcomes, description="Reading labelled images", total=len(cases))
    return [outcome.value for outcome in tracked if not isinstance(outcome, Failure)]


def _is_work_folder(folder: Path) -> bool:
    workspace = Workspace(folder)
    return workspace.dataset.is_file() and workspace.models.is_dir()


def _means(case: CaseFiles) -> np.ndarray:
    image = read_image(case.images)
    return block_means(image.voxels, BLOCKS[len(image.shape)])
