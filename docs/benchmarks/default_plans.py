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
import subprocess
import sys
from functools import partial
from pathlib import Path

import torch
from costs import medians
from tables import Row, head, kept_row, line, read_rows
from trainings import fit_logged, planned, prepared_task

from autoseg.architectures import ARCHITECTURES
from autoseg.core.compute import Compute
from autoseg.core.errors import AutosegError
from autoseg.documents.plan import Plan
from autoseg.documents.workspace import Workspace
from autoseg.stages.plan.plan import PlanRequest
from autoseg.stages.project import load_project
from autoseg.stages.step_check import StepChecks
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest
from autoseg.terminal import TerminalProgress

PRECISIONS = ("float32", "bfloat16")


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
            try:
                made = planned(dataset, workspace, PlanRequest(network=network))
            except AutosegError as error:  # a package is missing, or nothing fits
                print(f"{dataset.name}, {network}: {error}")
                continue
            for precision in asked.precisions:
                key = {"dataset": dataset.name, "network": network, "precision": precision}
                kept_row(kept, key, partial(measured, workspace, made, precision, asked))


def measured(workspace: Workspace, made: Plan, precision: str, asked: argparse.Namespace) -> Row:
    """Train the default configuration in another process, and return the rest of its row."""
    default = made.configuration(None)
    sizes = {
        "configuration": default.name,
        "batch": default.batch_size,
        "patch": list(default.topology.patch_shape),
    }
    return sizes | child(workspace, precision, asked)


def child(workspace: Workspace, precision: str, asked: argparse.Namespace) -> Row:
    """Train in another process, and return its results or its error."""
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
    request = TrainRequest(
        fold=0,
        length=TrainingDuration(iterations=asked.steps),
        checkpoint_seconds=math.inf,
        compute=Compute(precision=asked.precision),
    )
    safe = StepChecks(None, progress).safe_precision(
        project.plan.configuration(None), torch.device("cpu"), asked.precision
    )
    task = prepared_task(project, request, safe)
    losses, steps = fit_logged(task)
    task.checkpoint.unlink()
    is_finite = all(math.isfinite(loss) for loss in losses)
    row = {
        "ended": "well" if is_finite else "with losses that are not finite",
        "computed_in": str(task.dtype).removeprefix("torch."),
        "losses": [round(losses[0], 4), round(losses[-1], 4)],
        "seconds_per_step": round(medians(steps).seconds, 3),
    }
    print("\n" + json.dumps(row))


def table(asked: argparse.Namespace) -> None:
    """Print how the trainings ended."""
    rows = read_rows(asked.work / "default_plans.jsonl")
    print(head("Network", "Precision", "Datasets", "Ended well", "Seconds per step"))
    for network, precision in sorted({(row["network"], row["precision"]) for row in rows}):
        own = [row for row in rows if (row["network"], row["precision"]) == (network, precision)]
        well = [row for row in own if row["ended"] == "well"]
        seconds = [row["seconds_per_step"] for row in well]
        span = f"{min(seconds):.2f} to {max(seconds):.2f}" if seconds else ""
        print(line(network, precision, len(own), len(well), span))
    for row in rows:
        if row["ended"] != "well":
            print(f"\n{row['dataset']}, {row['network']}, {row['precision']}: {row['ended']}")


COMMANDS = {"train": train_all, "one": train_one, "table": table}


if __name__ == "__main__":
    arguments = parsed()
    COMMANDS[arguments.command](arguments)
