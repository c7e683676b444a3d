"""Train the default plan of datasets for a few steps, with every network and precision.

    python docs/benchmarks/default_plans.py train WORK DATASET... --steps 20
    python docs/benchmarks/default_plans.py table WORK

Each training runs in a process of its own, with the precision that the check of its first step
leaves it, as in `autoseg train`; held-out cases are not scored. WORK/default_plans.jsonl gets a
line after each: how it ended, its losses, and the seconds of a step. Interrupted, the same command
continues. The folder of a dataset in WORK is named after it and the network. `table` prints, for
each network and precision, how many trainings ended well, and names all others.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from autoseg.architectures import ARCHITECTURES
from autoseg.core.compute import Compute
from autoseg.core.errors import AutosegError
from autoseg.core.interrupt import StopRequest
from autoseg.documents import store
from autoseg.documents.plan import Plan
from autoseg.documents.splits import FoldName
from autoseg.documents.workspace import Workspace
from autoseg.stages.plan.plan import PlanRequest, plan
from autoseg.stages.preprocess import prepare_cases
from autoseg.stages.project import fold_cases, load_project
from autoseg.stages.step_check import StepChecks
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest, training_task
from autoseg.terminal import TerminalProgress
from autoseg.training.loop import Callbacks, fit, new_state

PRECISIONS = ("float32", "bfloat16")
FOLD: FoldName = 0

Row = dict[str, Any]


def parsed() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("work", type=Path)
    training.add_argument("datasets", type=Path, nargs="+")
    training.add_argument("--networks", nargs="+", default=list(ARCHITECTURES))
    training.add_argument("--precisions", nargs="+", default=list(PRECISIONS))
    training.add_argument("--steps", type=int, default=20)
    training.add_argument("--minutes", type=float, default=30.0, help="time limit of a training")
    child = commands.add_parser("one")
    for name in ("work", "precision"):
        child.add_argument(name)
    child.add_argument("steps", type=int)
    commands.add_parser("table").add_argument("work", type=Path)
    return parser.parse_args()


def train_all(asked: argparse.Namespace) -> None:
    """Train what is asked for, each in a process of its own, and add a line for each."""
    kept = asked.work / "default_plans.jsonl"
    for dataset in asked.datasets:
        for network in asked.networks:
            workspace = Workspace(asked.work / f"{dataset.name}_{network}")
            made = planned(dataset, network, workspace)
            if made is None:
                continue
            for precision in asked.precisions:
                key = {"dataset": dataset.name, "network": network, "precision": precision}
                if any(key.items() <= row.items() for row in read(kept)):
                    continue
                row = {**key, **shape_of(made), **child(workspace, precision, asked)}
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)


def planned(dataset: Path, network: str, workspace: Workspace) -> Plan | None:
    """Plan a dataset with a network; None if that is refused, such as for want of a package."""
    progress = TerminalProgress()
    if not workspace.plan.is_file():
        request = PlanRequest(network=network)
        try:
            plan(dataset, workspace, request, workers=2, progress=progress)
        except AutosegError as error:
            print(f"{dataset.name}, {network}: {error}")
            return None
        finally:
            progress.close()
    return store.load(Plan, workspace.plan)


def shape_of(made: Plan) -> Row:
    """Return the sizes of the default configuration."""
    default = made.configuration(None)
    return {
        "configuration": default.name,
        "batch": default.batch_size,
        "patch": list(default.topology.patch_shape),
    }


def child(workspace: Workspace, precision: str, asked: argparse.Namespace) -> Row:
    """Train in another process, and return the rest of its row."""
    words = ["one", str(workspace.root), precision, str(asked.steps)]
    command = [sys.executable, __file__, *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=60 * asked.minutes
        )
    except subprocess.TimeoutExpired:
        return {"ended": f"not finished in {asked.minutes:g} minutes"}
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        return {"ended": f"status {done.returncode}: {last}"}
    found: Row = json.loads(done.stdout.splitlines()[-1])
    return found


def train_one(asked: argparse.Namespace) -> None:
    """Train the default configuration of a plan for some steps, and print what came of it."""
    progress = TerminalProgress()
    project = load_project(Workspace(Path(asked.work)), progress)
    cases = prepare_cases(project, None, workers=2, progress=progress).cases
    request = TrainRequest(
        fold=FOLD,
        length=TrainingDuration(iterations=asked.steps),
        checkpoint_seconds=math.inf,
        compute=Compute(precision=asked.precision),
    )
    safe = StepChecks(None, progress).safe_precision(
        project.plan.configuration(None), torch.device("cpu"), asked.precision
    )
    fold = fold_cases(project, FOLD, progress)
    task = training_task(project, fold, cases, request, precision=safe)
    task.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    losses: list[float] = []
    ends = [perf_counter()]

    def on_step(state: Any) -> None:  # noqa: ANN401  (a TrainingState)
        losses.append(state.epoch_losses[-1])
        ends.append(perf_counter())

    fit(task, new_state(task, epoch_steps=10**6), Callbacks(on_step, lambda _: None, StopRequest()))
    task.checkpoint.unlink()
    seconds = [after - before for before, after in pairwise(ends)]
    is_finite = all(math.isfinite(loss) for loss in losses)
    row = {
        "ended": "well" if is_finite else "with losses that are not finite",
        "computed_in": str(task.dtype).removeprefix("torch."),
        "losses": [round(losses[0], 4), round(losses[-1], 4)],
        "seconds_per_step": round(statistics.median(seconds), 3),
    }
    print("\n" + json.dumps(row))


def read(path: Path) -> list[Row]:
    """Return the lines of a file; none if it does not exist."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def table(asked: argparse.Namespace) -> None:
    """Print how the trainings ended."""
    rows = read(asked.work / "default_plans.jsonl")
    print(
        "| Network | Precision | Datasets | Ended well | Seconds per step |\n|---|---|---|---|---|"
    )
    for network, precision in sorted({(row["network"], row["precision"]) for row in rows}):
        own = [row for row in rows if (row["network"], row["precision"]) == (network, precision)]
        well = [row for row in own if row["ended"] == "well"]
        seconds = [row["seconds_per_step"] for row in well]
        span = f"{min(seconds):.2f} to {max(seconds):.2f}" if seconds else ""
        print(f"| {network} | {precision} | {len(own)} | {len(well)} | {span} |")
    for row in rows:
        if row["ended"] != "well":
            print(f"\n{row['dataset']}, {row['network']}, {row['precision']}: {row['ended']}")


COMMANDS = {"train": train_all, "one": train_one, "table": table}


if __name__ == "__main__":
    arguments = parsed()
    COMMANDS[arguments.command](arguments)
