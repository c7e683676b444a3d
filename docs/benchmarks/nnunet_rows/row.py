"""A line of the table: what both tools do, in processes of their own."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Command = tuple[str, ...]

FOLDER = Path(__file__).resolve().parent
"""Where the rows are."""

HIPPOCAMPUS = "Dataset904_Hippocampus"
CT = "Dataset908_SyntheticCT"


@dataclass(frozen=True)
class Place:
    """Where the rows find data, and where they leave it.

    Attributes:
        data: Folder with `Task04_Hippocampus`, in the layout of the Medical Segmentation Decathlon.
        work: Folder for everything that is made; what lies there already is used again.
        cores: Threads and processes that each tool may use.
        device: What trains.
    """

    data: Path
    work: Path
    cores: int
    device: str

    @property
    def nnunet(self) -> Path:
        """Where nnU-Net's three folders lie."""
        return self.work / "nnunet"

    @property
    def former(self) -> Path:
        """Where that lies which earlier rounds made; it is removed when all is measured."""
        return self.work / "former"

    def raw(self, dataset: str) -> Path:
        """Return a dataset's folder, which both tools read."""
        return self.nnunet / "raw" / dataset

    def autoseg(self, dataset: str) -> Path:
        """Return autoseg's work folder of a dataset."""
        return self.work / "autoseg" / dataset


@dataclass(frozen=True)
class Side:
    """One tool's way: commands that run one after the other, each in a process of its own.

    Attributes:
        commands: Their seconds are added, of their memory the largest counts. A command that says
            how many seconds its work took (see `reported.py`) is believed; of others, all count.
        before: Prepares a round, untimed.
    """

    commands: tuple[Command, ...]
    before: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Preparation:
    """What has to be there before a row is measured.

    Attributes:
        makes: A file or folder; if it is there, nothing is done.
        command: Makes it.
    """

    makes: Path
    command: Command


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        name: What it is called there.
        aim: How many times as fast autoseg is to be, or its seconds.
        nnunet: What nnU-Net does.
        autoseg: What autoseg does.
        needs: What is made first, in this order.
    """

    name: str
    aim: str
    nnunet: Side
    autoseg: Side
    needs: tuple[Preparation, ...] = ()


def call(function: str, *arguments: object) -> Command:
    """Return the command that calls a function of a row, with its arguments as strings.

    A file that is run would be run again by every process that nnU-Net spawns; this is not.

    Args:
        function: Module of this package and name, as in `resampling.nnunet`.
        arguments: What it is given.
    """
    module, name = function.split(".")
    program = (
        f"import sys; sys.path.insert(0, {str(FOLDER.parent)!r}); "
        f"from {FOLDER.name}.{module} import {name}; {name}(*sys.argv[1:])"
    )
    return code(program, *arguments)


def command_line(entry_point: str, *arguments: object) -> Command:
    """Return the command that an installed script stands for.

    Args:
        entry_point: As in `autoseg.cli:main`.
        arguments: Of the script.
    """
    module, function = entry_point.split(":")
    return code(f"from {module} import {function}; {function}()", *arguments)


def code(program: str, *arguments: object) -> Command:
    """Return the command that runs a line of Python."""
    return (sys.executable, "-c", program, *map(str, arguments))
