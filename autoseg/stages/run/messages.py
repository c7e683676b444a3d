"""Messages of a run about its trainings: their time, their scores, and dropped candidates."""

from collections.abc import Mapping, Sequence

from autoseg.core.formatting import format_count, format_duration
from autoseg.documents.report import Report
from autoseg.documents.run_schedule import RunSchedule, ScheduledTraining
from autoseg.planning.run_candidates import DICE_MARGIN, Key


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


def training_announcement(schedule: RunSchedule, entry: ScheduledTraining) -> str:
    """Announce the next training, with its time and the remaining budget."""
    time = "at full length" if entry.seconds is None else f"for {format_duration(entry.seconds)}"
    left = schedule.seconds_left
    remaining = "" if left is None else f"; {format_duration(left)} of the budget left"
    return f"\n{entry.configuration}, fold {entry.fold}: training {time}{remaining}"
