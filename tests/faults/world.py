"""The world that commands run in: a dataset, images, and work folders in several states."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from faults.contents import contents_of
from faults.server import Server
from nnunet_folder import write_model
from synthetic import balls, write_volume

NUM_CASES = 4
SHAPE = (10, 20, 18)
NAMES = tuple(f"ball_{index}" for index in range(NUM_CASES))


@dataclass(frozen=True)
class Scene:
    """A command with what it needs.

    Attributes:
        name: Name of the command.
        arguments: What is written after `autoseg`; `{world}` is the folder of the world.
        given: Folders of the world that are copied into the command's own folder, by their name.
    """

    name: str
    arguments: tuple[str, ...]
    given: tuple[tuple[str, str], ...] = ()


DATASET, WORK = "{world}/Task90_Balls", ("--work", "work")
CPU, TWO = ("--device", "cpu"), ("--workers", "2")
MODEL = "{world}/selected"
SCENES = (
    Scene("plan", ("plan", DATASET, *WORK, *TWO)),
    Scene("preprocess", ("preprocess", DATASET, *WORK, *TWO), (("work", "planned"),)),
    Scene(
        "train",
        ("train", DATASET, *WORK, *CPU, "--workers", "1", "--checkpoint-every", "0.001s"),
        (("work", "planned"),),
    ),
    Scene("run", ("run", DATASET, *WORK, *CPU, "--workers", "1"), (("work", "planned"),)),
    Scene("select", ("select", DATASET, *WORK, *TWO), (("work", "trained"),)),
    Scene(
        "predict",
        ("predict", "{world}/images", "out", "--model", MODEL, *CPU, *TWO, "--skip-existing"),
    ),
    Scene("evaluate", ("evaluate", "out", "{world}/references", *TWO), (("out", "predictions"),)),
    Scene("export", ("export", MODEL, "model.autoseg")),
    Scene("import nnunet", ("import", "nnunet", "{world}/nnunet", "-o", "model.autoseg")),
)


@dataclass(frozen=True)
class Reference:
    """What a command leaves that nothing disturbs, and how long it takes."""

    contents: dict[str, str]
    seconds: float


@dataclass(frozen=True)
class World:
    """The folder, which is not written to once it is made, and what commands leave."""

    root: Path
    references: dict[str, Reference] = field(default_factory=dict)

    def measure(self, scene: Scene, server: Server, trial: Path) -> None:
        """Run a command that nothing disturbs; keep what it leaves as the reference."""
        begin = time.monotonic()
        status = run(scene, self, server, trial)
        seconds = time.monotonic() - begin
        assert status == 0, output_of(trial).read_text()
        self.references.setdefault(scene.name, Reference(contents_of(trial), seconds))
        delete(trial)

    def new_trial(self, scene: Scene, name: str) -> Path:
        """Make a folder with what a command needs."""
        trial = self.root.parent / "trials" / name
        trial.mkdir(parents=True)
        for target, source in scene.given:
            shutil.copytree(self.root / source, trial / target)
        return trial

    def arguments(self, scene: Scene) -> list[str]:
        return [word.format(world=self.root) for word in scene.arguments]


def start(scene: Scene, world: World, server: Server, trial: Path) -> int:
    """Start a command in its folder; its output goes next to the folder."""
    return server.start("command", trial, world.arguments(scene), output=output_of(trial))


def run(scene: Scene, world: World, server: Server, trial: Path) -> int | None:
    """Run a command in its folder; return its status, or None if it hangs."""
    words = world.arguments(scene)
    return server.run("command", trial, words, output=output_of(trial), seconds=180)


def output_of(trial: Path) -> Path:
    return trial.with_name(f"{trial.name}.txt")


@contextmanager
def new_world(root: Path, server: Server) -> Iterator[World]:
    """Make a world; afterwards it must be as it was."""
    world = World(root / "world")
    _write_data(world.root)
    _write_work(world, server)
    before = sizes(world.root)
    yield world
    changed = set(before.items()) ^ set(sizes(world.root).items())
    assert not changed, f"a command wrote into its input: {sorted(changed)[:5]}"


def sizes(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of every file."""
    states = ((path, path.lstat()) for path in folder.rglob("*") if not path.is_dir())
    return {str(path): (state.st_size, state.st_mtime_ns) for path, state in states}


def _write_data(root: Path) -> None:
    dataset = root / "Task90_Balls"
    for index, name in enumerate((*NAMES, "new_0", "new_1")):
        image, labels = balls(np.random.default_rng(index), SHAPE)
        is_new = name.startswith("new")
        images, references = ("images", "references") if is_new else ("imagesTr", "labelsTr")
        folder = root if is_new else dataset
        for values, kind in ((image, images), (labels, references)):
            write_volume(values, folder / kind / f"{name}.nii.gz", spacing=(2.0, 1.0, 1.0))
    files = ((f"./imagesTr/{name}.nii.gz", f"./labelsTr/{name}.nii.gz") for name in NAMES)
    description = {
        "name": "Balls",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "bright", "2": "dim"},
        "training": [{"image": image, "label": label} for image, label in files],
    }
    (dataset / "dataset.json").write_text(json.dumps(description))
    (root / "results").mkdir()
    write_model(root / "results").rename(root / "nnunet")


def _write_work(world: World, server: Server) -> None:
    """Make the work folders by the commands themselves."""
    scenes = {scene.name: scene for scene in SCENES}
    root, log = world.root, world.root / "log.txt"

    def command(*words: object) -> None:
        status = server.run("command", root, [*map(str, words)], output=log)
        assert status == 0, log.read_text()

    command(*world.arguments(scenes["plan"]))
    assert server.run("shrink", root / "work", output=log) == 0, log.read_text()
    (root / "work").rename(root / "planned")
    shutil.copytree(root / "planned", root / "work")
    command(*world.arguments(scenes["run"]))
    (root / "work").rename(root / "selected")
    command("predict", root / "images", "predictions", "--model", "selected", *CPU, *TWO)
    shutil.copytree(root / "selected", root / "trained")
    assert server.run("unselect", root / "trained", output=log) == 0, log.read_text()
    log.unlink()


def delete(folder: Path) -> None:
    """Delete a trial with its output."""
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink() and not os.access(path, os.W_OK):
            path.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
    output_of(folder).unlink(missing_ok=True)
