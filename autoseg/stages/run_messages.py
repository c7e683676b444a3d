"""What a run tells of its trainings: how long each may take, how good it is, and who drops out."""

from collections.abc import Mapping, Sequence

from autoseg.core.text import counted
from autoseg.documents.report import Report
from autoseg.documents.run_schedule import RunSchedule, ScheduledTraining
from autoseg.planning.run_candidates import DICE_MARGIN, Key
from autoseg.stages.training_progress import duration


def score_of(entry: ScheduledTraining, report: Report) -> str:
    """Return the Dice of a training's held-out cases, its mean and that of each class."""
    classes = ", ".join(
        f"{found.name} {found.means.dice.value:.3f}"
        for found in report.classes
        if found.means.dice.value is not None
    )
    value = report.foreground.dice.value
    mean = "undefined" if value is None else f"{value:.3f} ({classes})"
    return f"{entry.configuration}, fold {entry.fold}: Dice {mean}"


def notes_on_dropped(names: Sequence[str], dice: Mapping[Key, float], num_folds: int) -> list[str]:
    """Return a sentence on each entrant that a run does not train to the end, and why."""
    notes = []
    best = max((name for name in names if (name, 0) in dice), key=lambda name: dice[name, 0])
    for name in names:
        trained = sum((name, fold) in dice for fold in range(num_folds))
        behind = dice[best, 0] - dice.get((name, 0), 0.0)
        if trained == 0:
            notes.append(
                f"note: {name} is not trained: the configuration to refine was too far from the "
                "best, or the budget does not hold it"
            )
        elif trained < num_folds and behind > DICE_MARGIN:
            notes.append(
                f"note: {name} ends after fold 0: its Dice there is {dice[name, 0]:.3f}, more than "
                f"{DICE_MARGIN} below that of {best}, {dice[best, 0]:.3f}"
            )
        elif trained < num_folds:
            notes.append(
                f"note: {name} ends after {counted(trained, 'fold')}: the budget does not hold the "
                "others"
            )
    return notes


def announcement(schedule: RunSchedule, entry: ScheduledTraining) -> str:
    """Return what trains next, how long, and what is left then."""
    time = "in full" if entry.seconds is None else f"for {duration(entry.seconds)}"
    left = schedule.seconds_left
    rest = "" if left is None else f"; {duration(left)} of the budget left"
    return f"\n{entry.configuration}, fold {entry.fold}: training {time}{rest}"
