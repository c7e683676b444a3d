"""Draw progress and tables on a terminal, or as plain lines where there is none (a batch job)."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from time import perf_counter
from typing import TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.status import Status
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from autoseg.core.crash_notes import CrashNotes
from autoseg.core.progress import Progress
from autoseg.core.text import cases_named, printable

T = TypeVar("T")

PLAIN_STATUS_SECONDS = 60.0
"""Without a terminal the status is a line of its own, this often."""


class TerminalProgress(Progress):
    """Shows bars and a living status line; a log file gets plain lines, flushed at once.

    While there is a bar, the status stands behind it: a terminal has one living line at a time.
    """

    def __init__(self, console: Console | None = None, *, notes: CrashNotes | None = None) -> None:
        """Draw on a console, by default on standard output; note stages for a crash report."""
        self._console = console or Console(soft_wrap=True)
        self._notes = notes
        self._status: Status | None = None
        self._bar: tuple[RichProgress, TaskID] | None = None
        self._next_plain_status = perf_counter() + PLAIN_STATUS_SECONDS

    @override
    def say(self, message: str) -> None:
        self._console.print(printable(message), highlight=False, markup=False)
        sys.stdout.flush()

    @override
    def track(self, items: Iterable[T], *, description: str, total: int) -> Iterator[T]:
        if total == 0:
            yield from items
            return
        self.begin(description[0].lower() + description[1:])
        if not self._console.is_terminal:
            yield from self._track_plainly(items, description, total)
            return
        self.close()
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}", markup=False),
        )
        with RichProgress(*columns, console=self._console, transient=False) as bar:
            task = bar.add_task(description, total=total, status="")
            self._bar = bar, task
            try:
                for item in items:
                    yield item
                    bar.advance(task)
                bar.update(task, status="")
            finally:
                self._bar = None

    @override
    def status(self, line: str) -> None:
        if self._bar is not None:
            bar, task = self._bar
            bar.update(task, status=line)
        elif self._console.is_terminal:
            if self._status is None:
                self._status = self._console.status(Text(line))
                self._status.start()
            self._status.update(Text(line))
        elif perf_counter() >= self._next_plain_status:
            self._next_plain_status = perf_counter() + PLAIN_STATUS_SECONDS
            self.say(line)

    @override
    def begin(self, stage: str) -> None:
        if self._notes is not None:
            self._notes.begin(stage)

    def close(self) -> None:
        """Take the status line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def table(self, title: str, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
        """Print a table. Cells wrap between words; words only break if nothing else would fit."""
        texts = [tuple(map(printable, row)) for row in rows]
        drawn = Table(title=Text(title, style="bold"), title_justify="left", expand=False)
        widths = _widths(header, texts, self._console.width)
        for position, (name, width) in enumerate(zip(header, widths, strict=True)):
            drawn.add_column(Text(name), no_wrap=position == 0, overflow="fold", width=width)
        for row in texts:
            drawn.add_row(*row)
        self._console.print(drawn, markup=False, highlight=False, soft_wrap=False)

    def _track_plainly(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        next_line = perf_counter() + PLAIN_STATUS_SECONDS
        done = 0
        for done, item in enumerate(items, start=1):
            yield item
            if perf_counter() >= next_line:
                self.say(f"{description}: {done} of {total}")
                next_line = perf_counter() + PLAIN_STATUS_SECONDS
        self.say(f"{description}: {done} of {total}")


def _widths(
    header: tuple[str, ...], rows: Sequence[tuple[str, ...]], room: int
) -> tuple[int | None, ...]:
    """Return the width of each column: none if all fits in one line, or if not even words do.

    Between these, each column gets its longest word, and what is left goes to the narrowest ones
    that would use it. The first column does not wrap. A column has a border and two blanks besides.
    """
    columns = list(zip(header, *rows, strict=True))
    lines = [[line for cell in column for line in cell.split("\n")] for column in columns]
    words = [lines[0], *(" ".join(column).split() for column in columns[1:])]
    whole, widths = ([max(map(len, found), default=0) for found in each] for each in (lines, words))
    spare = room - 1 - sum(width + 3 for width in widths)
    if spare < 0 or spare >= sum(whole) - sum(widths):
        return (None,) * len(columns)
    for _ in range(spare):
        narrow = [at for at, width in enumerate(widths) if width < whole[at]]
        widths[min(narrow, key=widths.__getitem__)] += 1
    return tuple(widths)


def exit_if_any(issues: Sequence[tuple[str, str]]) -> None:
    """Print which cases failed and why, each cause once; end with status 1 if there is one."""
    by_message: dict[str, list[str]] = {}
    for name, message in issues:
        by_message.setdefault(message, []).append(name)
    for message, names in by_message.items():
        typer.secho(printable(f"error: {cases_named(names)}: {message}"), fg="red", err=True)
    if issues:
        raise typer.Exit(1)
