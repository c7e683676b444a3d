"""Time the parts of a training step, and whether its loader keeps up, on this machine.

Run it with `python docs/benchmarks/training_step.py DATASET WORK [CONFIGURATION ...]`, after
`autoseg plan DATASET --work WORK`; cases are prepared first if they are not. Of each configuration
(the plan's own choice, if none is named) it prints

- the parts of a step on one batch that stays where it is: forward pass, loss, backward pass,
  optimiser;
- the parts of drawing a batch in one process, without and with each augmentation, and what it costs
  to send it to another process, in milliseconds of processor time (medians for what is always the
  same, means for what chance decides);
- the wall-clock time of such dummy steps and of real ones through the loader with 0, 1 and 2 worker
  processes, in turns; the ratios are medians over the turns.

Seeds are fixed, so that every run draws the same patches. Set OMP_WAIT_POLICY=PASSIVE, as the
command line does, so that threads that wait leave the processor to the loader.
"""

import argparse
import pickle
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from statistics import fmean, median

import torch

from autoseg.core.allocator import keep_freed_memory
from autoseg.core.compute import Compute
from autoseg.core.device import autocast
from autoseg.core.progress import Silent
from autoseg.documents.workspace import Workspace
from autoseg.stages.preprocess import prepare_cases
from autoseg.stages.project import fold_cases, load_project
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest, training_task
from autoseg.training.deep_supervision import supervised_loss
from autoseg.training.device_prefetcher import DevicePrefetcher
from autoseg.training.loading import BatchIndex, BatchSampler, load_batches, prefetched_batches
from autoseg.training.loop import TrainingTask, new_state
from autoseg.training.state import TrainingState
from autoseg.training.step import TensorBatch, batch_to_device, training_step
from autoseg.training.targets import Objective, objective

RATE = 1e-4
WORKERS = (0, 1, 2)
ENDLESS = 10**9


def main() -> None:
    """Read the arguments and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("configurations", nargs="*")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=20, help="steps of one turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--batches", type=int, default=40, help="batches that the loader draws")
    options = parser.parse_args()
    project = load_project(Workspace(options.work), Silent())
    for name in options.configurations or [project.plan.default_configuration]:
        cases = prepare_cases(project, name, workers=2, progress=Silent()).cases
        length = TrainingDuration(iterations=1000)
        request = TrainRequest(
            fold=0, configuration=name, length=length, compute=Compute(device=options.device)
        )
        task = training_task(project, fold_cases(project, 0, Silent()), cases, request)
        shape = "x".join(map(str, task.data.training.patch_shape))
        batch = f"{task.data.training.batch_size} patches of {shape}"
        print(f"\n{options.dataset.name} {name}: {batch}, {task.device}, {task.dtype}")
        with keep_freed_memory():
            print_step(task, options.steps)
            print_loader(task, options.batches)
            print_keeping_up(task, options.steps, options.turns)


def print_step(task: TrainingTask, steps: int) -> None:
    """Print what the parts of a step on one batch take."""
    state, batch, function = prepared(task)
    images, labels = batch
    seconds: dict[str, list[float]] = {"forward": [], "loss": [], "backward": [], "optimiser": []}
    for _ in range(steps):
        clock = Clock(task.device)
        state.optimizer.zero_grad(set_to_none=True)
        with autocast(task.device, task.dtype):
            output = state.network(images)
        seconds["forward"].append(clock.lap())
        value = supervised_loss(function, output, labels)
        seconds["loss"].append(clock.lap())
        value.backward()
        seconds["backward"].append(clock.lap())
        torch.nn.utils.clip_grad_norm_(state.network.parameters(), task.recipe.gradient_clip)
        state.optimizer.step()
        seconds["optimiser"].append(clock.lap())
    parts = {name: median(times) for name, times in seconds.items()}
    print(f"step, wall clock: {milliseconds(parts)}, together {1000 * sum(parts.values()):.1f} ms")


def print_loader(task: TrainingTask, batches: int) -> None:
    """Print what the parts of drawing a batch take."""
    sampling = task.data.training
    entries = sampling.augmentations
    plain = replace(task.data, training=replace(sampling, augmentations=()))
    bare = drawing(plain.draw, batches)
    parts = {"reading": bare}
    for entry in entries:
        alone = replace(task.data, training=replace(sampling, augmentations=(entry,)))
        parts[entry.kind] = parts.get(entry.kind, 0.0) + drawing(alone.draw, batches) - bare
    batch = task.data.draw(BatchIndex("train", 0))
    parts["sending"] = processor_time(lambda: pickle.loads(pickle.dumps(batch, protocol=5)))
    print(f"loader, processor time: {milliseconds(parts)}")
    print(f"a whole batch, drawn and augmented: {1000 * drawing(task.data.draw, batches):.1f} ms")


def print_keeping_up(task: TrainingTask, steps: int, turns: int) -> None:
    """Print dummy and real steps, in turns."""
    state, batch, function = prepared(task)
    timed: dict[str, list[float]] = {}
    ratios: dict[int, list[float]] = {}
    step = step_of(task, state)
    mean_seconds(lambda: step(batch, function), 2, task.device)
    for turn in range(turns):
        dummy = mean_seconds(lambda: step(batch, function), steps, task.device)
        timed.setdefault("dummy", []).append(dummy)
        for workers in WORKERS:
            real = real_steps(task, state, workers, first=turn * 10 * steps, steps=steps)
            timed.setdefault(f"real, {workers} workers", []).append(real)
            ratios.setdefault(workers, []).append(real / dummy)
    for name, times in timed.items():
        print(f"{name:20} {1000 * median(times):8.1f} ms per step")
    for workers, found in ratios.items():
        spread = f"{min(found):.2f} to {max(found):.2f}"
        print(f"{workers} workers: real / dummy {median(found):.3f} ({spread})")


def real_steps(
    task: TrainingTask, state: TrainingState, workers: int, *, first: int, steps: int
) -> float:
    """Return the mean seconds of steps through the loader, after what it had prepared before."""
    order = BatchSampler(first_step=first, epoch_steps=ENDLESS, validation_batches=0)
    step, function = step_of(task, state), objective(task.loss.at(0.5), task.labels)
    with closing(load_batches(task.data, order, workers=workers)) as drawn:
        batches = DevicePrefetcher(drawn, task.device)

        def one() -> None:
            step(batches.take()[1], function, batches.fetch)

        for _ in range(prefetched_batches(workers) * workers + 1):
            one()
        return mean_seconds(one, steps, task.device)


def step_of(task: TrainingTask, state: TrainingState) -> Callable[..., None]:
    """Return what does one step on a batch, and something else while the device computes."""

    def step(
        batch: TensorBatch, function: Objective, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        clip, dtype = task.recipe.gradient_clip, task.dtype
        loss = training_step(state, batch, function, rate=RATE, gradient_clip=clip, dtype=dtype)
        meanwhile()
        float(loss)  # as the training loop looks at it

    return step


def prepared(task: TrainingTask) -> tuple[TrainingState, TensorBatch, Objective]:
    """Return a network that has done two steps, a batch that it can do more on, and the loss."""
    state = new_state(task, epoch_steps=ENDLESS)
    batch = batch_to_device(task.data.draw(BatchIndex("train", 0)), task.device)
    function = objective(task.loss.at(0.5), task.labels)
    for _ in range(2):
        step_of(task, state)(batch, function)
    return state, batch, function


def drawing(draw: Callable[[BatchIndex], object], batches: int) -> float:
    """Return the mean processor seconds of drawing, after as many batches that do not count."""
    indices = count()
    for _ in range(batches):
        draw(BatchIndex("train", next(indices)))
    times = [
        processor_time(lambda: draw(BatchIndex("train", next(indices)))) for _ in range(batches)
    ]
    return fmean(times)


def processor_time(action: Callable[[], object]) -> float:
    """Return the seconds that this process computes for one call."""
    begun = time.process_time()
    action()
    return time.process_time() - begun


def mean_seconds(action: Callable[[], object], times: int, device: torch.device) -> float:
    """Return the mean wall-clock seconds of one call."""
    clock = Clock(device)
    for _ in range(times):
        action()
    return clock.lap() / times


class Clock:
    """Wall-clock time since the last lap; waits for the device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._last = 0.0
        self.lap()

    def lap(self) -> float:
        """Return the seconds since the last lap."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        passed, self._last = now - self._last, now
        return passed


def milliseconds(parts: dict[str, float]) -> str:
    """Return parts and their times as a sentence."""
    return ", ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in parts.items())


if __name__ == "__main__":
    main()
