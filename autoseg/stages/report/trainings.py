"""Load the records of trainings for a report."""

from pathlib import Path

from autoseg.core.errors import DocumentError
from autoseg.documents import store
from autoseg.documents.run import EpochRecord, Run
from autoseg.documents.run_schedule import RunSchedule
from autoseg.documents.splits import fold_from_folder
from autoseg.documents.workspace import Workspace
from autoseg.reporting.training_section import LearningCurve

LOG_NAME = "log.jsonl"


def fold_folders(workspace: Workspace) -> list[Path]:
    """Return the folders of all folds with a log, sorted by configuration and fold."""
    return [
        folder
        for folder in sorted(workspace.models.glob("*/fold_*"))
        if fold_from_folder(folder.name) is not None and (folder / LOG_NAME).is_file()
    ]


def finished_runs(workspace: Workspace) -> tuple[Run, ...]:
    """Load the records of the finished trainings."""
    paths = (folder / Run.FILE_NAME for folder in fold_folders(workspace))
    return tuple(store.load(Run, path) for path in paths if path.is_file())


def learning_curves(workspace: Workspace) -> tuple[LearningCurve, ...]:
    """Load the learning curves of all trainings, finished or not."""
    curves = []
    for folder in fold_folders(workspace):
        name = f"{folder.parent.name}, fold {fold_from_folder(folder.name)}"
        records = _read_log(folder / LOG_NAME)
        if records:
            is_finished = (folder / Run.FILE_NAME).is_file()
            curves.append(LearningCurve(name, records, is_finished))
    return tuple(curves)


def load_schedule(workspace: Workspace) -> RunSchedule | None:
    """Load the schedule of `autoseg run`; None if it was not used."""
    if not workspace.schedule.is_file():
        return None
    return store.load(RunSchedule, workspace.schedule)


def _read_log(path: Path) -> tuple[EpochRecord, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return tuple(EpochRecord.model_validate_json(line) for line in lines if line)
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read as a log of a training: {error}"
        raise DocumentError(msg) from error
