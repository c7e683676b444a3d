"""Time training steps: as `autoseg train` does them, and of the bare network."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from time import perf_counter

import torch

from autoseg.benchmarking.devices import lack_of_memory, synchronize
from autoseg.benchmarking.timing import RowLabel, TimedPair, TimeLimit, throughput
from autoseg.core.allocator import keeping_freed_memory
from autoseg.core.device import naming_lack_of_memory
from autoseg.core.errors import Interrupted
from autoseg.core.interrupt import StopRequest
from autoseg.documents.bench import Throughput
from autoseg.documents.recipe import Iterations
from autoseg.losses.distance_loss import DistanceLoss
from autoseg.training.learning_rate import learning_rate
from autoseg.training.loading import BatchIndex, prefetched_batches
from autoseg.training.loop import Callbacks, TrainingTask, fast_convolutions, fit, new_state
from autoseg.training.sampling import Batch
from autoseg.training.state import TrainingState
from autoseg.training.step import batch_to_device, training_step
from autoseg.training.targets import Objective, objective

FEWEST_STEPS = 2
MOST_STEPS = 200

WARM_UP_STEPS = 1
"""Steps of the bare network before those that are timed."""

PATIENCE_FACTOR = 4.0
"""Steps so many times slower than the bare network's end before all of them are done."""

PAIRS_FACTOR = 5.0
"""This row may take so many times as long as others: its ratio matters most."""

LOADER_MARGIN = 0.5
"""A loader counts as fast enough if it takes at most this part of the steps' time by itself: beside
them it is slower."""

NO_VALIDATION = 10**9
"""Steps of an epoch that never ends."""


@dataclass(frozen=True)
class TimedSteps:
    """Which steps through the loader are timed.

    Attributes:
        unused: Those before.
        count: How many.
        longest_seconds: Mean time of a step beyond which no more of them are waited for.
    """

    unused: int
    count: int
    longest_seconds: float


def training_steps(task: TrainingTask, configuration: str, time_limit: TimeLimit) -> Throughput:
    """Return the pace of training steps through the loader, beside those of the bare network.

    Both do the same number of steps in turns. A step's time is the mean over these, so that waiting
    for the loader now and then counts; what the loader had prepared before is used up first.
    """
    label = RowLabel(
        stage="training step",
        unit="steps",
        measured_is=f"steps as train does them, {task.workers} loader processes",
        floor_is="bare network, a batch on the device",
        configuration=configuration,
    )
    with naming_lack_of_memory(lack_of_memory(task.device, configuration)):
        state = new_state(task, epoch_steps=NO_VALIDATION)
        pairs = _pairs(task, state, time_limit)
    return throughput(pairs, 1.0, label)


def _pairs(task: TrainingTask, state: TrainingState, time_limit: TimeLimit) -> list[TimedPair]:
    """Return the times of a step, through the loader and bare, in turns on one network."""
    bare = _bare_steps(task, state)
    seconds_per_step = bare(FEWEST_STEPS)
    timed = TimedSteps(
        unused=unused_steps(_drawing_seconds(task), seconds_per_step, task.workers),
        count=num_steps(seconds_per_step, time_limit),
        longest_seconds=PATIENCE_FACTOR * seconds_per_step,
    )
    pairs: list[TimedPair] = []
    begun = perf_counter()
    limit = PAIRS_FACTOR * time_limit.seconds
    while not pairs or (len(pairs) < time_limit.repeats and perf_counter() - begun < limit):
        floor_seconds = bare(timed.count)
        pairs.append(TimedPair(_real_steps(task, state, timed), floor_seconds))
    return pairs


def num_steps(seconds_per_step: float, time_limit: TimeLimit) -> int:
    """Return how many steps are timed together."""
    wanted = int(time_limit.seconds / 2 / seconds_per_step)
    return min(MOST_STEPS, max(FEWEST_STEPS, wanted))


def unused_steps(drawing_seconds: float, seconds_per_step: float, workers: int) -> int:
    """Return how many steps through the loader come before those that are timed.

    Where it may be slower than the steps, they use up all that it prepares in advance.

    Args:
        drawing_seconds: Time that one process takes for a batch.
        seconds_per_step: Of the bare network.
        workers: Processes that prepare batches.
    """
    keeps_up = drawing_seconds < LOADER_MARGIN * workers * seconds_per_step
    return 1 if keeps_up else prefetched_batches(workers) * workers + 1


def _drawing_seconds(task: TrainingTask) -> float:
    """Return the time of one batch, the second that is drawn."""
    begun = perf_counter()
    for step in range(2):
        begun = perf_counter()
        task.data.handed_out(BatchIndex("train", step))
    return perf_counter() - begun


def _bare_steps(task: TrainingTask, state: TrainingState) -> Callable[[int], float]:
    """Return what does some steps, on one batch that is on the device, and tells their mean time.

    It is a real batch, since a network that is trained on noise leaves the range of numbers that
    processors are fast with.
    """
    drawn = task.data.draw(BatchIndex("train", 0))
    batch, function = batch_to_device(drawn, task.device), _objective(task, drawn)
    rate = learning_rate(task.recipe, 0.5)

    def step() -> None:
        training_step(
            state,
            batch,
            function,
            rate=rate,
            gradient_clip=task.recipe.gradient_clip,
            dtype=task.dtype,
        )

    return partial(_mean_seconds, step, task.device)


def _mean_seconds(step: Callable[[], None], device: torch.device, steps: int) -> float:
    """Return the mean time of some steps, after a few that are not timed."""
    with fast_convolutions(device), keeping_freed_memory():
        for _ in range(WARM_UP_STEPS):
            step()
        synchronize(device)
        begun = perf_counter()
        for _ in range(steps):
            step()
        synchronize(device)
        return (perf_counter() - begun) / steps


def _objective(task: TrainingTask, batch: Batch) -> Objective:
    loss, measure = task.loss.at(0.5), task.data.training.measure
    if isinstance(loss, DistanceLoss) and measure is not None and batch.maps is not None:
        return measure.objective(loss, batch.maps, task.device)
    return objective(loss.build(), task.labels)


def _real_steps(task: TrainingTask, state: TrainingState, timed: TimedSteps) -> float:
    """Return the mean time of training steps; the state goes on from where it is."""
    total = timed.unused + timed.count
    stop, times = StopRequest(), [perf_counter()]

    def on_step(_: TrainingState) -> None:
        if len(times) in (timed.unused, total):
            synchronize(task.device)
        times.append(perf_counter())
        is_slow = times[-1] - times[0] > timed.longest_seconds * total
        if is_slow and len(times) > FEWEST_STEPS:
            stop.make()

    length = Iterations(total=state.position.step + total)
    longer = replace(task, length=length, checkpoint_seconds=inf)
    with suppress(Interrupted):
        fit(longer, state, Callbacks(on_step=on_step, on_epoch=lambda _: None, stop=stop))
    return mean_step(times, timed.unused)


def mean_step(times: list[float], unused: int) -> float:
    """Return the mean time between clock readings, without the first `unused`, if others are left.

    The first reading is the start of the loader and never counts.
    """
    first = min(max(unused, 1), len(times) - 2)
    return (times[-1] - times[first]) / (len(times) - 1 - first)
