import io
from time import sleep

import pytest
from rich.console import Console
from typer import Exit

from autoseg.core.progress import DoneTask, Overview
from autoseg.terminal import TerminalProgress, exit_on_issues, overview_table

SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"


def terminal() -> tuple[TerminalProgress, io.StringIO]:
    written = io.StringIO()
    return TerminalProgress(Console(file=written, force_terminal=True, width=120)), written


def test_a_status_within_a_bar_leaves_the_cursor_visible() -> None:
    progress, written = terminal()
    for tile in progress.track(range(3), description="Predicting", total=3):
        progress.status(f"tile {tile}")
    text = written.getvalue()
    assert "3/3" in text
    assert text.rfind(SHOW_CURSOR) > text.rfind(HIDE_CURSOR) >= 0


def test_a_bar_takes_the_place_of_a_status_line() -> None:
    progress, written = terminal()
    progress.status("training")
    list(progress.track(range(2), description="Predicting", total=2))
    text = written.getvalue()
    assert text.index(SHOW_CURSOR) < text.index("Predicting")


def test_an_error_within_a_bar_leaves_the_next_status_to_a_line_of_its_own() -> None:
    progress, written = terminal()
    bar = progress.track(range(2), description="Predicting", total=2)
    next(bar)
    bar.close()
    progress.status("a line of its own")
    progress.close()
    assert "a line of its own" in written.getvalue()


def test_brackets_are_shown_as_they_are() -> None:
    progress, written = terminal()
    progress.status("status [left]")
    progress.close()
    for _ in progress.track(range(1), description="bar [/left]", total=1):
        progress.status("behind it [/left]")
        sleep(0.3)  # bars are drawn ten times a second
    progress.say("message [/left]")
    progress.table("title [/left]", ("header [/left]",), [("cell [/left]",)])
    places = ("bar", "behind it", "message", "title", "header", "cell")
    missing = [place for place in places if f"{place} [/left]" not in written.getvalue()]
    assert "status [left]" in written.getvalue()
    assert not missing


def test_a_log_counts_processed_cases() -> None:
    written = io.StringIO()
    progress = TerminalProgress(Console(file=written, force_terminal=False, width=120))
    list(progress.track(range(2), description="Predicting", total=2))
    assert written.getvalue() == "Predicting: 2 of 2\n"


@pytest.mark.parametrize("is_terminal", [False, True])
def test_no_bar_is_shown_without_items(is_terminal) -> None:
    written = io.StringIO()
    progress = TerminalProgress(Console(file=written, force_terminal=is_terminal, width=120))
    assert list(progress.track(iter(()), description="Reading cases", total=0)) == []
    assert written.getvalue() == ""


def widest_table(*, width: int) -> list[str]:
    written = io.StringIO()
    progress = TerminalProgress(Console(file=written, width=width))
    header = ("class", "Dice", "IoU", "HD95 mm", "ASSD mm", "NSD", "missed", "spurious")
    row = ("left hippocampus", *["0.345 (17)"] * 5, "3", "0")
    progress.table("17 cases", header, [row])
    return written.getvalue().splitlines()


def test_a_table_of_scores_fits_80_columns_without_breaking_a_word() -> None:
    lines = widest_table(width=80)
    assert max(map(len, lines)) <= 80
    for word in ("missed", "spurious", "left hippocampus", "0.345", "(17)"):
        assert any(word in line for line in lines), word


def test_words_break_where_a_table_has_no_room_for_them() -> None:
    lines = widest_table(width=60)
    assert max(map(len, lines)) <= 60
    assert not any("spurious" in line for line in lines)


def test_names_from_files_of_others_do_not_steer_the_terminal(capsys) -> None:
    progress, written = terminal()
    progress.say("channel \x1b[2Jevil\nnext line")
    progress.table("a", ("b",), [("\x1b[31mred",)])
    with pytest.raises(Exit):
        exit_on_issues([("case", "\x1b[2Jevil")])
    shown = written.getvalue()
    assert "[2Jevil\nnext line" in shown
    assert "\x1b[2J" not in shown
    assert "\x1b[31m" not in shown
    assert "\x1b[2J" not in capsys.readouterr().err


def tasks(num_done: int = 2) -> Overview:
    done = tuple(DoneTask(f"2d, fold {fold}", "0.8", 90.0) for fold in range(num_done))
    return Overview(done, "2d, fold [9]", ("2 more folds of 2d",), 600.0, is_budget=True)


def drawn(text: str) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(text)
    return console.file.getvalue()


def test_an_overview_shows_what_is_done_what_runs_and_what_comes_next() -> None:
    text = drawn(overview_table(tasks(), 60.0, 30))
    assert [line.split() for line in text.splitlines()] == [
        ["training", "Dice", "time"],
        ["2d,", "fold", "0", "0.8", "90", "s"],
        ["2d,", "fold", "1", "0.8", "90", "s"],
        ["2d,", "fold", "[9]", "…", "60", "s"],
        ["2", "more", "folds", "of", "2d"],
        ["9", "min", "of", "the", "budget", "left"],
    ]


def test_an_overview_fits_a_low_terminal() -> None:
    text = drawn(overview_table(tasks(num_done=40), 0.0, 12))
    assert text.count("\n") < 12
    assert "35 earlier" in text
    assert "2d, fold 39" in text


def test_bar_and_status_are_drawn_below_an_overview_which_is_removed_at_the_end() -> None:
    progress, written = terminal()
    progress.overview(tasks())
    progress.status("epoch 3")
    sleep(0.8)  # an overview is drawn twice a second
    for _ in progress.track(range(1), description="Predicting", total=1):
        progress.say("a message")
        sleep(0.8)
    progress.overview(tasks(num_done=3))
    progress.close()
    progress.close()
    text = written.getvalue()
    for part in ("2d, fold 1", "epoch 3", "Predicting", "a message"):
        assert part in text
    assert text.rfind(SHOW_CURSOR) > text.rfind(HIDE_CURSOR) >= 0
    assert text.rfind("\x1b[2K") > text.rfind("more folds")


def test_a_log_has_no_overview() -> None:
    written = io.StringIO()
    progress = TerminalProgress(Console(file=written))
    progress.overview(tasks())
    progress.close()
    assert not written.getvalue()
