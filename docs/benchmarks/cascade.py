"""Compare the full resolution with and without the cascade, where cases are larger than patches.

Run it as `python docs/benchmarks/cascade.py WORK [ITERATIONS] [EDGE]`. Balls of one look have two
classes: near a bright wall, and far from it. A patch at full resolution rarely holds both a ball
and the wall, one at low resolution often does.

`MEMORY_GIB` is so small that the planner itself gives a low resolution and the cascade for volumes
of moderate size. So that it ends in minutes on 2 cores, networks start at 16 features instead of
32, train by the recipe for short trainings, and mirror nothing; all else is as planned. What is
trained already is kept.
"""

import sys
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy import ndimage
from trainings import class_dice, planned, train_steps
from volumes import decathlon_description, write_json, write_volume

from autoseg.augmentations.mirroring import Mirroring
from autoseg.core.compute import Compute
from autoseg.core.random import generator
from autoseg.documents import store
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.recipe import SHORT_RECIPE
from autoseg.documents.splits import Fold, Splits
from autoseg.documents.workspace import Workspace
from autoseg.stages.plan.plan import PlanRequest
from autoseg.stages.predict.predict import PredictOptions, predict
from autoseg.terminal import TerminalProgress

MEMORY_GIB = 0.2
NUM_CASES = 8
NEAR, FAR = (0.3, 0.42), (0.6, 0.85)
"""Distance of a ball from the wall, as a share of the volume."""


def volume(random: np.random.Generator, edge: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a cube with a wall on one side and three balls near and far, and its classes."""
    shape = (edge,) * 3
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    image = ndimage.gaussian_filter(random.normal(size=shape), 4)
    image = 100 + 15 * image / image.std() + random.normal(0, 12, shape)
    classes = np.zeros(shape, np.uint8)
    radius = edge / 14
    for value, shares in ((1, NEAR), (2, FAR)):
        for _ in range(3):
            centre = random.uniform(1.5 * radius, edge - 1.5 * radius, 3)
            centre[2] = edge * random.uniform(*shares)
            ball = sum((axis - at) ** 2 for axis, at in zip(grid, centre, strict=True)) < radius**2
            classes[ball] = value
    image[classes > 0] += 60
    image[:, :, : max(2, edge // 32)] += 200
    if random.random() < 0.5:
        image, classes = image[:, :, ::-1], classes[:, :, ::-1]
    return image.astype(np.float32), classes


def write_dataset(root: Path, edge: int, num_cases: int = NUM_CASES) -> None:
    """Write a dataset in Decathlon layout, unless it exists."""
    if (root / "dataset.json").is_file():
        return
    names = [f"volume_{index}.nii.gz" for index in range(num_cases)]
    for index, name in enumerate(names):
        arrays = volume(generator(0, "volume", index), edge)
        for array, part in zip(arrays, ("imagesTr", "labelsTr"), strict=True):
            write_volume(np.ascontiguousarray(array), (1.0, 1.0, 1.0), root / part / name)
    labels = ("background", "near", "far")
    write_json(decathlon_description("Walls", "MRI", labels, names), root / "dataset.json")


def shortened(configuration: Configuration) -> Configuration:
    """Return the configuration with a narrow network and the recipe for short trainings."""
    augmentations = tuple(
        entry for entry in configuration.recipe.augmentations if not isinstance(entry, Mirroring)
    )
    return configuration.model_copy(
        update={
            "architecture": configuration.architecture.compact(),
            "recipe": SHORT_RECIPE.model_copy(update={"augmentations": augmentations}),
        }
    )


def planned_short(dataset: Path, workspace: Workspace) -> Plan:
    """Plan, shorten what was planned, and deal the cases out to two folds."""
    made = planned(
        dataset,
        workspace,
        PlanRequest(network="unet", memory_gib=MEMORY_GIB),
        variants=lambda made: [
            shortened(entry) for entry in made.configurations if entry.name[:2] == "3d"
        ],
    )
    names = [f"volume_{index}" for index in range(NUM_CASES)]
    halves = (tuple(names[::2]), tuple(names[1::2]))
    folds = tuple(Fold(train=halves[1 - fold], validation=halves[fold]) for fold in (0, 1))
    store.save(Splits(seed=0, reason="two halves", folds=folds), workspace.splits)
    return made


def main() -> None:
    """Train all stages, predict an unseen volume, and print the table."""
    root = Path(sys.argv[1])
    iterations = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    edge = int(sys.argv[3]) if len(sys.argv) > 3 else 128
    dataset, workspace = root / "Walls", Workspace(root / "work")
    write_dataset(dataset, edge)
    for entry in planned_short(dataset, workspace).configurations:
        print(entry.name, entry.spacing, entry.topology.patch_shape, entry.batch_size)
    rows, compute = [], Compute(device="cpu")
    for name, fold in (
        ("3d_lowres", 1),
        ("3d_lowres", 0),
        ("3d_fullres", 0),
        ("3d_cascade_fullres", 0),
    ):
        started = perf_counter()
        done = train_steps(workspace, name, iterations, fold=fold, compute=compute)
        dice = class_dice(done.report).values()
        rows.append((f"{name} fold {fold}", dice, done.run.seconds, perf_counter() - started))
    image = dataset / "imagesTr" / "volume_0.nii.gz"
    options = PredictOptions(model=workspace.models / "3d_cascade_fullres", compute=compute)
    started = perf_counter()
    report = predict(image, root / "predicted", options, TerminalProgress())
    if report.failures:
        sys.exit(report.failures[0].message)
    print(f"\n{iterations} steps, {NUM_CASES // 2} held-out volumes of {edge}³ voxels")
    for name, dice, training, seconds in rows:
        near, far = dice
        print(
            f"{name:26} Dice near {near:.3f}  far {far:.3f}  "
            f"training {training:5.0f} s, with preparation and scoring {seconds:5.0f} s"
        )
    print(f"one volume through both stages: {perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
