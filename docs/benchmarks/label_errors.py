"""Damage some labels of a dataset, train on it, and rank the cases by suspicious labels.

    python docs/benchmarks/label_errors.py DATASET WORK --damage coarse --seed 0

The labels of 10 random cases are damaged in a copy of the dataset (Decathlon layout) in WORK: four
are shifted, in three both classes are swapped, in three a class is removed. With `--damage coarse`
the shift is 5 voxels and everything is swapped or removed; with `--damage subtle` it is 3 voxels,
and the class is swapped or removed in one half of the image. Five folds are trained for 200 steps
each, of a network that is planned for 2 minutes, and the ranks of the damaged cases are printed: by
suspicious labels, and by Dice. Interrupted, the same command continues.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import SimpleITK
from trainings import planned, train_steps

from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.splits import Splits
from autoseg.documents.workspace import Workspace
from autoseg.reporting.score_section import mean_dice
from autoseg.stages.plan.plan import PlanRequest, Timing
from autoseg.stages.report.drawing import Drawer
from autoseg.stages.report.label_check import confidence_of, find_suspicious_labels
from autoseg.stages.report.scores import find_cross_validation

KINDS = ("shifted",) * 4 + ("swapped",) * 3 + ("a class removed",) * 3
FIRST = 20
PLANNED_SECONDS = 120.0


def damaged(
    labels: np.ndarray, kind: str, *, is_subtle: bool, chance: np.random.Generator
) -> np.ndarray:
    """Return damaged labels."""
    if kind == "shifted":
        by = int(chance.choice([-1, 1])) * (3 if is_subtle else 5)
        return np.roll(labels, by, axis=int(chance.integers(labels.ndim)))
    wrong = np.select([labels == 1, labels == 2], [2, 1], 0)
    if kind == "a class removed":
        removed = int(chance.integers(1, 3))
        wrong = np.where(labels == removed, 0, labels)
    half = np.ones(labels.shape, bool)
    if is_subtle:  # the half of the foreground along the first axis
        half[: int(np.median(np.nonzero(labels)[0]))] = False
    return np.where(half, wrong, labels)


def damage(dataset: Path, copy: Path, seed: int, *, is_subtle: bool) -> dict[str, str]:
    """Copy a dataset, damage the labels of 10 cases, and return their kinds by name."""
    shutil.copytree(dataset, copy)
    entries = json.loads((copy / "dataset.json").read_text())["training"]
    files = sorted(copy / entry["label"] for entry in entries)
    chance = np.random.default_rng(seed)
    kinds = {}
    for place, kind in zip(
        chance.choice(len(files), len(KINDS), replace=False), KINDS, strict=True
    ):
        image = SimpleITK.ReadImage(str(files[place]))
        labels = SimpleITK.GetArrayFromImage(image)
        made = damaged(labels, kind, is_subtle=is_subtle, chance=chance)
        changed = SimpleITK.GetImageFromArray(made.astype(labels.dtype))
        changed.CopyInformation(image)
        SimpleITK.WriteImage(changed, str(files[place]))
        kinds[files[place].name.split(".")[0]] = kind
    return kinds


def main() -> None:
    """Damage, train and rank."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--damage", choices=("coarse", "subtle"), default="coarse")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    copy, workspace = given.work / "dataset", Workspace(given.work / "autoseg")
    kinds_file = given.work / "damaged.json"
    given.work.mkdir(parents=True, exist_ok=True)
    if not kinds_file.is_file():
        kinds = damage(given.dataset, copy, given.seed, is_subtle=given.damage == "subtle")
        kinds_file.write_text(json.dumps(kinds, indent=1))
    kinds = json.loads(kinds_file.read_text())
    request = PlanRequest(timing=Timing(budget_seconds=PLANNED_SECONDS))
    name = planned(copy, workspace, request).default_configuration
    for fold in range(5):
        train_steps(workspace, name, given.steps, fold=fold)
    print_ranks(workspace, kinds)


def print_ranks(workspace: Workspace, kinds: dict[str, str]) -> None:
    """Rank all cases, and print the ranks of the damaged ones."""
    dataset = store.load(DatasetSpec, workspace.dataset)
    found = find_cross_validation(workspace, dataset, store.load(Splits, workspace.splits))
    if found is None:
        raise SystemExit("no fold is trained")
    drawer = Drawer(1, Silent())
    tasks, sums = confidence_of(dataset.cases, found, drawer)
    errors = find_suspicious_labels(tasks, sums, found, drawer).errors
    dice = {case.name: mean_dice(case) for case in found.report.cases}
    by_score = [entry.name for entry in errors]
    by_dice = sorted(dice, key=lambda name: dice[name])
    print(f"{'case':20}{'damage':18}{'rank':>6}{'rank by Dice':>14}{'Dice':>8}")
    for name, kind in kinds.items():
        ranks = by_score.index(name) + 1, by_dice.index(name) + 1
        print(f"{name:20}{kind:18}{ranks[0]:6}{ranks[1]:14}{dice[name]:8.3f}")
    for title, order in (("suspicious labels", by_score), ("Dice", by_dice)):
        count = sum(order.index(name) < FIRST for name in kinds)
        print(f"{count} of {len(kinds)} damaged cases among the first {FIRST} by {title}")


if __name__ == "__main__":
    main()
