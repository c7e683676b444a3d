"""Inputs: folders of files, and the valid ones that are mutated."""

import pickle
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

Files = dict[str, bytes]
"""The files of an input, by their paths in its folder."""


@dataclass(frozen=True)
class Seed:
    """A valid input.

    Attributes:
        name: Kind of input.
        reading: Name of the function that reads it, in `readings.py`.
        files: Its files.
        focus: Part of the names of the files that are mutated.
    """

    name: str
    reading: str
    files: Files
    focus: str = ""


def files_in(folder: Path) -> Files:
    """Read a folder."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def write_files(files: Files, folder: Path) -> None:
    """Write a folder again."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def save_seeds(seeds: Sequence[Seed], path: Path) -> None:
    path.write_bytes(pickle.dumps(list(seeds)))


@cache
def load_seeds(path: Path) -> list[Seed]:
    """Load what this campaign itself has saved."""
    return pickle.loads(path.read_bytes())
