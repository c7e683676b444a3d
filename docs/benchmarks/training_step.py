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
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from math import inf
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from time import perf_counter

import torch
from costs import timed
from trainings import ENDLESS, prepared_task

from autoseg.benchmarking.devices import synchronize
from autoseg.benchmarking.loading import without_augmentation
from autoseg.benchmarking.stepping import TimedSteps, bare_step_timer, loader_steps
from autoseg.core.allocator import keep_freed_memory
from autoseg.core.compute import Compute
from autoseg.core.device import autocast
from autoseg.core.progress import Silent
from autoseg.documents.workspace import Workspace
from autoseg.stages.project import load_project
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest
from autoseg.training.deep_supervision import supervised_loss
from autoseg.training.loading import BatchIndex, prefetched_batches
from autoseg.training.loop import batch_objective, new_state
from autoseg.training.step import batch_to_device
from autoseg.training.task import TrainingTask

WORKERS = (0, 1, 2)


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
        length = TrainingDuration(iterations=1000)
        request = TrainRequest(
            fold=0, configuration=name, length=length, compute=Compute(device=options.device)
        )
        task = prepared_task(project, request)
        shape = "x".join(map(str, task.data.training.patch_shape))
        batch = f"{task.data.training.batch_size} patches of {shape}"
        print(f"\n{options.dataset.name} {name}: {batch}, {task.device}, {task.dtype}")
        with keep_freed_memory(), TemporaryDirectory() as folder:
            task = replace(task, checkpoint=Path(folder) / task.checkpoint.name)
            print_step(task, options.steps)
            print_loader(task, options.batches)
            print_keeping_up(task, options.steps, options.turns)


def print_step(task: TrainingTask, steps: int) -> None:
    """Print what the parts of a step on one batch take."""
    state = new_state(task, epoch_steps=ENDLESS)
    bare_step_timer(task, state)(1)
    drawn = task.data.draw(BatchIndex("train", 0))
    images, labels = batch_to_device(drawn, task.device)
    function = batch_objective(task, drawn, 0.5)
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
    bare = drawing(without_augmentation(task.data).draw, batches)
    parts = {"reading": bare}
    for entry in entries:
        alone = replace(task.data, training=replace(sampling, augmentations=(entry,)))
        parts[entry.kind] = parts.get(entry.kind, 0.0) + drawing(alone.draw, batches) - bare
    batch = task.data.draw(BatchIndex("train", 0))
    parts["sending"] = timed(lambda: pickle.loads(pickle.dumps(batch, protocol=5))).cpu_seconds
    print(f"loader, processor time: {milliseconds(parts)}")
    print(f"a whole batch, drawn and augmented: {1000 * drawing(task.data.draw, batches):.1f} ms")


def print_keeping_up(task: TrainingTask, steps: int, turns: int) -> None:
    """Print dummy and real steps, in turns."""
    state = new_state(task, epoch_steps=ENDLESS)
    dummy_steps = bare_step_timer(task, state)
    times: dict[str, list[float]] = {}
    ratios: dict[int, list[float]] = {}
    for _ in range(turns):
        dummy = dummy_steps(steps)
        times.setdefault("dummy", []).append(dummy)
        for workers in WORKERS:
            prefetched = prefetched_batches(workers) * workers + 1
            timed = TimedSteps(untimed=prefetched, count=steps, longest_seconds=inf)
            real = loader_steps(replace(task, workers=workers), state, timed)
            times.setdefault(f"real, {workers} workers", []).append(real)
            ratios.setdefault(workers, []).append(real / dummy)
    for name, found in times.items():
        print(f"{name:20} {1000 * median(found):8.1f} ms per step")
    for workers, found in ratios.items():
        spread = f"{min(found):.2f} to {max(found):.2f}"
        print(f"{workers} workers: real / dummy {median(found):.3f} ({spread})")


def drawing(draw: Callable[[BatchIndex], object], batches: int) -> float:
    """Return the mean processor seconds of drawing, after as many batches that do not count."""
    indices = count()
    for _ in range(batches):
        draw(BatchIndex("train", next(indices)))
    times = [timed(lambda: draw(BatchIndex("train", next(indices)))) for _ in range(batches)]
    return fmean(time.cpu_seconds for time in times)


class Clock:
    """Wall-clock time since the last lap; waits for the device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._last = 0.0
        self.lap()

    def lap(self) -> float:
        """Return the seconds since the last lap."""
        synchronize(self._device)
        now = perf_counter()
        passed, self._last = now - self._last, now
        return passed


def milliseconds(parts: dict[str, float]) -> str:
    """Return parts and their times as a sentence."""
    return ", ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in parts.items())


if __name__ == "__main__":
    main()
