"""Compare dense annotations with ones that leave 30 % of the voxels out, both with regions.

Run it as `python docs/benchmarks/regions_and_ignore.py DATASET WORK [ITERATIONS] [SEEDS]` on the
Decathlon's Task04_Hippocampus. It derives two datasets in WORK with the regions whole (1 and 2) and
posterior (2): "dense" has all labels, "sparse" hides boxes of every case. Both train fold 0 from
the same seeds, and both are scored on the dense labels of the same held-out cases. What is trained
already is kept: the same command goes on where it stopped.
"""

import statistics
import sys
from functools import partial
from pathlib import Path

import numpy as np
from tables import head, line
from trainings import class_dice, planned, train_steps
from volumes import write_json

from autoseg.core.arrays import LabelArray
from autoseg.core.compute import Compute
from autoseg.core.progress import Silent
from autoseg.core.random import generator
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.workspace import Workspace
from autoseg.readers import read_image, read_labels, write_labels
from autoseg.stages.evaluate.evaluate import LabelMapPair, evaluate_pairs
from autoseg.stages.evaluate.known_labels import known_labels

ARMS = ("dense", "sparse")
HIDDEN_SHARE = 0.3
IGNORE = 3
REGIONS = {"background": 0, "whole": [1, 2], "posterior": 2}
ORDER = [1, 2]
CHANNELS = {"0": "MRI"}


def derive(dataset: Path, root: Path, *, sparse: bool) -> None:
    """Write a dataset of the same images with regions, and with hidden voxels if asked for."""
    labels = REGIONS | ({"ignore": IGNORE} if sparse else {})
    description = {"channel_names": CHANNELS, "labels": labels, "regions_class_order": ORDER}
    (root / "labels").mkdir(parents=True)
    (root / "images").mkdir()
    for path in sorted((dataset / "labelsTr").glob("[!.]*.nii.gz")):
        (root / "images" / path.name).symlink_to((dataset / "imagesTr" / path.name).resolve())
        values = read_labels(path).values
        if sparse:
            values = with_hidden_boxes(values, path.name)
        write_labels(values, read_image((path,)), root / "labels" / path.name)
    write_json(description, root / "dataset.json")


def with_hidden_boxes(values: LabelArray, name: str) -> LabelArray:
    """Return the label map with the ignore value in random boxes: 30 % of the voxels, exactly.

    The boxes have a sixth to a half of each edge; of the last one, the first planes are taken.
    """
    random = generator(0, "hidden", name)
    hidden = np.zeros(values.shape, dtype=bool)
    wanted = round(HIDDEN_SHARE * values.size)
    while (missing := wanted - np.count_nonzero(hidden)) > 0:
        box = tuple(_part(size, random) for size in values.shape)
        inside = np.zeros_like(hidden)
        inside[box] = True
        new = np.flatnonzero(inside & ~hidden)
        hidden.flat[new[:missing]] = True
    return np.where(hidden, IGNORE, values).astype(values.dtype)


def _part(size: int, random: np.random.Generator) -> slice:
    length = max(1, round(size * random.uniform(1 / 6, 1 / 2)))
    start = int(random.integers(size - length + 1))
    return slice(start, start + length)


def per_seed(seeds: range, made: Plan) -> list[Configuration]:
    """Return a copy of the default configuration per seed."""
    base = made.configuration(None)
    return [base.model_copy(update={"name": f"seed_{seed}"}) for seed in seeds]


def trained_dice(workspace: Workspace, dense: Path, seed: int, steps: int) -> list[float]:
    """Return the Dice of each region on the dense labels of the held-out cases, and their mean."""
    compute = Compute(workers=1)
    trained = train_steps(workspace, f"seed_{seed}", steps, seed=seed, compute=compute)
    folder = trained.folder / "validation"
    spec = store.load(DatasetSpec, workspace.dataset)
    held_out = [case.labels.name for case in spec.cases if (folder / case.labels.name).is_file()]
    pairs = [LabelMapPair(name, folder / name, dense / "labels" / name) for name in held_out]
    labels = known_labels(dense)
    report = evaluate_pairs(pairs, labels=labels, workers=1, progress=Silent())
    found = class_dice(report).values()
    return [*found, statistics.fmean(found)]


def main() -> None:
    """Derive both datasets, train every arm and seed, and print the table."""
    dataset, root = Path(sys.argv[1]), Path(sys.argv[2])
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 800
    seeds = range(int(sys.argv[4]) if len(sys.argv) > 4 else 3)
    for arm in ARMS:
        if not (root / arm / "dataset.json").is_file():
            derive(dataset, root / arm, sparse=arm == "sparse")
    works = {arm: Workspace(root / f"{arm}_work") for arm in ARMS}
    variants = partial(per_seed, seeds)
    plans = [planned(root / arm, works[arm], variants=variants) for arm in ARMS]
    table: dict[str, list[list[float]]] = {arm: [] for arm in ARMS}
    for seed in seeds:
        for arm, workspace in works.items():
            table[arm].append(trained_dice(workspace, root / "dense", seed, steps))
            print(arm, seed, [round(value, 4) for value in table[arm][-1]], flush=True)
    alike = plans[0].configurations == plans[1].configurations
    print(f"{steps} steps, {len(seeds)} seeds; both plans are {'equal' if alike else 'different'}")
    print(head("annotations", "whole", "posterior", "mean"))
    for arm in ARMS:
        columns = list(zip(*table[arm], strict=True))
        cells = [f"{statistics.fmean(c):.3f} ± {statistics.pstdev(c):.3f}" for c in columns]
        print(line(arm, *cells))


if __name__ == "__main__":
    main()
