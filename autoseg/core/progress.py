"""Interface for reporting progress, independent of the terminal."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from typing_extensions import override

T = TypeVar("T")


@dataclass(frozen=True)
class DoneTask:
    """A finished task of a command.

    Attributes:
        name: Name of the task.
        result: Its result in a few characters, such as a Dice.
        seconds: Its time; None if unknown.
    """

    name: str
    result: str
    seconds: float | None


@dataclass(frozen=True)
class Overview:
    """Tasks of a command that takes hours.

    Attributes:
        done: Finished tasks, in order.
        running: Name of the task that starts now.
        upcoming: Names of later tasks, in order.
        seconds_left: Time left from now on; None if unknown.
        is_budget: Whether that time is given by a budget, or else an estimate.
    """

    done: tuple[DoneTask, ...]
    running: str
    upcoming: tuple[str, ...]
    seconds_left: float | None
    is_budget: bool


class Progress(ABC):
    """Receives messages and progress of stages; use `Silent` to show nothing."""

    @abstractmethod
    def say(self, message: str) -> None:
        """Print a message."""

    @abstractmethod
    def track(self, items: Iterable[T], *, description: str, total: int) -> Iterator[T]:
        """Yield the items while showing how many are done.

        Args:
            items: Items to iterate over.
            description: Label of the progress bar.
            total: Number of items; nothing is shown if it is 0.
        """

    @abstractmethod
    def status(self, line: str) -> None:
        """Show a status line that replaces the previous one, e.g. the state of a training."""

    def begin(self, stage: str) -> None:  # noqa: B027  (most kinds have nothing to do)
        """Set the current stage, e.g. `training 3d_compact, fold 0`.

        It is not shown; the command line reports it if a signal ends the process.
        """

    def overview(self, tasks: Overview) -> None:  # noqa: B027  (only a terminal shows it)
        """Show the tasks of a command; each call replaces the previous one."""


class Silent(Progress):
    """Progress that shows nothing."""

    @override
    def say(self, message: str) -> None:
        return

    @override
    def track(self, items: Iterable[T], *, description: str, total: int) -> Iterator[T]:
        yield from items

    @override
    def status(self, line: str) -> None:
        return
