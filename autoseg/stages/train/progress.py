"""Progress of a training: forecast, status line, log and learning curves."""

from pathlib import Path
from time import perf_counter

from autoseg.core.atomic_write import atomic_write
from autoseg.core.formatting import format_count, format_duration, format_shape, format_value
from autoseg.core.progress import Progress
from autoseg.documents.recipe import AnyLength, Budget
from autoseg.documents.run import EpochRecord, Run
from autoseg.training.curves import CURVES_NAME, draw_curves
from autoseg.training.state import TrainingState
from autoseg.training.task import TrainingTask

STATUS_SECONDS = 0.5
"""Minimum time between two updates of the status line."""

PICTURE_SECONDS = 60.0
"""Minimum time between two drawings of the curves; they are also drawn at the end."""

LONG_HOURS = 48.0
"""Longer forecasts advise setting a budget."""


def announce(task: TrainingTask, progress: Progress) -> None:
    """Print the network, the number of cases, the device, the data type, and the batch shape."""
    parameters = sum(weight.numel() for weight in task.architecture.build().parameters())
    held_out = len(task.data.held_out_cases)
    size = f"{parameters / 1e6:.1f} million" if parameters >= 1e6 else f"{parameters:,}"
    progress.say(
        f"training {task.architecture.kind} ({size} weights) on "
        f"{format_count(len(task.data.training_cases), 'case')}, {held_out or 'none'} held out; "
        f"{task.device}, {str(task.dtype).removeprefix('torch.')}, batch size "
        f"{task.data.training.batch_size}, patch {format_shape(task.data.training.patch_shape)}"
    )


def forecast_message(length: AnyLength, seconds_per_step: float) -> str:
    """Format the expected training time, or the number of steps that fit the budget."""
    speed = f"{seconds_per_step:.2f} s per step"
    if isinstance(length, Budget):
        steps = int(length.steps(seconds_per_step))
        return (
            f"forecast: {speed}; about {steps} steps in {format_duration(steps * seconds_per_step)}"
        )
    seconds = length.total * seconds_per_step
    takes = "takes" if length.total == 1 else "take"
    text = (
        f"forecast: {speed}; {format_count(length.total, 'step')} {takes} "
        f"{format_duration(seconds)}"
    )
    if seconds > LONG_HOURS * 3600:
        text += (
            ". To get a useful model sooner, stop (Ctrl-C) and start over with a time budget, for "
            "example --restart --budget 2h: the learning rate then decays to zero within it"
        )
    return text


def memory_message(run: Run) -> str:
    """Format the measured and the predicted memory of a training."""
    return (
        f"memory: {format_value(run.peak_memory_gib, '.3g')} GiB at the peak of this training, "
        f"{format_value(run.predicted_memory_gib, '.3g')} GiB predicted for a step in half "
        "precision"
    )


class TrainingReporter:
    """Reports a training through status lines, `log.jsonl` and `curves.png`.

    Args:
        task: The training task.
        folder: Fold folder, in which log and curves are saved.
        class_names: Names of the foreground classes or regions, in the order of their pseudo Dice.
        progress: Receives status lines and messages.
    """

    def __init__(
        self, task: TrainingTask, folder: Path, class_names: tuple[str, ...], progress: Progress
    ) -> None:
        self._task = task
        self._folder = folder
        self._class_names = class_names
        self._progress = progress
        self._next_status = 0.0
        self._next_picture = 0.0

    def on_step(self, state: TrainingState) -> None:
        """Update the status line."""
        if perf_counter() < self._next_status:
            return
        self._next_status = perf_counter() + STATUS_SECONDS
        recent = state.epoch_losses[-20:]
        loss = f" · loss {sum(recent) / len(recent):.3f}" if recent else ""
        left = state.position.seconds_left(self._task.length)
        ending = f" · {format_duration(left)} left" if left is not None else ""
        total = "" if isinstance(self._task.length, Budget) else f" of {self._task.length.total}"
        epoch = len(state.history) + bool(recent)
        self._progress.status(f"epoch {epoch} · step {state.position.step}{total}{loss}{ending}")

    def on_epoch(self, state: TrainingState) -> None:
        """Print and log the finished epoch, and redraw the curves from time to time."""
        self._progress.say(self._line(state.history[-1], state))
        self._log(state)
        if perf_counter() >= self._next_picture:
            self._draw(state)
            self._next_picture = perf_counter() + PICTURE_SECONDS

    def finish(self, state: TrainingState) -> None:
        """Write the final log and curves."""
        self._log(state)
        self._draw(state)

    def _line(self, record: EpochRecord, state: TrainingState) -> str:
        mean = record.mean_pseudo_dice
        named = zip(self._class_names, record.pseudo_dice, strict=True)
        classes = ", ".join(f"{name} {format_value(value)}" for name, value in list(named)[:8])
        left = state.position.seconds_left(self._task.length) or 0.0
        return (
            f"epoch {record.epoch} · step {record.step} · loss {record.training_loss:.3f} · "
            f"validation {format_value(record.validation_loss)} · pseudo-Dice {format_value(mean)} "
            f"({classes}) · {format_duration(left)} left"
        )

    def _log(self, state: TrainingState) -> None:
        with atomic_write(self._folder / "log.jsonl") as temporary:
            lines = [record.model_dump_json() for record in state.history]
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def _draw(self, state: TrainingState) -> None:
        if state.history:
            draw_curves(tuple(state.history), self._class_names, self._folder / CURVES_NAME)
