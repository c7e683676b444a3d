"""Time training steps: with the data loader as in `autoseg train`, and of the bare network."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from time import perf_counter

import torch

from autoseg.benchmarking.devices import out_of_memory_error, synchronize
from autoseg.benchmarking.target import Target
from autoseg.benchmarking.timing import TimedPair, TimeLimit, throughput
from autoseg.core.allocator import keep_freed_memory
from autoseg.core.device import replace_out_of_memory_error
from autoseg.core.errors import Interrupted
from autoseg.core.interrupt import StopRequest
from autoseg.documents.bench import Throughput
from autoseg.documents.recipe import Iterations
from autoseg.training.fit import fit
from autoseg.training.loading import BatchIndex, prefetched_batches
from autoseg.training.loop import batch_objective, fast_convolutions, new_state
from autoseg.training.state import TrainingState
from autoseg.training.step import batch_to_device, training_step
from autoseg.training.task import Callbacks, TrainingTask

FEWEST_STEPS = 2
MOST_STEPS = 200

WARM_UP_STEPS = 1
"""Untimed steps of the bare network before the timed ones."""

SLOW_FACTOR = 4.0
"""Steps that are slower than the bare network's by this factor are stopped early."""

PAIRS_FACTOR = 5.0
"""Time limit of this row relative to other rows: its ratio matters most."""

LOADER_MARGIN = 0.5
"""A loader counts as fast enough if it alone takes at most this share of the steps' time: it is
slower while steps run."""

NO_VALIDATION = 10**9
"""Steps per epoch, so large that the epoch never ends and no validation runs."""


@dataclass(frozen=True)
class TimedSteps:
    """Number of timed steps with the loader.

    Attributes:
        untimed: Steps before the timed ones.
        count: Number of timed steps.
        longest_seconds: Mean seconds per step beyond which the measurement stops early.
    """

    untimed: int
    count: int
    longest_seconds: float


def time_training_steps(target: Target) -> Throughput:
    """Time training steps with the loader against steps of the bare network.

    Both run the same number of steps alternately. The time of a step is the mean over these steps,
    so occasional waiting for the loader counts. Batches that the loader prefetched are used up
    before the timing starts.
    """
    task = target.task()
    label = target.label(
        "training step",
        "steps",
        measured_is=f"training steps with the loader, {task.workers} loader processes",
        floor_is="bare network, batch already on the device",
    )
    with replace_out_of_memory_error(out_of_memory_error(task.device, target.configuration.name)):
        state = new_state(task, epoch_steps=NO_VALIDATION)
        pairs = _timed_pairs(task, state, target.time_limit)
    return throughput(pairs, 1.0, label)


def _timed_pairs(
    task: TrainingTask, state: TrainingState, time_limit: TimeLimit
) -> list[TimedPair]:
    """Time steps with the loader and bare steps alternately, on one network."""
    bare = bare_step_timer(task, state)
    seconds_per_step = bare(FEWEST_STEPS)
    timed = TimedSteps(
        untimed=untimed_steps(_drawing_seconds(task), seconds_per_step, task.workers),
        count=num_steps(seconds_per_step, time_limit),
        longest_seconds=SLOW_FACTOR * seconds_per_step,
    )
    rounds = replace(time_limit, seconds=PAIRS_FACTOR * time_limit.seconds).rounds()
    return [
        TimedPair(floor_seconds=bare(timed.count), seconds=loader_steps(task, state, timed))
        for _ in rounds
    ]


def num_steps(seconds_per_step: float, time_limit: TimeLimit) -> int:
    """Return the number of steps that are timed together."""
    return min(MOST_STEPS, max(FEWEST_STEPS, int(time_limit.seconds / 2 / seconds_per_step)))


def untimed_steps(drawing_seconds: float, seconds_per_step: float, workers: int) -> int:
    """Return the number of untimed steps with the loader before the timed ones.

    If the loader may be slower than the steps, these steps use up all prefetched batches.

    Args:
        drawing_seconds: Seconds that one process takes for a batch.
        seconds_per_step: Seconds per step of the bare network.
        workers: Number of processes that prepare batches.
    """
    keeps_up = drawing_seconds < LOADER_MARGIN * workers * seconds_per_step
    return 1 if keeps_up else prefetched_batches(workers) * workers + 1


def _drawing_seconds(task: TrainingTask) -> float:
    """Time the second batch that is drawn; the first one loads cases."""
    task.data.get_batch(BatchIndex("train", 0))
    start = perf_counter()
    task.data.get_batch(BatchIndex("train", 1))
    return perf_counter() - start


def bare_step_timer(task: TrainingTask, state: TrainingState) -> Callable[[int], float]:
    """Return a function that runs steps on one batch on the device and returns their mean time.

    The batch is real, because training on noise leads to numbers that processors are slow with.
    """
    drawn = task.data.draw(BatchIndex("train", 0))
    batch, function = batch_to_device(drawn, task.device), batch_objective(task, drawn, 0.5)
    rate = task.recipe.learning_rate(0.5)

    def step() -> None:
        training_step(
            state,
            batch,
            function,
            rate=rate,
            gradient_clip=task.recipe.gradient_clip,
            dtype=task.dtype,
        )

    return partial(mean_seconds, step, task.device)


def mean_seconds(step: Callable[[], None], device: torch.device, steps: int) -> float:
    """Return the mean time of some steps, after untimed warm-up steps.

    Args:
        step: Function that runs one step.
        device: Device that it runs on.
        steps: Number of timed steps.
    """
    with fast_convolutions(device), keep_freed_memory():
        for _ in range(WARM_UP_STEPS):
            step()
        synchronize(device)
        start = perf_counter()
        for _ in range(steps):
            step()
        synchronize(device)
        return (perf_counter() - start) / steps


def loader_steps(task: TrainingTask, state: TrainingState, timed: TimedSteps) -> float:
    """Return the mean time of training steps that continue from the given state.

    Args:
        task: The training task; its length does not count.
        state: The state, which is changed.
        timed: Number of steps.
    """
    total = timed.untimed + timed.count
    stop, times = StopRequest(), [perf_counter()]

    def on_step(_: TrainingState) -> None:
        if len(times) in (timed.untimed, total):
            synchronize(task.device)
        times.append(perf_counter())
        is_slow = times[-1] - times[0] > timed.longest_seconds * total
        if is_slow and len(times) > FEWEST_STEPS:
            stop.is_requested = True

    length = Iterations(total=state.position.step + total)
    longer = replace(task, length=length, checkpoint_seconds=inf)
    with suppress(Interrupted):
        fit(longer, state, Callbacks(on_step, lambda _: None, stop, lambda _: None))
    return mean_step(times, timed.untimed)


def mean_step(times: list[float], untimed: int) -> float:
    """Compute the mean time between clock readings, skipping the first `untimed` if others remain.

    The first interval includes the start of the loader and never counts.
    """
    first = min(max(untimed, 1), len(times) - 2)
    return (times[-1] - times[first]) / (len(times) - 1 - first)
