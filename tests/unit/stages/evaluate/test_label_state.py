"""Label files that change are noticed; those that only move are not."""

import os
import shutil
from pathlib import Path

import pytest

from autoseg.core.progress import Silent
from autoseg.documents.dataset import CaseFiles
from autoseg.documents.report import Means, Report
from autoseg.stages.evaluate import evaluate
from autoseg.stages.evaluate import label_state as label_states
from autoseg.stages.evaluate.evaluate import LabelMapPair
from autoseg.stages.evaluate.label_state import have_labels_changed, label_content, label_state


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / "labels" / f"{name}.png" for name in ("a", "b")}
    (tmp_path / "labels").mkdir()
    for name, path in paths.items():
        path.write_text(f"labels of {name}")
    return paths


def report_on(state: str | None) -> Report:
    return Report(classes=(), foreground=Means(), cases=(), label_state=state)


def has_changed(state: str | None, files: dict[str, Path]) -> bool:
    cases = [CaseFiles(name=name, images=(path,), labels=path) for name, path in files.items()]
    return have_labels_changed(report_on(state), cases)


def test_nothing_has_changed_when_nothing_has(files):
    state = label_state(files)
    assert not has_changed(state, dict(reversed(files.items())))


def test_moved_files_are_the_same(files, tmp_path):
    state = label_state(files)
    moved = shutil.move(tmp_path / "labels", tmp_path / "elsewhere")
    assert not has_changed(state, {name: Path(moved) / path.name for name, path in files.items()})


def test_another_size_another_time_and_another_case_are_changes(files):
    state = label_state(files)
    assert has_changed(state, {"a": files["a"]})
    assert has_changed(state, {"a": files["b"], "b": files["a"]})
    os.utime(files["a"], ns=(0, 0))
    assert has_changed(state, files)
    state = label_state(files)
    files["b"].write_text("more labels of b")
    assert has_changed(state, files)


def test_a_copy_with_other_times_has_not_changed(files):
    cases = [CaseFiles(name=name, images=(path,), labels=path) for name, path in files.items()]
    report = report_on(label_state(files)).model_copy(
        update={"label_content": label_content(files)}
    )
    os.utime(files["a"], ns=(0, 0))
    assert not have_labels_changed(report, cases)
    files["a"].write_text("labels of c")
    assert have_labels_changed(report, cases)


def test_the_voxels_beside_a_header_count(tmp_path):
    header, voxels = tmp_path / "a.mhd", tmp_path / "a.raw"
    header.write_text("ElementDataFile = a.raw\n")
    voxels.write_bytes(b"123")
    state = label_state({"a": header})
    voxels.write_bytes(b"1234")
    assert has_changed(state, {"a": header})


def test_files_that_were_taken_away_and_reports_that_do_not_tell_count_as_unchanged(files):
    state = label_state(files)
    assert not has_changed(None, files)
    files["a"].unlink()
    assert label_state(files) is None
    assert not has_changed(state, files)


def test_a_file_with_the_labels_of_many_cases_is_read_once(tmp_path, monkeypatch):
    path, read = tmp_path / "labels.h5", []
    monkeypatch.setattr(label_states, "storage_of", lambda _: (path,))
    monkeypatch.setattr(label_states, "storage_digest", lambda each: read.append(each) or "digest")
    label_content({name: path / name for name in "abc"})
    assert read == [path]


def test_labels_that_change_while_they_are_scored_count_as_changed(files, monkeypatch):
    def scored(*_: object, **__: object) -> list[object]:
        files["a"].write_text("other labels of a")
        return []

    monkeypatch.setattr(evaluate, "run_each", scored)
    pairs = [LabelMapPair(name, path, path) for name, path in files.items()]
    report = evaluate.evaluate_pairs(pairs, workers=1, progress=Silent())
    cases = [CaseFiles(name=name, images=(path,), labels=path) for name, path in files.items()]
    assert have_labels_changed(report, cases)
