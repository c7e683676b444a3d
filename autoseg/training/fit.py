"""Train a network, and continue once from an earlier step if its loss becomes NaN or infinite."""

from autoseg.core.errors import TrainingError
from autoseg.training.checkpoint import load_checkpoint
from autoseg.training.loop import NonFiniteLossError, new_state, save_state, train_until_finished
from autoseg.training.position import Position
from autoseg.training.state import TrainingState
from autoseg.training.task import Callbacks, TrainingTask

RATE_AFTER_RESTORING = 0.5
"""Factor of the learning rate after the training was restored because its loss was not finite."""


def fit(task: TrainingTask, state: TrainingState, callbacks: Callbacks) -> None:
    """Train until the end of the task.

    If the loss or the gradient is not finite, the training continues once from its last checkpoint,
    or from the beginning, with half the learning rate.

    Args:
        task: The training task.
        state: Initial or resumed state, which is changed.
        callbacks: Callbacks.

    Raises:
        Interrupted: If a stop was requested; the checkpoint is up to date.
        TrainingError: If the loss is not finite again, memory ran out, the network cannot be
            compiled, or a worker process was killed.
        CaseError: If a prepared case cannot be read.
    """
    while True:
        try:
            train_until_finished(task, state, callbacks)
        except NonFiniteLossError as error:
            if state.rate_factor < 1:
                raise _still_not_finite(error) from error
            issue = str(error)
        else:
            return
        _restore(task, state)  # outside of `except`, which would keep the last batch in memory
        step = state.position.step
        place = f"the checkpoint of step {step}" if step else "the beginning"
        callbacks.say(
            f"note: {issue}; the training continues from {place} with half the learning rate"
        )


def _restore(task: TrainingTask, state: TrainingState) -> None:
    """Restore the last checkpoint, or the initial state, and lower the learning rate.

    The time of the discarded steps counts. The lower rate is saved at once, so that it also applies
    if the training is interrupted and resumed.
    """
    seconds = state.position.seconds
    if task.checkpoint.is_file():
        load_checkpoint(state, task.checkpoint, identity=task.identity)
    else:
        vars(state).update(vars(new_state(task, epoch_steps=state.epoch_steps)))
    state.position = Position(state.position.step, seconds)
    state.rate_factor = RATE_AFTER_RESTORING
    save_state(task, state)


def _still_not_finite(error: NonFiniteLossError) -> TrainingError:
    return TrainingError(
        f"{error}, although the training had continued from an earlier step with half the learning "
        "rate; the last checkpoint is kept. Check the intensities of the training images, lower "
        "the learning rate in the plan's recipe, or train with --precision float32."
    )
