"""Find the finished trainings in a work folder, made by `autoseg run` or `autoseg train`."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from autoseg.core.errors import TrainingError
from autoseg.documents import store
from autoseg.documents.model import WEIGHTS_NAME
from autoseg.documents.report import Report
from autoseg.documents.run import Run
from autoseg.documents.run_schedule import RunSchedule
from autoseg.documents.workspace import Workspace
from autoseg.planning.run_candidates import Key
from autoseg.stages.evaluate import REPORT_NAME
from autoseg.stages.score_fold import VALIDATION_NAME
from autoseg.stages.train import RUN_NAME
from autoseg.stages.training_task import CHECKPOINT_NAME

MADE_BY = "autoseg train"


def finished_reports(workspace: Workspace, names: tuple[str, ...]) -> dict[Key, Report]:
    """Load the scores of all finished and scored trainings of some configurations."""
    reports: dict[Key, Report] = {}
    for name in names:
        for weights in (workspace.models / name).glob(f"fold_*/{WEIGHTS_NAME}"):
            number = weights.parent.name.removeprefix("fold_")
            scores = weights.parent / VALIDATION_NAME / REPORT_NAME
            if number.isdigit() and scores.is_file():
                reports[name, int(number)] = store.load(Report, scores, made_by=MADE_BY)
    return reports


def mean_dice(reports: Mapping[Key, Report]) -> dict[Key, float]:
    """Return the mean Dice of each training; 0 where none is defined."""
    return {key: report.foreground.dice.value or 0.0 for key, report in reports.items()}


def notes_on_earlier_trainings(workspace: Workspace, schedule: RunSchedule) -> Iterator[str]:
    """Yield a note for each finished training that the run uses but did not start."""
    for name, fold in finished_reports(workspace, schedule.candidates):
        record = workspace.fold(name, fold) / RUN_NAME
        if schedule.training(name, fold) is None and record.is_file():
            trained = store.load(Run, record, made_by=MADE_BY)
            yield (
                f"note: {name}, fold {fold}, was trained before, {trained.steps} steps in "
                f"{trained.seconds:.0f} s, and is used as it is. To train it like the others, "
                f"delete {workspace.fold(name, fold)}"
            )


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
