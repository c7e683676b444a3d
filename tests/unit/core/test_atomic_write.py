import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

import pytest

from autoseg.core.atomic_write import atomic_folder, atomic_write, remove_leftovers


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("old")
    with suppress(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half of the new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_finished_write_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "case.nii.gz"
    with atomic_write(path) as temporary:
        assert temporary.name.endswith(".nii.gz")
        assert not path.exists()
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    with atomic_folder(folder) as temporary:
        (temporary / "a").write_text("old")
    with suppress(RuntimeError), atomic_folder(folder) as temporary:
        (temporary / "a").write_text("new")
        raise RuntimeError
    assert (folder / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [folder]


def test_writers_that_share_a_process_number_do_not_meet(tmp_path: Path) -> None:
    """As two containers on one disk do."""
    folder = tmp_path / "case"
    with atomic_folder(folder) as first:
        (first / "a").write_text("first")
        with atomic_folder(folder) as second:
            (second / "a").write_text("second")
        assert (folder / "a").read_text() == "second"
    assert (folder / "a").read_text() == "first"
    assert list(tmp_path.iterdir()) == [folder]


def test_an_older_folder_is_never_seen_half_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, seen = tmp_path / "case", []
    with atomic_folder(folder) as temporary:
        (temporary / "a").write_text("old")
    real = shutil.rmtree

    def observed(path: Path, **options: bool) -> None:
        seen.append((folder / "a").read_text())
        real(path, **options)

    with atomic_folder(folder) as temporary:
        (temporary / "a").write_text("new")
        monkeypatch.setattr(shutil, "rmtree", observed)
    assert set(seen) == {"new"}
    assert list(tmp_path.iterdir()) == [folder]


def test_leftovers_of_killed_writers_go_when_they_are_old(tmp_path: Path) -> None:
    old_folder, fresh = tmp_path / ".one.11.partial", tmp_path / ".two.12.partial"
    for folder in (old_folder, fresh, tmp_path / "three"):
        folder.mkdir()
    old_file = tmp_path / ".checkpoint.13.partial.safetensors"
    old_file.write_text("half")
    for path in (old_folder, old_file):
        os.utime(path, (time.time() - 7200,) * 2)
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [fresh.name, "three"]


def test_a_file_is_on_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch) -> None:
    path, synced = tmp_path / "weights", []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.exists()))
    with atomic_write(path) as temporary:
        temporary.write_text("new")
    assert synced == [False]
