"""Train the sizes of the ladder for equal times, to see which size suits which budget.

Run it as `python docs/benchmarks/budget_sweep.py DATASET WORK MINUTES... [--rungs 0 1 3 5 6]
[--axes 2] [--seeds 2] [--compact-seconds 0.25]`, once per dataset. Every size of
`autoseg/planning/ladder.py` that is named (by its place, from 0) trains fold 0 for each of the
times, with the short recipe; all share prepared cases. Interrupted, the same command goes on where
it stopped, and what is trained is not trained again. At the end it prints one row per training, and
which size the rule takes for each time.

With `--compact-seconds` each training has as many steps as it would get on a machine whose step of
the rung of 16 features and 2^17 voxels takes so long, the other sizes in proportion as the forecast
has it; so what else runs changes how long the sweep takes and not what comes out. Without, the
machine's own speed is measured, and each training takes its time; nothing else should run.
"""

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.architectures import ARCHITECTURES
from autoseg.core.errors import Interrupted
from autoseg.documents import store
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Plan
from autoseg.documents.recipe import SHORT_RECIPE
from autoseg.documents.report import Report
from autoseg.documents.workspace import Workspace
from autoseg.losses import LOSSES
from autoseg.planning.budget import Clock, largest_that_learns
from autoseg.planning.compact import resized
from autoseg.planning.configurations import Draft, reference_2d, references_3d
from autoseg.planning.forecast import Machine, step_seconds
from autoseg.planning.ladder import COMPACT, LADDER
from autoseg.planning.memory import MemoryBudget
from autoseg.planning.survey import survey
from autoseg.stages.length import LengthRequest
from autoseg.stages.machine_speed import machine_speed
from autoseg.stages.plan import PlanRequest, plan, this_machine
from autoseg.stages.train import TrainedFold, train
from autoseg.stages.training_job import TrainRequest
from autoseg.terminal import TerminalProgress

MEMORY_GIB = 8.0


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
    parser.add_argument("minutes", type=float, nargs="+")
    parser.add_argument("--rungs", type=int, nargs="+", default=list(range(7)))
    parser.add_argument("--axes", type=int, choices=(2, 3), help="of the patches")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--compact-seconds", type=float, help="of a step of 16 features, 2^17")
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


def clock_of(parent: Draft, minutes: float, compact_seconds: float | None, cache: Path) -> Clock:
    """Return the time of a training, on this machine or on one whose compact step takes so long."""
    machine = this_machine()
    if compact_seconds is None:
        speed = machine_speed(cache, progress=TerminalProgress())
        return Clock(60 * minutes, replace(machine, measured=speed))
    machine = Machine(accelerator_gib=None, cores=machine.cores)
    compact = resized(parent, COMPACT, SHORT_RECIPE, {}).configuration
    forecast = step_seconds(compact.architecture, compact.batch_size, machine)
    return Clock(60 * minutes * forecast / compact_seconds, machine)


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
        sized = resized(parent, LADDER[arm.rung], SHORT_RECIPE, {}).configuration
        configurations[arm.name] = sized.model_copy(update={"name": arm.name})
    changed = {"configurations": tuple(configurations.values())}
    store.save(planned.model_copy(update=changed), workspace.plan)
    return parent


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


def row(workspace: Workspace, arm: Arm, length: LengthRequest) -> str:
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
        f"{fold.run.seconds / fold.run.steps:.3f}",
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
    rows, choices = [], []
    for arm in arms:
        clock = clock_of(parent, arm.minutes, asked.compact_seconds, asked.work / "cache")
        fit = largest_that_learns(clock, parent)
        choice = f"{arm.minutes:g} minutes: rung {fit.at}, {fit.steps[fit.at]:.0f} steps"
        choices += [] if choice in choices else [choice]
        length = LengthRequest(budget=f"{60 * arm.minutes:.0f}s")
        if asked.compact_seconds is not None:
            length = LengthRequest(iterations=max(1, round(fit.steps[arm.rung])))
        rows.append(row(workspace, arm, length))
        print(rows[-1], flush=True)
    header = "| Minutes | Rung | Features | Batch | Seed | Steps | Seconds per step | Dice |"
    print(f"\n{header}\n|{'---|' * 8}", *rows, sep="\n")
    print("\nThe rule takes:", *choices, sep="\n")


if __name__ == "__main__":
    try:
        main()
    except Interrupted as stop:
        print(stop)
