"""Draw progress and tables on a terminal, or as plain lines without one (batch jobs)."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from time import perf_counter
from typing import TypeVar

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.status import Status
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from autoseg.core.crash_notes import CrashNotes
from autoseg.core.formatting import format_cases, format_duration, printable
from autoseg.core.progress import Overview, Progress

T = TypeVar("T")

PLAIN_STATUS_SECONDS = 60.0
"""Interval of status lines if the output is not a terminal."""

REFRESH_PER_SECOND = 2.0
"""How often an overview is drawn."""

FURTHER_LINES = 6
"""Lines of an overview except finished and upcoming tasks."""


class TerminalProgress(Progress):
    """Progress bars and a live status line; a log file gets plain lines, flushed immediately.

    While a bar is shown, the status is appended to it: a terminal has one live line at a time. With
    an overview, bar and status are drawn below its table.
    """

    def __init__(self, console: Console | None = None, *, notes: CrashNotes | None = None) -> None:
        """Initialise the progress display.

        Args:
            console: Console to draw on; None for standard output.
            notes: Crash notes in which stages are recorded; None records nothing.
        """
        self._console = console or Console(soft_wrap=True)
        self._notes = notes
        self._status: Status | None = None
        self._bar: tuple[RichProgress, TaskID] | None = None
        self._next_plain_status = perf_counter() + PLAIN_STATUS_SECONDS
        self._live: Live | None = None
        self._overview: tuple[Overview, float] | None = None
        self._line = ""

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
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}", markup=False),
        )
        self._clear_status()
        bar = RichProgress(*columns, console=self._console, transient=False)
        with bar if self._live is None else nullcontext():
            task = bar.add_task(printable(description), total=total, status="")
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
        line = printable(line)
        if self._bar is not None:
            bar, task = self._bar
            bar.update(task, status=line)
        elif self._live is not None:
            self._line = line
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

    @override
    def overview(self, tasks: Overview) -> None:
        if not self._console.is_terminal:
            return
        self._clear_status()
        self._overview = tasks, perf_counter()
        if self._live is None:
            self._live = Live(
                console=self._console,
                get_renderable=self._draw,
                refresh_per_second=REFRESH_PER_SECOND,
                transient=True,
            )
            self._live.start()

    def close(self) -> None:
        """Remove the status line and the overview."""
        self._clear_status()
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _clear_status(self) -> None:
        self._line = ""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def table(self, title: str, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
        """Print a table. Cells wrap between words; a word is broken only if it does not fit.

        Args:
            title: Title above the table.
            header: Name of each column.
            rows: One text per column and row.
        """
        header = tuple(map(printable, header))
        texts = [tuple(map(printable, row)) for row in rows]
        table = Table(
            title=Text(printable(title), style="bold"), title_justify="left", expand=False
        )
        widths = _column_widths(header, texts, self._console.width)
        for position, (name, width) in enumerate(zip(header, widths, strict=True)):
            table.add_column(Text(name), no_wrap=position == 0, overflow="fold", width=width)
        for row in texts:
            table.add_row(*row)
        self._console.print(table, markup=False, highlight=False, soft_wrap=False)

    def _draw(self) -> Group:
        """Draw the overview, and the bar or status of its running task."""
        if self._overview is None:
            return Group()
        tasks, since = self._overview
        below = Text(self._line, no_wrap=True, overflow="ellipsis")
        table = overview_table(tasks, perf_counter() - since, self._console.height)
        return Group(table, below if self._bar is None else self._bar[0].get_renderable())

    def _track_plainly(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        next_line = perf_counter() + PLAIN_STATUS_SECONDS
        done = 0
        for done, item in enumerate(items, start=1):
            yield item
            if perf_counter() >= next_line:
                self.say(f"{description}: {done} of {total}")
                next_line = perf_counter() + PLAIN_STATUS_SECONDS
        self.say(f"{description}: {done} of {total}")


def overview_table(tasks: Overview, seconds: float, height: int) -> Table:
    """Draw the tasks of a command; the oldest are left out if the terminal is too low.

    Args:
        tasks: The tasks.
        seconds: Time since the running task started.
        height: Number of lines of the terminal.
    """
    most = max(2, height - FURTHER_LINES - len(tasks.upcoming))
    hidden = max(0, len(tasks.done) - most)
    left = ""
    if tasks.seconds_left is not None:
        text = format_duration(max(0.0, tasks.seconds_left - seconds))
        left = f"{text} of the budget left" if tasks.is_budget else f"about {text} left"
    table = Table(box=None, pad_edge=False, caption=left or None, caption_justify="left")
    table.add_column("training", no_wrap=True, overflow="ellipsis")
    table.add_column("Dice")
    table.add_column("time", no_wrap=True)
    if hidden:
        table.add_row(f"{hidden} earlier", "", "", style="dim")
    for task in tasks.done[hidden:]:
        time = "" if task.seconds is None else format_duration(task.seconds)
        table.add_row(Text(printable(task.name)), task.result, time)
    running = Text(printable(tasks.running), style="bold")
    table.add_row(running, "…", format_duration(seconds), style="bold")
    for name in tasks.upcoming:
        table.add_row(Text(printable(name)), "", "", style="dim")
    return table


def _column_widths(
    header: tuple[str, ...], rows: Sequence[tuple[str, ...]], total: int
) -> tuple[int | None, ...]:
    """Return the width of each column, or None for each if wrapping between words cannot help.

    Widths are None if every row fits on one line, or if the longest words do not fit. Otherwise
    each column gets the width of its longest word, and the rest is distributed to the narrowest
    columns that need it. The first column does not wrap. Each column also needs a border and two
    blanks. `total` is the width of the terminal, in characters.
    """
    columns = list(zip(header, *rows, strict=True))
    lines = [[line for cell in column for line in cell.split("\n")] for column in columns]
    words = [lines[0], *(" ".join(column).split() for column in columns[1:])]
    whole, widths = ([max(map(len, texts), default=0) for texts in each] for each in (lines, words))
    spare = total - 1 - sum(width + 3 for width in widths)
    if spare < 0 or spare >= sum(whole) - sum(widths):
        return (None,) * len(columns)
    for _ in range(spare):
        narrow = [at for at, width in enumerate(widths) if width < whole[at]]
        widths[min(narrow, key=widths.__getitem__)] += 1
    return tuple(widths)


def exit_on_issues(issues: Sequence[tuple[str, str]]) -> None:
    """Print the failed cases grouped by message, and exit with status 1 if there are any."""
    by_message: dict[str, list[str]] = {}
    for name, message in issues:
        by_message.setdefault(message, []).append(name)
    for message, names in by_message.items():
        typer.secho(printable(f"error: {format_cases(names)}: {message}"), fg="red", err=True)
    if issues:
        raise typer.Exit(1)
