"""Trainings of a run: those in the work folder that are finished, and messages about each."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from autoseg.core.errors import TrainingError
from autoseg.core.formatting import format_count, format_duration, format_value
from autoseg.core.json_text import whole_number
from autoseg.core.progress import DoneTask, Overview, Progress
from autoseg.documents import store
from autoseg.documents.model import WEIGHTS_NAME
from autoseg.documents.plan import Plan
from autoseg.documents.report import Report
from autoseg.documents.run import Run
from autoseg.documents.run_schedule import RunSchedule, ScheduledTraining
from autoseg.documents.workspace import Workspace
from autoseg.planning.run_candidates import DICE_MARGIN, Key, remaining_trainings
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
            if not (whole_number(number) is not None and scores.is_file()):
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


def score_message(entry: ScheduledTraining, report: Report) -> str:
    """Format the mean Dice and the Dice per class of a training's held-out cases."""
    classes = ", ".join(
        f"{scores.name} {scores.means.dice.value:.3f}"
        for scores in report.classes
        if scores.means.dice.value is not None
    )
    value = report.foreground.dice.value
    mean = "undefined" if value is None else f"{value:.3f} ({classes})"
    return f"{entry.configuration}, fold {entry.fold}: Dice {mean}"


def notes_on_dropped(names: Sequence[str], dice: Mapping[Key, float], num_folds: int) -> list[str]:
    """Build a note with the reason for each candidate that is not trained on all folds.

    Args:
        names: Names of the candidates.
        dice: Mean Dice of the held-out cases of each finished training.
        num_folds: Number of folds.
    """
    notes = []
    best = max((name for name in names if (name, 0) in dice), key=lambda name: dice[name, 0])
    for name in names:
        trained = sum((name, fold) in dice for fold in range(num_folds))
        behind = dice[best, 0] - dice.get((name, 0), 0.0)
        if trained == 0:
            notes.append(
                f"note: {name} is not trained: its previous stage scored too far below the best "
                "candidate, or the budget is too small"
            )
        elif trained < num_folds and behind > DICE_MARGIN:
            notes.append(
                f"note: {name} stops after fold 0: its Dice is {dice[name, 0]:.3f}, more than "
                f"{DICE_MARGIN} below the {dice[best, 0]:.3f} of {best}"
            )
        elif trained < num_folds:
            notes.append(
                f"note: {name} stops after {format_count(trained, 'fold')}: the budget is too "
                "small for the others"
            )
    return notes


def run_overview(
    plan: Plan,
    schedule: RunSchedule,
    reports: Mapping[Key, Report],
    num_folds: int,
    running: Key | None,
) -> Overview:
    """Build the overview of a run.

    Without a budget, the time left is estimated from the mean time of the finished trainings.

    Args:
        plan: The plan.
        schedule: Schedule of the run.
        reports: Scores of the finished trainings.
        num_folds: Number of folds.
        running: The training that starts now; None if all are finished.
    """
    dice = mean_dice(reports)
    done, seconds = [], []
    for name, fold in sorted(reports, key=lambda key: (schedule.candidates.index(key[0]), key)):
        entry = schedule.training(name, fold)
        time = None if entry is None else entry.trained_seconds
        if entry is not None and time is not None:
            time += entry.overhead_seconds or 0.0
            seconds.append(time)
        value = reports[name, fold].foreground.dice.value
        done.append(DoneTask(f"{name}, fold {fold}", format_value(value), time))
    name = "selection, model file and test cases"
    upcoming: tuple[str, ...] = ()
    if running is not None:
        name = f"{running[0]}, fold {running[1]}"
        upcoming = _upcoming(plan, schedule.candidates, num_folds, dice, running)
    left = schedule.seconds_left
    if left is None and seconds and running is not None:
        count = remaining_trainings(plan, schedule.candidates, num_folds, dice)
        left = max(1, count) * sum(seconds) / len(seconds)
    return Overview(tuple(done), name, upcoming, left, schedule.budget_seconds is not None)


def _upcoming(
    plan: Plan, names: Sequence[str], num_folds: int, dice: Mapping[Key, float], running: Key
) -> tuple[str, ...]:
    """Return the names of the required trainings after the running one."""
    first = [
        f"{name}, fold 0"
        for name in names
        if plan.configuration(name).previous_stage is None
        and (name, 0) not in dice
        and (name, 0) != running
    ]
    others = remaining_trainings(plan, names, num_folds, dice) - len(first) - 1
    if others > 0:
        of = names[0] if len(names) == 1 else "the best configuration"
        first.append(f"{format_count(others, 'more fold')} of {of}")
    return tuple(first)


def training_announcement(schedule: RunSchedule, entry: ScheduledTraining) -> str:
    """Announce the next training, with its time and the remaining budget."""
    time = "at full length" if entry.seconds is None else f"for {format_duration(entry.seconds)}"
    left = schedule.seconds_left
    remaining = "" if left is None else f"; {format_duration(left)} of the budget left"
    return f"\n{entry.configuration}, fold {entry.fold}: training {time}{remaining}"
