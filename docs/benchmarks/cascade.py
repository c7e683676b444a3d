"""Compare the full resolution with and without the cascade, where cases are larger than patches.

Run it as `python docs/benchmarks/cascade.py WORK [ITERATIONS] [EDGE]`. Balls of one look have two
classes: near a bright wall, and far from it. A patch at full resolution rarely holds both a ball
and the wall, one at low resolution often does.

`MEMORY_GIB` is so small that the planner itself gives a low resolution and the cascade for volumes
of moderate size. So that it ends in minutes on 2 cores, networks start at 16 features instead of
32, train by the recipe for short trainings, and mirror nothing; all else is as planned. What is
trained already is kept.
"""

import json
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy import ndimage

from autoseg.augmentations.mirroring import Mirroring
from autoseg.core.compute import Compute
from autoseg.core.geometry import Geometry
from autoseg.core.random import generator
from autoseg.documents import store
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.recipe import SHORT_RECIPE
from autoseg.documents.splits import Fold, Splits
from autoseg.documents.workspace import Workspace
from autoseg.readers.names import reader_for
from autoseg.stages.plan.plan import PlanRequest, plan
from autoseg.stages.predict.predict import PredictOptions, predict
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest
from autoseg.stages.train.train import train
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
    names = [f"volume_{index}" for index in range(num_cases)]
    for index, name in enumerate(names):
        arrays = volume(generator(0, "volume", index), edge)
        for array, part in zip(arrays, ("imagesTr", "labelsTr"), strict=True):
            path = root / part / f"{name}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            reader_for(path).write(
                np.ascontiguousarray(array), Geometry.plain((1.0, 1.0, 1.0)), path
            )
    pairs = [
        {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
        for name in names
    ]
    description = {
        "name": "Walls",
        "channel_names": {"0": "MRI"},
        "labels": {"0": "background", "1": "near", "2": "far"},
        "training": pairs,
    }
    (root / "dataset.json").write_text(json.dumps(description))


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


def planned(dataset: Path, workspace: Workspace, progress: TerminalProgress) -> Plan:
    """Plan, shorten what was planned, and deal the cases out to two folds."""
    if not workspace.plan.is_file():
        request = PlanRequest(network="unet", memory_gib=MEMORY_GIB)
        made = plan(dataset, workspace, request, workers=2, progress=progress)
        short = tuple(shortened(entry) for entry in made.configurations if entry.name[:2] == "3d")
        store.save(
            made.model_copy(
                update={"configurations": short, "default_configuration": "3d_fullres"}
            ),
            workspace.plan,
        )
    names = [f"volume_{index}" for index in range(NUM_CASES)]
    halves = (tuple(names[::2]), tuple(names[1::2]))
    folds = tuple(Fold(train=halves[1 - fold], validation=halves[fold]) for fold in (0, 1))
    store.save(Splits(seed=0, reason="two halves", folds=folds), workspace.splits)
    return store.load(Plan, workspace.plan)


def main() -> None:
    """Train all stages, predict an unseen volume, and print the table."""
    root = Path(sys.argv[1])
    iterations = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    edge = int(sys.argv[3]) if len(sys.argv) > 3 else 128
    dataset, workspace, progress = root / "Walls", Workspace(root / "work"), TerminalProgress()
    write_dataset(dataset, edge)
    made = planned(dataset, workspace, progress)
    for entry in made.configurations:
        print(entry.name, entry.spacing, entry.topology.patch_shape, entry.batch_size)
    length = TrainingDuration(iterations=iterations)
    rows = []
    for name, fold in (
        ("3d_lowres", 1),
        ("3d_lowres", 0),
        ("3d_fullres", 0),
        ("3d_cascade_fullres", 0),
    ):
        request = TrainRequest(
            fold=fold, configuration=name, length=length, compute=Compute(device="cpu")
        )
        started = perf_counter()
        done = train(workspace, request, progress=progress)
        seconds = perf_counter() - started
        classes = done.report.classes if done.report else ()
        dice = [entry.means.dice.value or 0.0 for entry in classes]
        rows.append((f"{name} fold {fold}", dice, done.run.seconds, seconds))
    image = dataset / "imagesTr" / "volume_0.nii.gz"
    options = PredictOptions(
        model=workspace.models / "3d_cascade_fullres", compute=Compute(device="cpu")
    )
    started = perf_counter()
    report = predict(image, root / "predicted", options, progress)
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
