"""Base class of the experiment trackers, which log trainings for comparison with others."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Literal

from autoseg.core.errors import MissingPackage
from autoseg.core.registry import Component, Family

Status = Literal["finished", "stopped", "failed"]
"""How a run ended; a stopped one can be resumed."""


@dataclass(frozen=True)
class Metrics:
    """Values at one step.

    Attributes:
        step: Number of optimiser steps.
        values: Values by name; `/` in a name groups curves.
    """

    step: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class RunDescription:
    """What a tracker stores about a run when it starts.

    Attributes:
        name: Name of the run.
        experiment: Name of the experiment, which groups runs.
        folder: Folder of the run; its path is not sent.
        work: Work folder; its path is not sent.
        parameters: Settings by name.
        tags: Further properties to search for.
        parents: Identifier of the parent run by the name of the tracker; empty without one.
    """

    name: str
    experiment: str
    folder: Path
    work: Path
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    parents: Mapping[str, str] = field(default_factory=dict)


class RunWriter(ABC):
    """A run in a tracker that is being written; its methods may fail or block.

    Attributes:
        id: Identifier of the run in the tracker.
    """

    id: str

    @abstractmethod
    def log(self, metrics: Metrics) -> None:
        """Log values; afterwards they survive the end of the process."""

    @abstractmethod
    def log_file(self, path: Path) -> None:
        """Log a file under its name. It may be deleted afterwards."""

    @abstractmethod
    def end(self, status: Status) -> None:
        """End the run."""


class Tracker(Component):
    """Configuration of a tracker.

    Attributes:
        module: Module to import.
    """

    module: ClassVar[str]

    @property
    def address(self) -> str | None:
        """Server or database without passwords; None for the default one."""
        return None

    def check_installed(self) -> None:
        """Import the tracker's package.

        Raises:
            MissingPackage: If it cannot be imported.
        """
        try:
            import_module(self.module)
        except ImportError as error:
            msg = (
                f"--track {self.kind} needs a package that cannot be imported ({error}). Install "
                f'it with: pip install "autoseg[{self.kind}]"'
            )
            raise MissingPackage(msg) from error

    @abstractmethod
    def start(self, run: RunDescription, known: str | None, last_step: int) -> RunWriter:
        """Create a run, or resume a known one if it still exists.

        Args:
            run: Description of the run; parameters and tags are only sent for a new one.
            known: Identifier of the run; None creates a new one.
            last_step: Last logged step of the known run.
        """


TRACKERS: Family[Tracker] = Family("tracker")
