"""Train a grid of sizes for equal times, and compare the best of them with what the rule picks.

    python docs/benchmarks/regret.py train WORK DATASET... --minutes 2 5 15 --candidates NAME...
    python docs/benchmarks/regret.py table docs/benchmarks/regret_results.jsonl
    python docs/benchmarks/regret.py fit docs/benchmarks/regret_results.jsonl

`train` trains fold 0 of every dataset with every candidate for every time, with the recipe for
short trainings, and adds a line to WORK/results.jsonl after each. Without --candidates it lists
their names. A training has as many steps as fit into its time on the machine `TWO_CORES`, so
neither the machine that it runs on nor other work changes its result. Interrupted, the same command
continues, and what was trained is not trained again; with --threads 1, two of them can run side by
side on different datasets. The folder of a dataset in WORK is named after it.

`table` prints, for every dataset and time, the best candidate that was trained, and the one with
the least expected loss (`autoseg.planning.expected_dice`): with the coefficients of the package,
and with coefficients fitted to all other datasets. `fit` fits the coefficients to all of them.
"""

import argparse
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from math import exp, log
from pathlib import Path

import numpy as np
import torch
from tables import Row, head, kept_row, line, read_rows
from trainings import (
    MEMORY_GIB,
    add_configurations,
    class_dice,
    mean_hd95,
    planned,
    train_steps,
)

from autoseg.architectures import ARCHITECTURES
from autoseg.core.errors import Interrupted
from autoseg.documents import store
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.machine import MachineIdentity, MeasuredMachine, StepCosts
from autoseg.documents.plan import Configuration
from autoseg.documents.workspace import Workspace
from autoseg.losses import LOSSES
from autoseg.planning.budget import Candidate, TimeBudget
from autoseg.planning.configurations import ConfigurationDraft, ReferenceMethod
from autoseg.planning.dataset_traits import dataset_traits
from autoseg.planning.expected_dice import FITTED, Coefficients, ExpectedLoss
from autoseg.planning.forecast import Machine
from autoseg.planning.memory import MemoryBudget
from autoseg.planning.sizing import Sizing

ANY_SECONDS = 1e9
"""A time in which every candidate gets enough steps."""

COSTS = StepCosts(
    seconds_per_step=0.015,
    seconds_per_billion_multiplications=0.03,
    seconds_per_million_activations=0.015,
)
TWO_CORES = MeasuredMachine(
    identity=MachineIdentity(
        device="2 cores, AVX2, float32", cores=2, threads=2, torch="2.13.0", precision="float32"
    ),
    planes=COSTS,
    volumes=COSTS,
)
"""The machine whose steps fit into the minutes of a row. Source: 14 networks of 8 and 16 features
on two cores of an AMD EPYC without AVX-512, whose steps took up to 40 % more or less than this."""

DIFFICULTIES = (0.8, 1.25)
"""Range of the factor by which too few steps cost a dataset more Dice than others. The planner does
not know this factor, so the coefficients must hold without much of it."""

Groups = Mapping[tuple[str, float, str], Sequence[Row]]


def parsed() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("work", type=Path)
    training.add_argument("datasets", type=Path, nargs="+")
    training.add_argument("--minutes", type=float, nargs="+", default=[2.0, 5.0, 15.0])
    training.add_argument("--candidates", nargs="*", default=[])
    training.add_argument("--seed", type=int, default=0)
    training.add_argument("--threads", type=int, default=2)
    for name in ("table", "fit"):
        commands.add_parser(name).add_argument("results", type=Path)
    return parser.parse_args()


def candidates(
    dataset: Path, workspace: Workspace
) -> tuple[Sizing, dict[str, tuple[ConfigurationDraft, Candidate]]]:
    """Return the sizing of a dataset, and its candidates with their parents by name."""
    planned(dataset, workspace)
    measured = store.load(Fingerprint, workspace.fingerprint)
    traits = dataset_traits(measured)
    memory = MemoryBudget(
        network=ARCHITECTURES["unet"],
        in_channels=len(measured.channel_names),
        num_classes=measured.labels.num_outputs,
        memory_gib=MEMORY_GIB,
    )
    time = TimeBudget(ANY_SECONDS, Machine(None, 2, TWO_CORES))
    sizing = Sizing(ReferenceMethod(traits, memory, LOSSES["dice_ce"]), time)
    return sizing, {
        name_of(candidate): (parent, candidate)
        for parent in sizing.parents.values()
        for candidate in sizing.search(parent).ranked
    }


def name_of(candidate: Candidate) -> str:
    """Return voxel size factor, patch voxels and features, such as `3d_x2_2^15_f8`."""
    axes, voxels = candidate.size[0].topology.num_axes, candidate.preset.voxels
    patch = "full" if voxels is None else f"2^{voxels.bit_length() - 1}"
    return f"{axes}d_x{candidate.base.factor:g}_{patch}_f{candidate.preset.features}"


def train_grid(asked: argparse.Namespace) -> None:
    """Train the requested candidates, dataset by dataset."""
    torch.set_num_threads(asked.threads)
    for dataset in asked.datasets:
        workspace = Workspace(asked.work / dataset.name)
        sizing, found = candidates(dataset, workspace)
        if not asked.candidates:
            print(dataset.name, *sorted(found), sep="\n  ")
        for name in asked.candidates:
            if name in found:
                train_candidate(asked, workspace, sizing, *found[name])


def train_candidate(
    asked: argparse.Namespace,
    workspace: Workspace,
    sizing: Sizing,
    parent: ConfigurationDraft,
    candidate: Candidate,
) -> None:
    """Train one candidate for each of the times, and add its results."""
    made = sizing.variant(parent, candidate).configuration
    for minutes in asked.minutes:
        key = {
            "dataset": workspace.root.name,
            "minutes": minutes,
            "candidate": name_of(candidate),
            "seed": asked.seed,
        }
        timed = replace(sizing.time, seconds=60 * minutes)
        steps = round(timed.steps(made.architecture, made.batch_size, made.recipe))
        named = f"{name_of(candidate)}_{minutes:g}m_seed{asked.seed}".replace("^", "-")
        chosen = made.model_copy(update={"name": named})
        inputs = inputs_of(replace(candidate.loss, steps=float(steps)))
        measure = partial(trained, workspace, chosen, steps, asked.seed, inputs)
        kept_row(asked.work / "results.jsonl", key, measure)


def trained(workspace: Workspace, chosen: Configuration, steps: int, seed: int, inputs: Row) -> Row:
    """Return scores and sizes of a training, with the inputs of its expected loss."""
    add_configurations(workspace, chosen)
    report = train_steps(workspace, chosen.name, steps, seed=seed).report
    assert report is not None  # noqa: S101  (fold 0 holds cases out)
    distance = mean_hd95(report)
    return {
        "machine": TWO_CORES.identity.device,
        "dice": round(statistics.fmean(class_dice(report).values()), 4),
        "hd95": None if distance is None else round(distance, 2),
        "patch": list(chosen.topology.patch_shape),
        "batch": chosen.batch_size,
        **inputs,
    }


def inputs_of(loss: ExpectedLoss) -> Row:
    """Return the inputs of the expected loss, without the coefficients."""
    found = {key: value for key, value in vars(loss).items() if key != "coefficients"}
    return {
        key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()
    }


def grouped(rows: Sequence[Row]) -> Groups:
    """Group trainings by dataset, time and machine; groups of one are left out."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["dataset"], row["minutes"], row["machine"]].append(row)
    return {key: group for key, group in groups.items() if len(group) > 1}


def expected(row: Row, coefficients: Coefficients) -> ExpectedLoss:
    """Return the expected loss of a training."""
    fields = ExpectedLoss.__dataclass_fields__.keys() - {"coefficients"}
    return ExpectedLoss(**{field: row[field] for field in fields}, coefficients=coefficients)


def picked(group: Sequence[Row], coefficients: Coefficients) -> Row:
    """Return the candidate with the least expected loss."""
    return min(group, key=lambda row: expected(row, coefficients).total)


def regret(group: Sequence[Row], coefficients: Coefficients) -> float:
    """Return by how much the picked candidate is behind the best one, in Dice."""
    best: float = max(row["dice"] for row in group)
    return best - float(picked(group, coefficients)["dice"])


def table(groups: Groups) -> None:
    """Print what the rule picks against what was best."""
    held_out = {
        name: fitted({key: group for key, group in groups.items() if key[0] != name})
        for name in {key[0] for key in groups}
    }
    titles = ("Dataset, minutes", "Sizes", "Best", "Dice", "Picked", "Regret")
    print(head(*titles, "Fitted to the others"))
    alone = []
    for (name, minutes, _), group in sorted(groups.items()):
        best, pick = max(group, key=lambda row: row["dice"]), picked(group, FITTED)
        alone.append(regret(group, held_out[name]))
        names = (best["candidate"], f"{best['dice']:.3f}", pick["candidate"])
        regrets = (f"{regret(group, FITTED):.3f}", f"{alone[-1]:.3f}")
        print(line(f"{name}, {minutes:g}", len(group), *names, *regrets))
    own = [regret(group, FITTED) for group in groups.values()]
    for text, found in (("Regret", own), ("Regret, fitted to the others", alone)):
        print(f"\n{text}: mean {statistics.fmean(found):.3f}, worst {max(found):.3f}")


def fitted(groups: Groups, rounds: int = 1500) -> Coefficients:
    """Fit the coefficients to the Dice of each dataset's candidates.

    Each dataset has a factor for the Dice that too few steps cost it, within `DIFFICULTIES`.
    Coefficients are drawn around the best ones found so far, with a fixed seed.
    """
    random = np.random.default_rng(0)
    best = start = logarithms(FITTED)
    least = misfit(start, groups)
    for number in range(rounds):
        width = 0.25 if number < rounds / 2 else 0.08
        moved = random.normal(0, width, start.size) * (random.random(start.size) < 0.35)
        found = misfit(best + moved, groups)
        if found < least:
            best, least = best + moved, found
    return coefficients_of(best)


def logarithms(coefficients: Coefficients) -> np.ndarray:
    """Return the logarithms of all coefficients."""
    values = asdict(coefficients).values()
    flat = [
        entry for value in values for entry in (value if isinstance(value, tuple) else (value,))
    ]
    return np.array([log(value) for value in flat])


def coefficients_of(logs: np.ndarray) -> Coefficients:
    """Undo `logarithms`."""
    values = iter([round(exp(value), 4) for value in logs])
    found: dict[str, float | tuple[float, float]] = {}
    for field, value in asdict(FITTED).items():
        found[field] = (next(values), next(values)) if isinstance(value, tuple) else next(values)
    return Coefficients(**found)  # type: ignore[arg-type]


def misfit(logs: np.ndarray, groups: Groups) -> float:
    """Return how badly coefficients explain the results; the picks' regret counts too."""
    coefficients = coefficients_of(logs)
    difficulty = difficulties(coefficients, groups)
    total = sum(log(value) ** 2 for value in difficulty.values()) * 0.05
    for (name, _, _), group in groups.items():
        dice = np.array([row["dice"] for row in group])
        losses = [expected(row, coefficients) for row in group]
        scaled = np.array([difficulty[name] * loss.training + rest(loss) for loss in losses])
        alike = np.array([loss.total for loss in losses])
        spread = float(np.ptp(dice))
        residual = dice - dice.mean() + scaled - scaled.mean()
        weights = np.exp((alike.min() - alike) / 0.01)
        missed = dice.max() - float(weights @ dice / weights.sum())
        total += float(np.mean(residual**2)) / (0.01 + spread) ** 2
        total += 8 * missed / (0.02 + spread / 2)
    return total / len(groups) + 0.004 * float(np.sum((logs - logarithms(FITTED)) ** 2))


def rest(loss: ExpectedLoss) -> float:
    """Return the loss that does not depend on the difficulty of a dataset."""
    return loss.resolution + loss.network


def difficulties(coefficients: Coefficients, groups: Groups) -> dict[str, float]:
    """Return by what factor too few steps cost each dataset more Dice than expected."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for (name, _, _), group in groups.items():
        losses = [expected(row, coefficients) for row in group]
        training = centred([loss.training for loss in losses])
        lost = centred([-row["dice"] - rest(loss) for row, loss in zip(group, losses, strict=True)])
        sums[name][0] += float(training @ lost)
        sums[name][1] += float(training @ training)
    return {
        name: float(np.clip(product / max(square, 1e-9), *DIFFICULTIES))
        for name, (product, square) in sums.items()
    }


def centred(values: Sequence[float]) -> np.ndarray:
    """Return values without their mean."""
    return np.array(values) - statistics.fmean(values)


COMMANDS: dict[str, Callable[[Groups], None]] = {
    "table": table,
    "fit": lambda groups: print(fitted(groups)),
}


if __name__ == "__main__":
    arguments = parsed()
    if arguments.command == "train":
        try:
            train_grid(arguments)
        except Interrupted as stop:
            print(stop)
    else:
        COMMANDS[arguments.command](grouped(read_rows(arguments.results)))
