"""Find the finished trainings in a work folder, made by `autoseg run` or `autoseg train`."""

from collections.abc import Mapping
from pathlib import Path

from autoseg.core.errors import TrainingError
from autoseg.core.formatting import format_duration
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.model import WEIGHTS_NAME
from autoseg.documents.report import Report
from autoseg.documents.run import Run
from autoseg.documents.run_schedule import RunSchedule
from autoseg.documents.workspace import Workspace
from autoseg.planning.run_candidates import Key
from autoseg.stages.train.score_fold import VALIDATION_NAME
from autoseg.stages.train.task import CHECKPOINT_NAME


def finished_reports(
    workspace: Workspace, schedule: RunSchedule, progress: Progress
) -> dict[Key, Report]:
    """Load the scores of all finished and scored trainings of a run's candidates.

    Args:
        workspace: Work folder.
        schedule: Schedule of the run.
        progress: Receives a note for each training that the run uses but did not start.
    """
    reports: dict[Key, Report] = {}
    for name in schedule.candidates:
        for weights in (workspace.models / name).glob(f"fold_*/{WEIGHTS_NAME}"):
            folder = weights.parent
            number = folder.name.removeprefix("fold_")
            scores, record = folder / VALIDATION_NAME / Report.FILE_NAME, folder / Run.FILE_NAME
            if not (number.isdigit() and scores.is_file()):
                continue
            fold = int(number)
            reports[name, fold] = store.load(Report, scores)
            if schedule.training(name, fold) is None and record.is_file():
                trained = store.load(Run, record)
                progress.say(
                    f"note: {name}, fold {fold}, was trained before, {trained.steps} steps in "
                    f"{format_duration(trained.seconds)}, and is used as it is. To train it like "
                    f"the others, delete {folder}"
                )
    return reports


def mean_dice(reports: Mapping[Key, Report]) -> dict[Key, float]:
    """Return the mean Dice of each training; 0 where none is defined."""
    return {key: report.foreground.dice.value or 0.0 for key, report in reports.items()}


def check_not_started(folder: Path) -> None:
    """Check that a fold has no unfinished training that `autoseg train` started.

    Raises:
        TrainingError: If it has one.
    """
    if (folder / CHECKPOINT_NAME).is_file() and not (folder / WEIGHTS_NAME).is_file():
        msg = (
            f"{folder} holds an unfinished training of `autoseg train`. Finish it with the same "
            "command, or delete that folder to let `autoseg run` start it from scratch."
        )
        raise TrainingError(msg)
