"""Train the sizes of the ladder for equal times, to see which size suits which budget.

Run it as `python docs/benchmarks/budget_sweep.py DATASET WORK [MINUTES...] [--rungs 0 1 3 5]
[--axes 2] [--seeds 2]`, once per dataset. Every size of `autoseg/planning/ladder.py` that is named
(by its place, from 0) trains fold 0 for each of the times, with the short recipe; all share
prepared cases. At the end it prints one row per training, and which size the rule takes for each
time. Without MINUTES it only times the steps.

A step of every size is timed first, while nothing else should run; this is kept in the work folder.
Each training then has as many steps as fit into its minutes: what else runs later changes how long
the sweep takes, and not what comes out. Interrupted, the same command goes on where it stopped, and
what is trained is not trained again.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import torch

from autoseg.architectures import ARCHITECTURES
from autoseg.core.errors import Interrupted
from autoseg.documents import store
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.recipe import SHORT_RECIPE
from autoseg.documents.report import Report
from autoseg.documents.workspace import Workspace
from autoseg.losses import LOSSES
from autoseg.planning.budget import Clock, largest_that_learns
from autoseg.planning.compact import resized
from autoseg.planning.configurations import Draft, reference_2d, references_3d
from autoseg.planning.ladder import LADDER
from autoseg.planning.memory import MemoryBudget
from autoseg.planning.survey import survey
from autoseg.stages.length import LengthRequest
from autoseg.stages.machine_speed import machine_speed
from autoseg.stages.plan import PlanRequest, plan, this_machine
from autoseg.stages.train import TrainedFold, train
from autoseg.stages.training_job import TrainRequest
from autoseg.terminal import TerminalProgress
from autoseg.training.precision import training_dtype
from autoseg.training.state import initial_state
from autoseg.training.step import training_step
from autoseg.training.targets import objective

MEMORY_GIB = 8.0

WARM_UP, TIMED_STEPS = 3, 15
"""Steps before the timed ones, and these."""


@dataclass(frozen=True)
class Arm:
    """One training of the sweep."""

    minutes: float
    rung: int
    seed: int

    @property
    def name(self) -> str:
        """Of its configuration."""
        return f"rung{self.rung}_{self.minutes:g}m_seed{self.seed}".replace(".", "p")


def parsed() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("minutes", type=float, nargs="*")
    parser.add_argument("--rungs", type=int, nargs="+", default=list(range(7)))
    parser.add_argument("--axes", type=int, choices=(2, 3), help="of the patches")
    parser.add_argument("--seeds", type=int, default=1)
    return parser.parse_args()


def parent_of(measured: Fingerprint, planned: Plan, axes: int | None) -> Draft:
    """Return the reference configuration that the sizes are variants of."""
    surveyed = survey(measured)
    budget = MemoryBudget(
        network=ARCHITECTURES["unet"],
        in_channels=len(measured.channel_names),
        num_classes=measured.labels.num_outputs,
        memory_gib=MEMORY_GIB,
    )
    wanted = axes or planned.configuration(None).topology.num_axes
    if wanted == 2:
        return reference_2d(surveyed, budget, LOSSES["dice_ce"])
    return references_3d(surveyed, budget, LOSSES["dice_ce"])[0]


def prepared(dataset: Path, workspace: Workspace, arms: Sequence[Arm], axes: int | None) -> Draft:
    """Plan with a configuration per arm; return the reference configuration."""
    if not workspace.fingerprint.is_file():
        request = PlanRequest(memory_gib=MEMORY_GIB)
        plan(dataset, workspace, request, workers=2, progress=TerminalProgress())
    planned = store.load(Plan, workspace.plan, made_by="autoseg plan")
    measured = store.load(Fingerprint, workspace.fingerprint, made_by="autoseg plan")
    parent = parent_of(measured, planned, axes)
    configurations = {entry.name: entry for entry in planned.configurations}
    for arm in arms:
        configurations[arm.name] = sized(parent, arm.rung, arm.name)
    changed = {"configurations": tuple(configurations.values())}
    store.save(planned.model_copy(update=changed), workspace.plan)
    return parent


def sized(parent: Draft, rung: int, name: str) -> Configuration:
    """Return the variant of the reference on a rung."""
    made = resized(parent, LADDER[rung], SHORT_RECIPE, {}).configuration
    return made.model_copy(update={"name": name})


def step_seconds(kept: Path, parent: Draft, rungs: Sequence[int], plan: Plan) -> dict[int, float]:
    """Return what a step takes on each rung, timed now where it is not known yet."""
    known = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    for rung in sorted(set(rungs)):
        if str(rung) not in known:
            known[str(rung)] = timed(sized(parent, rung, "timed"), plan)
            kept.write_text(json.dumps(known), encoding="utf-8")
    return {int(rung): float(seconds) for rung, seconds in known.items()}


def timed(made: Configuration, plan: Plan) -> float:
    """Return the median seconds of a training step on noise, on the CPU."""
    device = torch.device("cpu")
    dtype = training_dtype(device, "auto", made.topology)
    state = initial_state(
        made.architecture, made.recipe, device=device, dtype=dtype, seed=0, epoch_steps=1
    )
    shape = (made.batch_size, made.architecture.in_channels, *made.topology.patch_shape)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    batch = (images, (images[:, 0] > 1).long())
    loss = objective(made.loss.build(), plan.labels)
    seconds = []
    for _ in range(WARM_UP + TIMED_STEPS):
        before = perf_counter()
        float(training_step(state, batch, loss, rate=0.001, gradient_clip=12.0, dtype=dtype))
        seconds.append(perf_counter() - before)
    return statistics.median(seconds[WARM_UP:])


def trained(workspace: Workspace, arm: Arm, length: LengthRequest) -> TrainedFold:
    """Return an arm's fold, trained if it is not yet."""
    progress = TerminalProgress()
    request = TrainRequest(
        fold=0, configuration=arm.name, length=length, seed=arm.seed, checkpoint_seconds=60.0
    )
    try:
        return train(workspace, request, progress=progress)
    finally:
        progress.close()


def mean_dice(report: Report | None) -> float:
    """Return the mean of the classes' Dice over the held-out cases."""
    assert report is not None  # noqa: S101  (fold 0 holds cases out)
    return statistics.fmean(entry.means.dice.value or 0.0 for entry in report.classes)


def row(workspace: Workspace, arm: Arm, length: LengthRequest, seconds: float) -> str:
    """Return an arm as a row of the table."""
    fold = trained(workspace, arm, length)
    made = store.load(Plan, workspace.plan, made_by="autoseg plan").configuration(arm.name)
    patch = "×".join(map(str, made.topology.patch_shape))
    cells = (
        f"{arm.minutes:g}",
        str(arm.rung),
        str(LADDER[arm.rung].features),
        f"{made.batch_size} × {patch}",
        str(arm.seed),
        str(fold.run.steps),
        f"{seconds:.3f}",
        f"{mean_dice(fold.report):.3f}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Train every size for every time and print the table."""
    asked = parsed()
    workspace = Workspace(asked.work)
    arms = [
        Arm(minutes, rung, seed)
        for minutes in asked.minutes
        for seed in range(asked.seeds)
        for rung in asked.rungs
    ]
    parent = prepared(asked.dataset, workspace, arms, asked.axes)
    planned = store.load(Plan, workspace.plan, made_by="autoseg plan")
    seconds = step_seconds(asked.work / "step_seconds.json", parent, asked.rungs, planned)
    speed = machine_speed(asked.work / "cache", progress=TerminalProgress())
    machine = replace(this_machine(), measured=speed)
    rows, choices = [], []
    for arm in arms:
        fit = largest_that_learns(Clock(60 * arm.minutes, machine), parent)
        choice = f"{arm.minutes:g} minutes: rung {fit.at}, {fit.steps[fit.at]:.0f} steps"
        choices += [] if choice in choices else [choice]
        steps = max(1, round(60 * arm.minutes / seconds[arm.rung]))
        rows.append(row(workspace, arm, LengthRequest(iterations=steps), seconds[arm.rung]))
        print(rows[-1], flush=True)
    header = "| Minutes | Rung | Features | Batch | Seed | Steps | Seconds per step | Dice |"
    print(f"\n{header}\n|{'---|' * 8}", *rows, sep="\n")
    print("\nThe rule takes:", *choices, sep="\n")


if __name__ == "__main__":
    try:
        main()
    except Interrupted as stop:
        print(stop)
