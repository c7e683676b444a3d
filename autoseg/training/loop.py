"""Training loop: step, validate, save checkpoints, stop on request or at the end."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from math import isfinite
from statistics import median_high
from time import perf_counter

import torch
from torch import nn

from autoseg.core.allocator import keep_freed_memory
from autoseg.core.device import replace_out_of_memory_error
from autoseg.core.errors import Interrupted, TrainingError
from autoseg.core.formatting import format_shape
from autoseg.documents.recipe import AnyLength, Budget
from autoseg.documents.run import EpochRecord
from autoseg.losses.distance_loss import DistanceLoss
from autoseg.training.checkpoint import save_checkpoint
from autoseg.training.loading import (
    BatchIndex,
    BatchSampler,
    load_batches,
    translate_worker_errors,
)
from autoseg.training.position import Position
from autoseg.training.sampling import Batch, UnaugmentedBatch
from autoseg.training.state import TrainingState, initial_state
from autoseg.training.step import (
    DevicePrefetcher,
    pseudo_dice,
    training_step,
    update_average,
    validation_scores,
)
from autoseg.training.targets import Objective, head_biases, objective
from autoseg.training.task import Callbacks, TrainingTask

FORECAST_STEPS = 3
"""Number of steps to time before training, after one warm-up step."""

FORECAST_SECONDS = 15.0
"""Time after which no further step is timed."""

MAX_SKIPPED_STEPS = 10
"""Maximum number of consecutive float16 steps without a finite loss. The gradient scaler halves its
scale after each; it starts at 65536, so that the last of them would be scaled by 64."""

COMPILERS = ("torch._dynamo", "torch._inductor")
"""Modules of torch that define the exceptions of torch.compile."""


class NonFiniteLossError(ArithmeticError):
    """The loss or the gradient of a training step is NaN or infinite.

    Args:
        loss: The loss, or the norm of the gradient.
        step: Number of the step, from 1.
    """

    def __init__(self, loss: float, step: int) -> None:
        super().__init__(f"the loss became {loss} in step {step}")


def new_state(task: TrainingTask, *, epoch_steps: int) -> TrainingState:
    """Build the initial state of a training, with head biases and pretrained weights."""
    state = initial_state(
        task.architecture,
        task.recipe,
        device=task.device,
        dtype=task.dtype,
        seed=task.seed,
        epoch_steps=epoch_steps,
    )
    if task.recipe.head_prior:
        set_head_prior(state.network, head_biases(task.class_frequencies, task.labels))
    if task.pretrained is not None:
        state.pretraining = task.pretrained.load_into(state.network)
        if state.average is not None:
            state.average.load_state_dict(state.network.state_dict())
    if task.compiled:
        state.network.compile()  # compilation happens in the first forward pass
    return state


def set_head_prior(network: nn.Module, biases: tuple[float, ...]) -> None:
    """Initialise the biases of the heads.

    With the biases of `head_biases`, the untrained network predicts the frequency of each class or
    region, which the first steps need not learn.
    """
    with torch.no_grad():
        for head in getattr(network, "heads", ()):
            head.bias.copy_(torch.tensor(biases))


def measure_step(task: TrainingTask) -> float:
    """Time a training step in seconds, on a network that is discarded afterwards.

    Raises:
        TrainingError: If the device has too little memory, or the network cannot be compiled.
        CaseError: If a prepared case cannot be read.
    """
    started = perf_counter()
    times = []
    with (
        replace_out_of_memory_error(out_of_memory_error(task)),
        fast_convolutions(task.device),
        keep_freed_memory(),
    ):
        state = new_state(task, epoch_steps=1)
        for step in range(FORECAST_STEPS + 1):
            drawn = task.data.get_batch(BatchIndex("train", step))
            before = perf_counter()
            _train(task, state, DevicePrefetcher(iter([drawn]), task.device))
            times.append(perf_counter() - before)
            if step > 0 and perf_counter() - started > FORECAST_SECONDS:
                break
    return median_high(times[1:])


def train_until_finished(task: TrainingTask, state: TrainingState, callbacks: Callbacks) -> None:
    """Train until the end of the task; `fit` also continues after a `NonFiniteLossError`.

    A float16 step without a finite loss is skipped, unless `MAX_SKIPPED_STEPS` before it were.

    Args:
        task: The training task.
        state: Initial or resumed state, which is changed.
        callbacks: Callbacks.

    Raises:
        NonFiniteLossError: If the loss or the gradient is not finite.
        Interrupted: If a stop was requested; the checkpoint is up to date.
        TrainingError: If memory ran out, the network cannot be compiled, or a worker process was
            killed.
        CaseError: If a prepared case cannot be read.
    """
    order = BatchSampler(
        first_step=state.position.step,
        epoch_steps=state.epoch_steps,
        validation_batches=_validation_batches(task, state),
    )
    saved = perf_counter()
    started = saved - state.position.seconds  # earlier runs of this training count, too
    loaded = load_batches(task.data, order, workers=task.workers)
    with (
        replace_out_of_memory_error(out_of_memory_error(task)),
        fast_convolutions(task.device),
        translate_worker_errors(),
        keep_freed_memory(),
        closing(loaded) as drawn,
    ):
        batches = DevicePrefetcher(drawn, task.device)
        while not _is_finished(state.position, task.length):
            loss = _train(task, state, batches, prefetch=_needs_another_batch(task, state))
            _record(loss, state, callbacks)
            state.position = Position(state.position.step + 1, perf_counter() - started)
            update_average(state, task.recipe.average_decay)
            if state.position.step % state.epoch_steps == 0:
                end_epoch(task, state, batches, order.validation_batches)
                state.position = Position(state.position.step, perf_counter() - started)
                callbacks.on_epoch(state)
            callbacks.on_step(state)
            if callbacks.stop.is_requested or perf_counter() - saved > task.checkpoint_seconds:
                save_state(task, state)
                saved = perf_counter()
            if callbacks.stop.is_requested:
                raise _interrupted(state)
    save_state(task, state)


def _interrupted(state: TrainingState) -> Interrupted:
    return Interrupted(
        f"stopped after {state.position.step} steps; everything is saved. "
        "The same command resumes from here."
    )


def _record(loss: float, state: TrainingState, callbacks: Callbacks) -> None:
    """Record the loss of a step, or that a step of float16 training was skipped without one.

    Raises:
        NonFiniteLossError: If the loss is not finite, and the step was not in float16 or too many
            before it were skipped. An epoch needs one finite loss.
    """
    if isfinite(loss):
        state.epoch_losses.append(loss)
        state.skipped_steps = 0
        return
    error = NonFiniteLossError(loss, state.position.step + 1)
    state.skipped_steps += 1
    if not state.scaler.is_enabled() or state.skipped_steps > min(
        MAX_SKIPPED_STEPS, state.epoch_steps - 1
    ):
        raise error
    callbacks.say(f"note: {error}; this step of float16 training is skipped")


def save_state(task: TrainingTask, state: TrainingState) -> None:
    """Save the state as the checkpoint of the task."""
    save_checkpoint(state, task.checkpoint, identity=task.identity, started_with=task.started_with)


def _train(
    task: TrainingTask, state: TrainingState, batches: DevicePrefetcher, *, prefetch: bool = False
) -> float:
    """Train on the next batch, prefetch the following one if needed, and return the loss.

    Raises:
        TrainingError: If the network cannot be compiled.
    """
    progress = state.position.progress(task.length)
    try:
        drawn, batch = batches.take()
        loss = training_step(
            state,
            batch,
            batch_objective(task, drawn, progress),
            rate=task.recipe.learning_rate(progress) * state.rate_factor,
            gradient_clip=task.recipe.gradient_clip,
            dtype=task.dtype,
        )
        if prefetch:
            batches.fetch()
        return float(loss)
    except RuntimeError as error:
        if task.compiled and type(error).__module__.startswith(COMPILERS):
            raise TrainingError(_not_compiled(error)) from error
        raise


def _not_compiled(error: RuntimeError) -> str:
    cause = " ".join(str(error).strip().splitlines()[:2]).rstrip(".") or type(error).__name__
    return (
        f"the network could not be compiled ({cause}). torch.compile needs a C++ compiler, and "
        "Triton on a GPU. The same command without --compile resumes from the last checkpoint."
    )


def batch_objective(
    task: TrainingTask, batch: Batch | UnaugmentedBatch, progress: float
) -> Objective:
    """Return the loss of a batch as a function of logits and class indices.

    Args:
        task: The training task.
        batch: The batch, with the distance maps that the loss needs.
        progress: Completed share of the training, in [0, 1].
    """
    loss = task.loss.at(progress)
    mapper = task.data.training.distance_mapper
    maps = batch.maps if isinstance(batch, Batch) else None
    if isinstance(loss, DistanceLoss) and mapper is not None and maps is not None:
        return mapper.objective(loss, maps, task.device)
    return objective(loss, task.labels)


@contextmanager
def fast_convolutions(device: torch.device) -> Iterator[None]:
    """Let cuDNN benchmark its algorithms for each patch shape, of which a training has few.

    Source: nnU-Net 2.8.1; the gain on a GPU was not measured here.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def out_of_memory_error(task: TrainingTask) -> TrainingError:
    """Build the out-of-memory error of a training."""
    sampling = task.data.training
    return TrainingError(
        f"{task.device} has too little free memory for a batch of {sampling.batch_size} patches of "
        f"{format_shape(sampling.patch_shape)} voxels. Close other programs that use it and run "
        "the same command, or plan for the free memory (`autoseg plan DATASET --memory` GIB) and "
        "train with --restart."
    )


def end_epoch(
    task: TrainingTask, state: TrainingState, batches: DevicePrefetcher, validation_batches: int
) -> None:
    """Validate on the next batches and append a record to the history.

    Args:
        task: What is trained.
        state: State of the training, which is changed.
        batches: Yields the batches.
        validation_batches: Number of batches to validate on.
    """
    losses, progress = [], state.position.progress(task.length)
    counts = torch.zeros(3, len(task.labels.targets), dtype=torch.int64)
    for _ in range(validation_batches):
        drawn, batch = batches.take()
        function = batch_objective(task, drawn, progress)
        loss, counted = validation_scores(state.result, batch, function, task.labels, task.dtype)
        losses += [float(loss)] if isfinite(loss) else []  # documents hold finite numbers
        counts += counted.cpu()
    state.history.append(
        EpochRecord(
            epoch=len(state.history) + 1,
            step=state.position.step,
            seconds=state.position.seconds,
            learning_rate=task.recipe.learning_rate(progress) * state.rate_factor,
            training_loss=sum(state.epoch_losses) / len(state.epoch_losses),
            validation_loss=sum(losses) / len(losses) if losses else None,
            pseudo_dice=pseudo_dice(counts),
        )
    )
    state.epoch_losses = []


def _validation_batches(task: TrainingTask, state: TrainingState) -> int:
    if not task.data.validation_cases or not task.recipe.validation_share:
        return 0
    return max(1, round(state.epoch_steps * task.recipe.validation_share))


def _is_finished(position: Position, length: AnyLength) -> bool:
    """Return True if no further step fits into the length of the training."""
    if isinstance(length, Budget):
        per_step = position.seconds / position.step if position.step else 0.0
        is_through = length.most_steps is not None and position.step >= length.most_steps
        return is_through or position.seconds + per_step > length.seconds
    return position.step >= length.total


def _needs_another_batch(task: TrainingTask, state: TrainingState) -> bool:
    """Return True if a batch is probably needed after the next step."""
    position = replace(state.position, step=state.position.step + 1)
    is_validated = position.step % state.epoch_steps == 0 and _validation_batches(task, state) > 0
    return is_validated or not _is_finished(position, task.length)
