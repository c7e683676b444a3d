"""`autoseg doctor` describes a machine, and names what will not work."""

from collections import namedtuple
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autoseg.cli import app
from autoseg.core.child import EndedProcess
from autoseg.stages import doctor
from autoseg.stages.doctor import diagnose

CORRECT = EndedProcess(0, '{"finding": null, "milliseconds": 1.5}', "")


@pytest.fixture
def convolutions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let every trial convolution be correct, and record the requests."""
    requests: list[str] = []

    def run(module: str, given: str, *, instructions: str) -> EndedProcess:
        requests.append(given)
        return CORRECT

    monkeypatch.setattr(doctor, "run_module", run)
    return requests


def test_every_precision_of_the_cpu_is_tried(convolutions, tmp_path: Path) -> None:
    facts = dict(diagnose(tmp_path).facts)
    tried = [text for subject, text in facts.items() if subject.startswith("convolution, cpu")]
    assert tried == ["correct, 1.5 ms"] * 3
    assert any("(default)" in subject for subject in facts)
    assert "torch" in facts["versions"]


def test_a_crash_in_float32_is_a_problem(monkeypatch, tmp_path: Path) -> None:
    crashed = EndedProcess(-4, "", "")
    monkeypatch.setattr(doctor, "run_module", lambda *_, **__: crashed)
    found = diagnose(tmp_path)
    assert any("float32 on cpu ended with SIGILL" in problem for problem in found.problems)


def test_a_full_folder_is_a_problem(convolutions, monkeypatch, tmp_path: Path) -> None:
    usage = namedtuple("usage", "total used free")(2**40, 2**40, 2**20)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    problems = diagnose(tmp_path / "new").problems
    assert any("new (work folder) has 0.00 GiB" in problem for problem in problems)


def test_a_read_only_folder_is_a_problem(convolutions, monkeypatch, tmp_path: Path) -> None:
    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    problems = diagnose(tmp_path).problems
    assert any("not writable (Read-only file system)" in problem for problem in problems)


def test_a_small_limit_of_open_files_is_a_problem(convolutions, monkeypatch, tmp_path) -> None:
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    assert any("Only 64 open files" in problem for problem in diagnose(tmp_path).problems)


def test_the_command_ends_with_status_1_if_there_is_a_problem(monkeypatch, tmp_path) -> None:
    found = doctor.Diagnosis((("versions", "1"),), ("The disk is full.",))
    monkeypatch.setattr(doctor, "diagnose", lambda *_: found)
    result = CliRunner().invoke(app, ["doctor", str(tmp_path)])
    assert result.exit_code == 1
    assert "versions: 1\nproblem: The disk is full.\n" in result.output
