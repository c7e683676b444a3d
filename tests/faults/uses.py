"""Wrong uses: odd names, folders that are files or read-only, and work folders tampered with."""

import json
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults import world as worlds
from faults.server import Server
from faults.trials import Budget, Fault, Trial, each_trial, problem_in, without_numbers
from faults.world import CPU, NAMES, SCENES, WORK, World

LEVELS = Path("a", "b", "c", "own")
"""The command's folder lies so deep in that of the trial that `../../../thesis` is seen."""

OWN = ("work", "out", "model.autoseg")
"""All that a command may write in its folder."""

STATUSES = (0, 1, 2)
HTML, RED = "<script>alert(1)</script>", "\x1b[31mred"
EVIL = (
    *("../../../thesis", "../thesis", "..", ".", "", "/tmp/../thesis", "a/../../../thesis", "~"),
    *(HTML, RED, "a\0b", "a\nb", "x" * 300, "con", " ", "\ud800", "-rf", "$(x)", "ä", "fold_0"),
)


@dataclass(frozen=True)
class Use:
    """A wrong use.

    Attributes:
        name: What is wrong.
        prepare: Prepares the command's folder, and returns the words of the command.
        job: How the command is run.
    """

    name: str
    prepare: Callable[[World, Path], list[str]]
    job: str = "command"


def _plan(world: World, own: Path, *, work: str = "work") -> list[str]:
    return ["plan", "dataset", "--work", work, "--workers", "1"]


def _copy_dataset(world: World, own: Path) -> Path:
    """Copy the dataset without its description, so that its files' names decide."""
    copy = shutil.copytree(world.root / "Task90_Balls", own / "dataset")
    (copy / "dataset.json").unlink()
    return copy


def _rename_case(copy: Path, name: bytes) -> None:
    for kind in ("imagesTr", "labelsTr"):
        place = bytes(copy / kind)
        (copy / kind / f"{NAMES[0]}.nii.gz").rename(
            Path((place + b"/" + name).decode(errors="surrogateescape"))
        )


def _renamed(name: bytes) -> Callable[[World, Path], list[str]]:
    def prepare(world: World, own: Path) -> list[str]:
        _rename_case(_copy_dataset(world, own), name)
        return _plan(world, own)

    return prepare


def _prepare_renamed(name: bytes) -> Callable[[World, Path], list[str]]:
    """Preprocess a case with this name, by a plan that was made for another one."""

    def prepare(world: World, own: Path) -> list[str]:
        shutil.copytree(world.root / "planned", own / "work")
        _rename_case(_copy_dataset(world, own), name + b".nii.gz")
        for path in (own / "work").glob("*.json"):
            text = path.read_text().replace(NAMES[0], name.decode())
            path.write_text(text.replace(str(world.root / "Task90_Balls"), str(own / "dataset")))
        return ["preprocess", "dataset", *WORK, "--workers", "1"]

    return prepare


def _symlink_loops(world: World, own: Path) -> list[str]:
    copy = _copy_dataset(world, own)
    (copy / "loop").symlink_to("..")
    (copy / "imagesTr" / "self").symlink_to("self")
    (copy / "labelsTr" / "up").symlink_to(".")
    return _plan(world, own)


def _c_locale(world: World, own: Path) -> list[str]:
    _rename_case(_copy_dataset(world, own), "bäll_é.nii.gz".encode())
    (own / "dataset").rename(own / "Bälle")
    return ["plan", "Bälle", *WORK, "--workers", "1"]


def _file_for(
    place: str, *words: str, given: str | None = None
) -> Callable[[World, Path], list[str]]:
    """Put a file where the command needs a folder."""

    def prepare(world: World, own: Path) -> list[str]:
        if given is not None:
            shutil.copytree(world.root / given, own / "work")
        path = own / place
        if path.is_dir():
            shutil.rmtree(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("not a folder")
        return [word.format(world=world.root) for word in words]

    return prepare


def _read_only(place: str, *words: str, given: str) -> Callable[[World, Path], list[str]]:
    def prepare(world: World, own: Path) -> list[str]:
        shutil.copytree(world.root / given, own / "work")
        (own / place).mkdir(exist_ok=True)
        (own / place).chmod(0o555)
        return [word.format(world=world.root) for word in words]

    return prepare


def _named_label(name: str) -> Callable[[World, Path], list[str]]:
    """Export a model with this name of a class."""

    def prepare(world: World, own: Path) -> list[str]:
        shutil.copytree(world.root / "selected", own / "work")
        for path in (own / "work").rglob("*.json"):
            path.write_text(path.read_text().replace('"bright"', json.dumps(name)))
        return ["export", "work", "model.autoseg"]

    return prepare


DATASET = "{world}/Task90_Balls"
TRAIN = ("train", DATASET, *WORK, *CPU, "--workers", "0")
PREPROCESS = ("preprocess", DATASET, *WORK, "--workers", "1")
PREDICT = ("predict", "{world}/images", "out", "--model", "{world}/selected", *CPU)
USES = (
    Use("a name that is not UTF-8", _renamed(b"ball_\xff.nii.gz")),
    Use("a name with control characters", _renamed(b"ball_\x1b[31m\n.nii.gz")),
    Use("a name of 248 characters", _renamed(b"b" * 241 + b".nii.gz")),
    Use("a name of 240 characters is prepared", _prepare_renamed(b"b" * 240)),
    Use("loops of links", _symlink_loops),
    Use("LC_ALL=C", _c_locale, "command_in_c_locale"),
    Use("the work folder is a file", _file_for("work", "plan", DATASET, *WORK)),
    Use("prepared cases are a file", _file_for("work/preprocessed", *PREPROCESS, given="planned")),
    Use("the folder of models is a file", _file_for("work/models", *TRAIN, given="planned")),
    Use("the plan is missing", _file_for("work/x", *TRAIN)),
    Use("the output is a file", _file_for("out", *PREDICT)),
    Use("a class is named in HTML", _named_label(HTML)),
    Use("a class is named with control characters", _named_label(RED)),
    Use(
        "the work folder is read-only",
        _read_only("work", *PREPROCESS, given="planned"),
        "command_without_rights",
    ),
    Use(
        "the folder of models is read-only",
        _read_only("work/models", *TRAIN, given="planned"),
        "command_without_rights",
    ),
)


def campaign(
    world: World, servers: Sequence[Server], seed: int, budget: Budget, uses: Sequence[Use] = USES
) -> Iterator[Trial]:
    """Try all wrong uses, and then work folders with a changed name in one of their documents."""

    def trial(number: int, server: Server) -> Trial:
        chance = random.Random(f"{seed} uses {number}")
        use = uses[number] if number < len(uses) else _tampered(chance)
        place = world.root.parent / "trials" / f"use_{number}"
        try:
            return _trial(use, place, world, server)
        finally:
            worlds.delete(place)

    return each_trial(trial, servers, budget)


def _trial(use: Use, place: Path, world: World, server: Server) -> Trial:
    own = place / LEVELS
    own.mkdir(parents=True)
    (place / "thesis").write_text("of years")
    words = use.prepare(world, own)
    before = _outside(place, own)
    output = worlds.output_of(place)
    status = server.run(use.job, own, words, output=output, seconds=180)
    text = output.read_text(errors="surrogateescape")
    problems = _problems(status, text)
    changed = sorted(
        f"{name}" for name, _ in set(before.items()) ^ set(_outside(place, own).items())
    )
    problems += [f"touches {name} outside of its folders" for name in changed[:1]]
    if (own / "model.autoseg").is_file() and HTML in _card(own, server, output):
        problems.append("writes HTML of others into the model card")
    record = {"trial.txt": f"{use.name}\n{words}\nstatus {status}\n{text}".encode(errors="replace")}
    group = use.name.partition(":")[0]
    faults = tuple(
        Fault(f"{group}: {without_numbers(problem)}", f"{use.name}: status {status}", record)
        for problem in problems
    )
    outcome = "completed" if status == 0 else "refused"
    return Trial(group, "fault" if faults else outcome, faults)


def _outside(place: Path, own: Path) -> dict[str, tuple[int, int]]:
    """Return the state of all that the command must not touch."""
    allowed = [own / name for name in OWN]
    found = {}
    for path in place.rglob("*"):
        if not any(path == root or root in path.parents for root in allowed):
            state = path.lstat()
            is_folder = path.is_dir() and not path.is_symlink()
            name = path.relative_to(place).as_posix().encode(errors="replace").decode()
            found[name] = (0, 0) if is_folder else (state.st_size, state.st_mtime_ns)
    return found


def _problems(status: int | None, text: str) -> list[str]:
    if status is None:
        return ["hangs"]
    if problem := problem_in(text):
        return [f"prints a traceback: {problem}"]
    problems = [] if status in STATUSES else [f"ends with status {status}"]
    if status == 1 and not any(line.startswith("error: ") for line in text.splitlines()):
        problems.append("is refused without a sentence")
    if RED in text:
        problems.append("prints control characters of others")
    return problems


def _card(own: Path, server: Server, output: Path) -> str:
    server.run("command", own, ["describe", "model.autoseg"], output=output)
    return output.read_text(errors="replace")


def _tampered(chance: random.Random) -> Use:
    """Change a text in a document of a work folder, and run a command that reads it."""
    scene = chance.choice([scene for scene in SCENES if scene.name not in ("plan", "evaluate")])

    def prepare(world: World, own: Path) -> list[str]:
        source = "trained" if scene.name in ("train", "select") else "selected"
        shutil.copytree(world.root / source, own / "work")
        path = chance.choice(sorted((own / "work").rglob("*.json")))
        content = {"": json.loads(path.read_text())}
        texts = list(_texts(content))
        old = chance.choice(texts)
        evil = chance.choice(EVIL)
        changed = [path]
        if chance.random() < 0.5:  # all documents agree
            changed = sorted((own / "work").rglob("*.json"))
        for document in changed:
            text = document.read_text().replace(json.dumps(old), json.dumps(evil))
            document.write_text(text)
        words = world.arguments(scene)
        return [word.replace(str(world.root / "selected"), "work") for word in words]

    return Use(f"tampered work folder, {scene.name}", prepare)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            if isinstance(key, str) and key:
                yield key
            yield from _texts(value[key])
