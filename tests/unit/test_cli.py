"""How the command line ends."""

import errno
import os
import re
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from autoseg import cli
from autoseg.cli import app
from autoseg.core.errors import CaseError, Interrupted
from autoseg.terminal import exit_on_issues

SET_BY_MAIN = (
    "OMP_WAIT_POLICY",
    "BLOSC_NTHREADS",
    "MLFLOW_DISABLE_TELEMETRY",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT",
    "WANDB_ERROR_REPORTING",
)
"""Variables that `main` sets unless the user has."""


def ended(error: Exception, monkeypatch: pytest.MonkeyPatch) -> object:
    """Return the exit status of a command that fails with an error."""

    def failing(obj: None) -> None:
        raise error

    monkeypatch.setattr(cli, "app", failing)
    for name in SET_BY_MAIN:
        monkeypatch.setenv(name, "1")  # so that main sets nothing
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    return exit_.value.code


def test_an_error_of_the_user_is_one_message_and_status_1(monkeypatch, capsys) -> None:
    assert ended(CaseError("the case is odd"), monkeypatch) == 1
    assert capsys.readouterr().err == "error: the case is odd\n"


def test_a_saved_interruption_has_a_status_of_its_own(monkeypatch) -> None:
    assert ended(Interrupted("saved"), monkeypatch) == 130


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.ELOOP, errno.ENAMETOOLONG, errno.ESRCH]
)
def test_an_error_of_the_system_is_a_sentence_without_a_traceback(
    number, monkeypatch, capsys
) -> None:
    assert ended(OSError(number, os.strerror(number), "work/plan.json"), monkeypatch) == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: work/plan.json: {os.strerror(number)}. ")
    assert "Traceback" not in printed


def test_a_loop_of_links_is_a_sentence_in_every_version_of_python(monkeypatch, capsys) -> None:
    error = RuntimeError("Symlink loop from 'a'")
    error.__context__ = OSError(errno.ELOOP, os.strerror(errno.ELOOP), "a")
    assert ended(error, monkeypatch) == 1
    assert capsys.readouterr().err.startswith("error: a: Too many levels of symbolic links. ")


def test_any_other_error_keeps_its_traceback(monkeypatch) -> None:
    with pytest.raises(RuntimeError, match="bug"):
        ended(RuntimeError("bug"), monkeypatch)


def test_an_error_without_number_names_its_place(monkeypatch, capsys) -> None:
    assert ended(OSError("odd"), monkeypatch) == 1
    assert "error: OSError: odd (" in capsys.readouterr().err


def test_a_message_is_not_needed_to_end_where_the_terminal_is_gone(monkeypatch) -> None:
    def closed(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(typer, "secho", closed)
    assert ended(CaseError("the case is odd"), monkeypatch) == 1


def test_failed_cases_are_printed_and_end_with_status_1(capsys) -> None:
    with pytest.raises(typer.Exit) as exit_:
        exit_on_issues([("case_3", "it is odd")])
    assert exit_.value.exit_code == 1
    assert "error: case_3: it is odd" in capsys.readouterr().err
    exit_on_issues([])


def test_one_cause_of_many_failed_cases_is_printed_once(capsys) -> None:
    with pytest.raises(typer.Exit):
        exit_on_issues(
            [*((f"case_{index}", "it is odd") for index in range(5)), ("x", "it is even")]
        )
    printed = capsys.readouterr().err.splitlines()
    assert printed == [
        "error: 5 cases (case_0, case_1, case_2 and 2 more): it is odd",
        "error: x: it is even",
    ]


def test_every_summary_fits_its_line_of_80_columns(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(cli.app, ["--help"]).output
    listed = shown[shown.index("Commands:") :]
    assert "evaluate" in listed
    assert "..." not in listed


def test_the_version_is_printed() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert shown.exit_code == 0
    assert re.fullmatch(r"autoseg \d+\.\d+\.\d+, torch \d+\.\d+\S*\n", shown.output)


@pytest.mark.parametrize(
    ("arguments", "is_supervised"),
    [
        ("train DATASET", True),
        ("import nnunet MODEL", True),
        ("train --help", False),
        ("describe FILE", False),
        ("--version", False),
        ("", False),
    ],
)
def test_only_commands_that_may_crash_run_in_a_child_process(
    arguments: str, is_supervised: bool
) -> None:
    assert cli.is_supervised(arguments.split()) == is_supervised


@pytest.mark.parametrize(
    ("typed", "position", "expected"),
    [("autoseg pre", 1, ["predict", "preprocess"]), ("autoseg train --bud", 2, ["--budget"])],
)
def test_a_shell_completes_commands_and_options(typed, position, expected, monkeypatch) -> None:
    monkeypatch.setenv("_AUTOSEG_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(position))
    program = "import sys; sys.argv = ['autoseg']; from autoseg.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert sorted(done.stdout.split()) == expected, done.stderr
