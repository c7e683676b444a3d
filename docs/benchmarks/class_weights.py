"""Compare ways to balance classes: weights of classes and of loss terms, and the choice of patches.

    python docs/benchmarks/class_weights.py train WORK DATA [--jobs 2] [--seeds 3] [--only NAME...]
    python docs/benchmarks/class_weights.py table WORK/results.jsonl

`train` trains every arm and seed on every dataset of `SETUPS` for equally many steps, each on one
core, and adds a line to WORK/results.jsonl after each. DATA is the folder of the real datasets; two
more are written into WORK (docs/benchmarks/imbalanced_datasets.py). All arms of a dataset share
prepared cases, fold, network and recipe, except for what the arm changes. Interrupted, the same
command continues. With --steps all trainings have another length, to try the arms.

`table` prints the mean Dice of every arm, its difference from `equal`, and the same for the rarest
class. Differences are paired by seed and held-out case, of the cases that contain the class. Their
95 % intervals count the chance of both: crossed random effects of seeds and cases, with
Satterthwaite's degrees of freedom.
"""

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from time import process_time

import numpy as np
import torch
from imbalanced_datasets import write_rare_classes, write_slabs
from regret import candidates
from scipy import stats
from tables import Row, head, line, read_rows
from trainings import train_steps

from autoseg.core.compute import Compute
from autoseg.documents import store
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.splits import Fold, Splits
from autoseg.documents.workspace import Workspace
from autoseg.planning.weights import LARGEST_WEIGHT, frequency_weights
from autoseg.stages.preprocess import preprocess
from autoseg.terminal import TerminalProgress


@dataclass(frozen=True)
class Setup:
    """A dataset and the size of its trainings.

    Attributes:
        name: Name of the dataset.
        candidate: Candidate of docs/benchmarks/regret.py.
        steps: Steps of a training.
        nth: Every which case, in order of names, is held out.
    """

    name: str
    candidate: str
    steps: int
    nth: int


SETUPS = (
    Setup("VNC_ssTEM_3D", "2d_x2_2^14_f8", 500, 3),
    Setup("Task04_Hippocampus", "3d_x1.5_2^14_f8", 800, 5),
    Setup("OpenMS_slabs", "2d_x1_2^14_f8", 500, 2),
    Setup("DSB2018_nuclei_RGB", "2d_x3_2^14_f8", 800, 3),
    Setup("RareClasses", "2d_x2_2^14_f8", 900, 3),
)

Weights = tuple[float, ...] | None
Change = Callable[[Configuration, tuple[float, ...]], Configuration]
Differences = np.ndarray
"""Differences from `equal`, seeds × cases."""


def with_loss(base: Configuration, _: tuple[float, ...], **changes: object) -> Configuration:
    """Return a configuration with other settings of the loss."""
    return base.model_copy(update={"loss": base.loss.model_copy(update=changes)})


def among_foreground(
    base: Configuration, frequencies: tuple[float, ...], power: float
) -> Configuration:
    """Weigh the foreground classes by a power of the inverse frequency."""
    return with_loss(base, (), class_weights=frequency_weights(frequencies, power))


def against_background(
    base: Configuration, frequencies: tuple[float, ...], power: float
) -> Configuration:
    """Weigh the foreground against the background by a power of their ratio."""
    weight = min((frequencies[0] / sum(frequencies[1:])) ** power, LARGEST_WEIGHT)
    return with_loss(base, (), class_weights=(1.0, *[round(weight, 3)] * len(frequencies[1:])))


def rare_patches(base: Configuration, _: tuple[float, ...], power: float) -> Configuration:
    """Centre more foreground patches on rare classes."""
    changed = base.recipe.model_copy(update={"rare_class_power": power})
    return base.model_copy(update={"recipe": changed})


EVERYWHERE: dict[str, Change] = {
    "equal": with_loss,
    "dice_x2": partial(with_loss, dice_weight=2.0),
    "cross_entropy_x2": partial(with_loss, cross_entropy_weight=2.0),
}
SEVERAL_CLASSES: dict[str, Change] = {
    "power_0.1": partial(among_foreground, power=0.1),
    "power_0.25": partial(among_foreground, power=0.25),
    "power_0.5": partial(among_foreground, power=0.5),
    "rare_patches": partial(rare_patches, power=0.5),
}
"""Arms that are the same as `equal` with one foreground class."""
ONE_CLASS: dict[str, Change] = {"foreground": partial(against_background, power=0.25)}


def arms(num_foreground: int) -> dict[str, Change]:
    """Return the arms of a dataset."""
    return EVERYWHERE | (SEVERAL_CLASSES if num_foreground > 1 else ONE_CLASS)


def parsed() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("work", type=Path)
    training.add_argument("data", type=Path)
    training.add_argument("--jobs", type=int, default=1)
    training.add_argument("--seeds", type=int, default=3)
    training.add_argument("--steps", type=int, help="instead of those of the setups")
    training.add_argument("--only", nargs="+", default=[setup.name for setup in SETUPS])
    commands.add_parser("table").add_argument("results", type=Path)
    one = commands.add_parser("one")
    one.add_argument("workspace", type=Path)
    for name in ("configuration", "steps", "seed"):
        one.add_argument(name, type=str if name == "configuration" else int)
    return parser.parse_args()


def train_all(asked: argparse.Namespace) -> None:
    """Train what is missing, several trainings at a time, by seed."""
    asked.work.mkdir(parents=True, exist_ok=True)
    setups = [setup for setup in SETUPS if setup.name in asked.only]
    names = {setup.name: prepared(setup, asked) for setup in setups}
    results = asked.work / "results.jsonl"
    done = {(row["dataset"], row["arm"], row["seed"], row["steps"]) for row in read_rows(results)}
    queue = [
        (setup, arm, seed)
        for seed in range(asked.seeds)
        for setup in setups
        for arm in names[setup.name]
        if (setup.name, arm, seed, asked.steps or setup.steps) not in done
    ]
    print(f"{len(done)} trainings are done, {len(queue)} are left", flush=True)
    lock = Lock()

    def work(task: tuple[Setup, str, int]) -> None:
        setup, arm, seed = task
        row = trained_apart(asked, setup, arm, seed)
        with lock, results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(setup.name, arm, seed, f"{row['cpu_seconds']} s", flush=True)

    with ThreadPoolExecutor(asked.jobs) as pool:
        try:
            for _ in pool.map(work, queue):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def prepared(setup: Setup, asked: argparse.Namespace) -> list[str]:
    """Plan and prepare a dataset once, with a configuration per arm and seed; return the arms."""
    workspace = Workspace(asked.work / setup.name)
    names_file = workspace.root / f"arms_of_{asked.seeds}_seeds.json"
    if not names_file.is_file():
        dataset = asked.data / setup.name
        if setup.name == "RareClasses":
            write_rare_classes(dataset := asked.work / "data" / setup.name)
        if setup.name == "OpenMS_slabs":
            openms = asked.data / "OpenMS_MNI_4ch"
            write_slabs(openms, dataset := asked.work / "data" / setup.name)
        sizing, found = candidates(dataset, workspace)
        sized = sizing.variant(*found[setup.candidate]).configuration
        frequencies = store.load(Fingerprint, workspace.fingerprint).class_frequencies
        names = arms(len(frequencies) - 1)
        save_plan(workspace, sized, frequencies, asked.seeds)
        save_splits(workspace, setup)
        preprocess(workspace, configuration="equal_0", workers=1, progress=TerminalProgress())
        names_file.write_text(json.dumps(list(names)), encoding="utf-8")
    return list(json.loads(names_file.read_text(encoding="utf-8")))


def save_plan(
    workspace: Workspace, sized: Configuration, frequencies: tuple[float, ...], seeds: int
) -> None:
    """Save the plan with a configuration per arm and seed."""
    recipe = sized.recipe.model_copy(update={"validation_share": 0.0})
    base = sized.model_copy(update={"recipe": recipe, "data_name": "prepared"})
    configurations = tuple(
        change(base, frequencies).model_copy(update={"name": f"{arm}_{seed}"})
        for arm, change in arms(len(frequencies) - 1).items()
        for seed in range(seeds)
    )
    changed = {"configurations": configurations, "default_configuration": configurations[0].name}
    planned = store.load(Plan, workspace.plan).model_copy(update=changed)
    store.save(Plan.model_validate(planned.model_dump()), workspace.plan)


def save_splits(workspace: Workspace, setup: Setup) -> None:
    """Hold out every n-th case."""
    names = sorted(case.name for case in store.load(Fingerprint, workspace.fingerprint).cases)
    held_out = names[:: setup.nth]
    train_on = tuple(name for name in names if name not in held_out)
    fold = Fold(train=train_on, validation=tuple(held_out))
    store.save(Splits(seed=0, reason=f"every {setup.nth}th", folds=(fold,)), workspace.splits)


def trained_apart(asked: argparse.Namespace, setup: Setup, arm: str, seed: int) -> Row:
    """Train one arm in a process of its own, on one core, and return its results."""
    steps = asked.steps or setup.steps
    command = [*(sys.executable, __file__, "one", str(asked.work / setup.name))]
    command += [f"{arm}_{seed}", str(steps), str(seed)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{' '.join(command)}\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}")
    key = {"dataset": setup.name, "arm": arm, "seed": seed, "steps": steps}
    return key | json.loads(ended.stdout.splitlines()[-1])


def train_one(asked: argparse.Namespace) -> None:
    """Train a configuration, and print its results as JSON."""
    torch.set_num_threads(1)
    workspace = Workspace(asked.workspace)
    compute = Compute(device="cpu", precision="float32", workers=0)
    report = train_steps(
        workspace, asked.configuration, asked.steps, seed=asked.seed, compute=compute
    ).report
    assert report is not None  # noqa: S101  (cases are held out)
    measured = store.load(Fingerprint, workspace.fingerprint)
    row = {
        "frequencies": [round(share, 6) for share in measured.class_frequencies[1:]],
        "cpu_seconds": round(process_time(), 1),
        "dice": {
            case.name: [
                round(scores.dice or 0.0, 5) if scores.reference_voxels else None
                for scores in case.classes
            ]
            for case in report.cases
        },
    }
    print(f"\n{json.dumps(row)}", flush=True)


def table(rows: Sequence[Row]) -> None:
    """Print the table of results."""
    by_dataset: dict[str, dict[str, dict[int, Row]]] = defaultdict(lambda: defaultdict(dict))
    names = {setup.name for setup in SETUPS}
    for row in (row for row in rows if row["dataset"] in names):
        by_dataset[row["dataset"]][row["arm"]][row["seed"]] = row
    columns = ("Dataset", "Arm", "Seeds × cases", "Dice", "Difference")
    print(head(*columns, "Dice, rarest class", "Difference"))
    overall: dict[str, list[list[Differences]]] = defaultdict(list)
    for dataset, found in by_dataset.items():
        rarest = int(np.argmin(next(iter(found["equal"].values()))["frequencies"]))
        for arm, by_seed in found.items():
            seeds = sorted(found["equal"].keys() & by_seed.keys())
            texts, differences = [], []
            for pick in (mean_of, partial(class_of, index=rarest)):
                own, other = (values(source, seeds, pick) for source in (by_seed, found["equal"]))
                differences.append(own - other)
                texts += [f"{own.mean():.3f}", "–" if arm == "equal" else interval(own - other)]
            size = " × ".join(map(str, differences[0].shape))
            print(line(dataset, arm, size, *texts))
            overall[arm].append(differences)
    for arm, pairs in overall.items():
        if arm != "equal":
            cells = [averaged([pair[at] for pair in pairs]) for at in (0, 1)]
            print(line(f"mean of {len(pairs)}", arm, "", "", cells[0], "", cells[1]))


def mean_of(dice: Sequence[float | None]) -> float | None:
    """Return the mean Dice of the classes of a case."""
    known = [value for value in dice if value is not None]
    return float(np.mean(known)) if known else None


def class_of(dice: Sequence[float | None], index: int) -> float | None:
    """Return the Dice of one class."""
    return dice[index]


def values(
    by_seed: Mapping[int, Row],
    seeds: Sequence[int],
    pick: Callable[[Sequence[float | None]], float | None],
) -> np.ndarray:
    """Return the Dice by seed and case, without cases that do not contain the class."""
    found = [[pick(dice) for _, dice in sorted(by_seed[seed]["dice"].items())] for seed in seeds]
    array = np.array(found, dtype=float)
    return array[:, ~np.isnan(array).any(axis=0)]


def spread(differences: Differences) -> tuple[float, float]:
    """Return the variance of the mean of seeds × cases, and its degrees of freedom.

    Source: crossed random effects; Satterthwaite, Biometrics Bulletin 2 (1946).
    """
    seeds, cases = differences.shape
    centred = differences - differences.mean()
    by_seed, by_case = centred.mean(axis=1), centred.mean(axis=0)
    if min(seeds, cases) < 2:
        several = by_seed if seeds > 1 else by_case
        return float(several.var(ddof=1) / several.size), several.size - 1
    residual = centred - by_seed[:, None] - by_case
    squares = np.array([cases * by_seed @ by_seed, seeds * by_case @ by_case, (residual**2).sum()])
    free = np.array([seeds - 1, cases - 1, (seeds - 1) * (cases - 1)])
    means = squares / free
    total = max(float(means[0] + means[1] - means[2]), float(means.max()))
    return total / (seeds * cases), float(total**2 / max((means**2 / free).sum(), 1e-30))


def interval(differences: Differences) -> str:
    """Return the mean difference and its 95 % interval as text."""
    variance, free = spread(differences)
    return ranged(differences.mean(), variance, free)


def averaged(found: Sequence[Differences]) -> str:
    """Return the mean over datasets of the mean differences, with its 95 % interval, as text."""
    parts = [spread(differences) for differences in found]
    variances = np.array([variance for variance, _ in parts])
    free = variances.sum() ** 2 / max(sum(v**2 / f for v, f in parts if v > 0), 1e-30)
    mean = float(np.mean([differences.mean() for differences in found]))
    return ranged(mean, variances.sum() / len(found) ** 2, free)


def ranged(mean: float, variance: float, free: float) -> str:
    """Return a mean with its 95 % interval as text."""
    half = stats.t.ppf(0.975, free) * variance**0.5 if variance > 0 else 0.0
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


if __name__ == "__main__":
    arguments = parsed()
    if arguments.command == "train":
        train_all(arguments)
    elif arguments.command == "one":
        train_one(arguments)
    else:
        table(read_rows(arguments.results))
