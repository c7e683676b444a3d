"""The campaign's own parts: it finds planted faults, and its numbers can be trusted."""

import json
import zipfile
from pathlib import Path
from random import Random

import pytest
from faults import reduction
from faults.command import Report
from faults.contents import contents_of, differences
from faults.fuzzing import input_of, outcome_of
from faults.inputs import Seed
from faults.readings import READINGS
from faults.trials import Fault, Trial, problem_in

from autoseg.core.errors import CaseError

FILES = {"a.json": b'{"name": ["x", 1.5]}', "b.bin": bytes(range(64))}


def test_an_input_depends_on_seed_and_number_alone() -> None:
    seeds = [Seed("one", "none", FILES), Seed("two", "none", FILES, "a.json")]
    first = [input_of(seeds, 0, number) for number in range(20)]
    assert [input_of(seeds, 0, number) for number in range(20)] == first
    assert [input_of(seeds, 1, number) for number in range(20)] != first
    assert all(files != FILES for _, files in first[:6])
    assert all(files["b.bin"] == FILES["b.bin"] for seed, files in first if seed.focus)


def test_a_planted_fault_is_reduced_to_the_bytes_that_cause_it() -> None:
    content = Random(0).randbytes(5000) + b"FAULT" + Random(1).randbytes(3000)
    files = {"image": content, "other": b"x" * 100}
    made = reduction.smallest(
        files, lambda smaller: b"FAULT" in smaller.get("image", b""), float("inf")
    )
    assert made == {"image": b"FAULT"}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, "completed"),
        (CaseError("damaged"), "refused"),
        (KeyError("x"), "KeyError in no function of autoseg"),
        (MemoryError(), "more than 2 GiB of memory in no function of autoseg"),
    ],
    ids=repr,
)
def test_outcomes_of_an_input(
    error: Exception | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(folder: Path) -> None:
        if error is not None:
            raise error

    monkeypatch.setitem(READINGS, "planted", read)
    assert outcome_of("planted", tmp_path)[0] == expected


def test_memory_that_ran_out_is_found_behind_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(folder: Path) -> None:
        raise CaseError("cannot be read") from MemoryError()

    monkeypatch.setitem(READINGS, "planted", read)
    assert outcome_of("planted", tmp_path)[0].startswith("more than 2 GiB")


def test_the_kind_of_a_traceback_is_its_error_and_innermost_function() -> None:
    text = (
        "Checking\nTraceback (most recent call last):\n"
        '  File "/x/autoseg/cli.py", line 3, in main\n    app()\n'
        '  File "/x/autoseg/core/a.py", line 9, in save\n    write()\n'
        '  File "/lib/other.py", line 1, in write\n    raise\n'
        "OSError: [Errno 5] Input/output error\n"
    )
    assert problem_in(text) == "OSError in autoseg/core/a.py save"
    assert problem_in("error: the disk is full.\n") is None


def test_folders_are_compared_without_times_and_partial_files(tmp_path: Path) -> None:
    for name, seconds in (("one", 1.5), ("other", 2.5)):
        folder = tmp_path / name
        folder.mkdir()
        run = {"seconds": seconds, "steps": 3, "folder": str(folder)}
        (folder / "run.json").write_text(json.dumps(run))
        (folder / f".run.{name}.partial.json").write_text("{")
        with zipfile.ZipFile(folder / "model.autoseg", "w") as archive:
            archive.writestr("a/run.json", json.dumps({"seconds": seconds}))
    one, other = tmp_path / "one", tmp_path / "other"
    assert differences(contents_of(one), contents_of(other)) == []
    (other / "run.json").write_text(json.dumps({"seconds": 0, "steps": 4}))
    (one / "weights").write_bytes(b"w")
    expected = ["run.json differs", "weights should not exist"]
    assert differences(contents_of(one), contents_of(other)) == expected


def test_the_report_counts_faults_and_saves_the_first_of_each_kind(tmp_path: Path) -> None:
    report = Report(tmp_path)
    report.add("fuzz", Trial("image .nii", "completed", count=7))
    for number in range(2):
        fault = Fault("KeyError in autoseg/x.py f", f"input {number}", {"case/a.nii": b"x"})
        report.add("fuzz", Trial("image .nii", "fault", (fault,)))
    text = "\n".join(report.lines())
    assert "2 × fuzz: KeyError in autoseg/x.py f" in text
    (place,) = (tmp_path / "fuzz").iterdir()
    assert (place / "case" / "a.nii").read_bytes() == b"x"
    assert "input 0" in (place / "fault.txt").read_text()
