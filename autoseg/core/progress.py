"""How long work shows that it moves, without knowing about the terminal."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import TypeVar

from typing_extensions import override

T = TypeVar("T")


class Progress(ABC):
    """Where stages report to; the command line draws it, Python callers may stay silent."""

    @abstractmethod
    def say(self, message: str) -> None:
        """Show one message that stays."""

    @abstractmethod
    def track(self, items: Iterable[T], *, description: str, total: int) -> Iterator[T]:
        """Yield the items while showing how many of `total` are done; nothing if there are none."""

    @abstractmethod
    def status(self, line: str) -> None:
        """Show a line that the next one replaces, e.g. where training stands."""

    def begin(self, stage: str) -> None:  # noqa: B027  (most kinds have nothing to do)
        """Note what is done from now on, e.g. `training 3d_compact, fold 0`.

        It is not shown; the command line reports it if a signal ends the process.
        """


class Silent(Progress):
    """Shows nothing."""

    @override
    def say(self, message: str) -> None:
        return

    @override
    def track(self, items: Iterable[T], *, description: str, total: int) -> Iterator[T]:
        yield from items

    @override
    def status(self, line: str) -> None:
        return
