"""Train a network: step, validate, save, stop when asked or when done."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from time import perf_counter

import torch
from torch import nn

from autoseg.architectures import Architecture
from autoseg.core.allocator import keeping_freed_memory
from autoseg.core.device import naming_lack_of_memory
from autoseg.core.errors import Interrupted, TrainingError
from autoseg.core.interrupt import StopRequest
from autoseg.core.labels import LabelScheme
from autoseg.documents.recipe import AnyLength, Budget, Recipe
from autoseg.documents.run import EpochRecord
from autoseg.losses import Loss
from autoseg.losses.distance_loss import DistanceLoss
from autoseg.training.checkpoint import save_checkpoint
from autoseg.training.device_prefetcher import DevicePrefetcher
from autoseg.training.learning_rate import Position, learning_rate
from autoseg.training.loading import (
    BatchDataset,
    BatchIndex,
    BatchSampler,
    load_batches,
    naming_dead_workers,
)
from autoseg.training.pretrained import Pretrained
from autoseg.training.sampling import Batch, UnaugmentedBatch
from autoseg.training.state import TrainingState, initial_state
from autoseg.training.step import (
    pseudo_dice,
    training_step,
    update_average,
    validation_scores,
)
from autoseg.training.targets import Objective, head_biases, objective

FORECAST_STEPS = 3
"""Steps that are timed before training starts; one more comes before them to warm up."""

FORECAST_SECONDS = 15.0
"""Timing stops early when steps are slow."""

COMPILERS = ("torch._dynamo", "torch._inductor")
"""Modules of torch that define what torch.compile raises."""


@dataclass(frozen=True)
class TrainingTask:
    """What to train, on what, how, and where to keep it.

    Attributes:
        architecture: The network.
        loss: What is minimised.
        labels: What the class indices in `data` mean.
        recipe: How.
        length: Until when.
        seed: Of the network's weights; the sampling in `data` has its own.
        data: Batches.
        class_frequencies: Share of each class among all voxels, for the heads' biases.
        device: Where the network runs.
        dtype: What convolutions compute in.
        workers: Background processes that prepare batches.
        checkpoint: File that the state is saved to.
        checkpoint_seconds: How often.
        identity: Hash of all that must not change between interruption and resumption.
        pretrained: Weights to start from where they fit; None starts at random.
        compiled: Whether torch compiles the network. Its weights keep their names, so a training
            may go on with or without.
    """

    architecture: Architecture
    loss: Loss
    labels: LabelScheme
    recipe: Recipe
    length: AnyLength
    seed: int
    data: BatchDataset
    class_frequencies: tuple[float, ...]
    device: torch.device
    dtype: torch.dtype
    workers: int
    checkpoint: Path
    checkpoint_seconds: float
    identity: str
    pretrained: Pretrained | None = None
    compiled: bool = False


@dataclass(frozen=True)
class Callbacks:
    """Who is told what happens.

    Attributes:
        on_step: Called after every step with the state.
        on_epoch: Called after every validation with the state; its last record is new.
        stop: Asked after every step.
    """

    on_step: Callable[[TrainingState], None]
    on_epoch: Callable[[TrainingState], None]
    stop: StopRequest


def new_state(task: TrainingTask, *, epoch_steps: int) -> TrainingState:
    """Return the state that a training starts from."""
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
        state.pretraining = task.pretrained.give_to(state.network)
        if state.average is not None:
            state.average.load_state_dict(state.network.state_dict())
    if task.compiled:
        state.network.compile()  # when it is first called
    return state


def set_head_prior(network: nn.Module, biases: tuple[float, ...]) -> None:
    """Start the heads' biases at given values.

    With those of `head_biases`, the untrained network predicts how frequent each class or region
    is, and the first steps need not learn it.
    """
    heads = getattr(network, "heads", ())
    with torch.no_grad():
        for head in heads:
            head.bias.copy_(torch.tensor(biases))


def measure_step(task: TrainingTask) -> float:
    """Return the seconds of one training step, on a network that is thrown away afterwards.

    Raises:
        TrainingError: If the device has too little memory, or the network cannot be compiled.
        CaseError: If a prepared case cannot be read.
    """
    started = perf_counter()
    times = []
    with (
        naming_lack_of_memory(too_large(task)),
        fast_convolutions(task.device),
        keeping_freed_memory(),
    ):
        state = new_state(task, epoch_steps=1)
        for step in range(FORECAST_STEPS + 1):
            drawn = task.data.handed_out(BatchIndex("train", step))
            before = perf_counter()
            _train(task, state, DevicePrefetcher(iter([drawn]), task.device))
            times.append(perf_counter() - before)
            if step > 0 and perf_counter() - started > FORECAST_SECONDS:
                break
    timed = sorted(times[1:])
    return timed[len(timed) // 2]


def fit(task: TrainingTask, state: TrainingState, callbacks: Callbacks) -> None:
    """Train `state` to the end of the task.

    Raises:
        Interrupted: If a stop was asked for; the checkpoint holds everything.
        TrainingError: If the loss is no longer a number, memory ran out, the network cannot be
            compiled, or a worker process was killed.
        CaseError: If a prepared case cannot be read.
    """
    order = BatchSampler(
        first_step=state.position.step,
        epoch_steps=state.epoch_steps,
        validation_batches=_validation_batches(task, state),
    )
    clock = _Clock(state.position.seconds)
    saved = perf_counter()
    loaded = load_batches(task.data, order, workers=task.workers)
    with (
        naming_lack_of_memory(too_large(task)),
        fast_convolutions(task.device),
        naming_dead_workers(),
        keeping_freed_memory(),
        closing(loaded) as drawn,
    ):
        batches = DevicePrefetcher(drawn, task.device)
        while not _is_finished(state.position, task.length):
            loss = _train(task, state, batches, is_more_wanted=_is_more_wanted(task, state))
            _check(loss, state.position.step)
            state.epoch_losses.append(loss)
            state.position = Position(step=state.position.step + 1, seconds=clock.seconds())
            update_average(state, task.recipe.average_decay)
            if state.position.step % state.epoch_steps == 0:
                _end_epoch(task, state, batches, order.validation_batches)
                state.position = Position(step=state.position.step, seconds=clock.seconds())
                callbacks.on_epoch(state)
            callbacks.on_step(state)
            if callbacks.stop.is_made or perf_counter() - saved > task.checkpoint_seconds:
                _save(task, state)
                saved = perf_counter()
            if callbacks.stop.is_made:
                raise Interrupted(_interruption(state))
    _save(task, state)


def _save(task: TrainingTask, state: TrainingState) -> None:
    save_checkpoint(state, task.checkpoint, identity=task.identity, started_with=started_with(task))


def started_with(task: TrainingTask) -> str:
    """Return length, seed and start of a training as options of the command."""
    length = task.length
    asked = (
        f"--budget {length.seconds:g}s"
        if isinstance(length, Budget)
        else f"--iterations {length.total}"
    )
    start = "" if task.pretrained is None else f" --pretrained, {task.pretrained.model}"
    return f"{asked} --seed {task.seed}{start}"


def _train(
    task: TrainingTask,
    state: TrainingState,
    batches: DevicePrefetcher,
    *,
    is_more_wanted: bool = False,
) -> float:
    """Return the loss of one step.

    Args:
        task: What to train.
        state: Is changed.
        batches: The next one is taken.
        is_more_wanted: Whether the one behind it is fetched meanwhile.

    Raises:
        TrainingError: If the network cannot be compiled.
    """
    progress = state.position.progress(task.length)
    try:
        drawn, batch = batches.take()
        loss = training_step(
            state,
            batch,
            _objective(task, state, drawn),
            rate=learning_rate(task.recipe, progress),
            gradient_clip=task.recipe.gradient_clip,
            dtype=task.dtype,
        )
        if is_more_wanted:
            batches.fetch()
        return float(loss)
    except RuntimeError as error:
        if task.compiled and type(error).__module__.startswith(COMPILERS):
            raise TrainingError(_not_compiled(error)) from error
        raise


def _not_compiled(error: RuntimeError) -> str:
    cause = " ".join(str(error).strip().splitlines()[:2]).rstrip(".") or type(error).__name__
    return (
        f"the network could not be compiled ({cause}). The same command without --compile goes "
        "on from the last checkpoint. torch.compile needs a C++ compiler, and Triton for a card."
    )


def _objective(
    task: TrainingTask, state: TrainingState, batch: Batch | UnaugmentedBatch
) -> Objective:
    """Return what is minimised now, as a function of a batch's logits and class indices."""
    loss, measure = task.loss.at(state.position.progress(task.length)), task.data.training.measure
    maps = batch.maps if isinstance(batch, Batch) else None
    if isinstance(loss, DistanceLoss) and measure is not None and maps is not None:
        return measure.objective(loss, maps, task.device)
    return objective(loss.build(), task.labels)


@contextmanager
def fast_convolutions(device: torch.device) -> Iterator[None]:
    """Let cuDNN try its algorithms for each size of patch, of which a training has few.

    Source: nnU-Net 2.8.1 does so as well; on a GPU it was not measured here.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def too_large(task: TrainingTask) -> TrainingError:
    """Return what is to be said if a training's device has too little memory."""
    sampling = task.data.training
    shape = " × ".join(str(size) for size in sampling.patch_shape)
    return TrainingError(
        f"{task.device} has too little free memory for a batch of {sampling.batch_size} patches of "
        f"{shape} voxels. Close what else uses it and run the same command, or plan for less with "
        "`autoseg plan DATASET --memory` and the GiB that are free, and train with --restart."
    )


def _end_epoch(
    task: TrainingTask,
    state: TrainingState,
    batches: DevicePrefetcher,
    validation_batches: int,
) -> None:
    """Validate on the batches that come next, and add a record to the history."""
    losses = []
    counts = torch.zeros(3, len(task.labels.targets), dtype=torch.int64)
    for _ in range(validation_batches):
        drawn, batch = batches.take()
        function = _objective(task, state, drawn)
        loss, found = validation_scores(state.result, batch, function, task.labels, task.dtype)
        losses.append(float(loss))
        counts += found.cpu()
    state.history.append(
        EpochRecord(
            epoch=len(state.history) + 1,
            step=state.position.step,
            seconds=state.position.seconds,
            learning_rate=learning_rate(task.recipe, state.position.progress(task.length)),
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
    """Return whether no further step fits."""
    if isinstance(length, Budget):
        per_step = position.seconds / position.step if position.step else 0.0
        is_through = length.most_steps is not None and position.step >= length.most_steps
        return is_through or position.seconds + per_step > length.seconds
    return position.step >= length.total


def _is_more_wanted(task: TrainingTask, state: TrainingState) -> bool:
    """Return whether a batch is wanted after the next step, as far as can be known."""
    position = replace(state.position, step=state.position.step + 1)
    is_validated = position.step % state.epoch_steps == 0 and _validation_batches(task, state) > 0
    return is_validated or not _is_finished(position, task.length)


def _check(loss: float, step: int) -> None:
    if not isfinite(loss):
        msg = (
            f"the loss became {loss} in step {step + 1}. The last checkpoint is kept. Check the "
            "intensities of the training images, lower the learning rate in the plan's recipe, or "
            "train with --precision float32."
        )
        raise TrainingError(msg)


def _interruption(state: TrainingState) -> str:
    return (
        f"stopped after {state.position.step} steps; everything is saved. "
        "The same command goes on from here."
    )


class _Clock:
    """Training time, over all interruptions."""

    def __init__(self, seconds_before: float) -> None:
        self._start = perf_counter() - seconds_before

    def seconds(self) -> float:
        return perf_counter() - self._start
