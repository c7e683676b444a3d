"""Interface for reporting progress, independent of the terminal."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import TypeVar

from typing_extensions import override

T = TypeVar("T")


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
