import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from full_disk import failing_library, fill_disk

from autoseg.core.atomic_write import (
    atomic_folder,
    atomic_write,
    remove_folder,
    remove_leftovers,
)
from autoseg.core.errors import DiskError, DocumentError
from autoseg.core.processes import this_process


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


WRITER = """
import os, signal, sys
from pathlib import Path
from autoseg.core.atomic_write import atomic_folder, atomic_write

with atomic_write(Path(sys.argv[1]) / "file.png") as file, atomic_folder(Path(sys.argv[1]) / "a"):
    file.write_text("half")
    print("writing", flush=True)
    input()
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """Another process that writes a file and a folder."""
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == "writing\n"
        yield process
        process.kill()


def test_leftovers_of_a_killed_writer_go_with_the_next_write(
    tmp_path: Path, writer: subprocess.Popen
) -> None:
    for name in (".partial", ".other_1.partial", ".autoseg_x.partial"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) == 5  # the process runs

    writer.kill()
    os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie
    with atomic_write(tmp_path / "next") as temporary:
        temporary.touch()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {".partial", ".other_1.partial", ".autoseg_x.partial", "next"}


def test_leftovers_of_other_machines_go_when_they_are_old(tmp_path: Path) -> None:
    fresh, old = (tmp_path / f".autoseg_abc_{pid}_1_0.partial" for pid in (1, 2))
    for folder in (fresh, old):
        folder.mkdir()
    os.utime(old, (time.time() - 7200,) * 2)
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [fresh]


def test_a_process_with_the_number_of_the_writer_is_another_one(tmp_path: Path) -> None:
    own = this_process()
    leftover = tmp_path / f".autoseg_{own.system}_{own.pid:x}_{own.started - 1:x}_0.partial.png"
    leftover.touch()
    remove_leftovers(tmp_path)
    assert not leftover.exists()


@pytest.mark.parametrize("name", ["x" * 247 + ".nii.gz", "x" * 255, "a." + "x" * 253])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path, name: str) -> None:
    with atomic_write(tmp_path / name[:255]) as temporary:
        temporary.touch()
    with atomic_folder(tmp_path / "folder" / name[:255]):
        pass
    assert (tmp_path / name[:255]).is_file()


@pytest.mark.parametrize("context", [atomic_write, atomic_folder])
def test_the_disk_is_named_whatever_a_library_raises(
    context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError, match="NDArray"), context(tmp_path / "case"):
        failing_library()

    fill_disk(monkeypatch)
    message = r"No space left on device \(\d+\.\d MB free\)"
    with pytest.raises(DiskError, match=message) as caught, context(tmp_path / "case"):
        failing_library()
    assert caught.value.filename == str(tmp_path / "case")
    assert not list(tmp_path.iterdir())


def test_an_error_of_another_folder_keeps_its_path(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="other") as caught, atomic_write(tmp_path / "new" / "file"):
        raise OSError(errno.EIO, "failed", str(tmp_path / "other" / "image"))
    assert not isinstance(caught.value, DiskError)


def test_a_folder_keeps_its_content_if_the_new_one_gets_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "case"
    with atomic_folder(folder) as temporary:
        (temporary / "a").write_text("old")
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if target == folder and (path / "a").read_text() == "new":
            raise OSError(errno.EIO, "failed", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(DiskError), atomic_folder(folder) as temporary:
        (temporary / "a").write_text("new")
    assert (folder / "a").read_text() == "old"


def test_a_file_is_on_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch) -> None:
    path, synced = tmp_path / "weights", []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.exists()))
    with atomic_write(path) as temporary:
        temporary.write_text("new")
    assert synced == [False]


def test_a_folder_with_files_of_the_user_is_not_replaced(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.tex").write_text("")
    with pytest.raises(DocumentError, match="holds chapter"), atomic_folder(thesis) as folder:
        (folder / "case.json").write_text("")
    assert [path.name for path in tmp_path.rglob("*")] == ["thesis", "chapter.tex"]


def test_a_folder_that_was_written_is_replaced_with_the_files_added_since(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with atomic_folder(tmp_path / "case") as folder:
            (folder / "case.json").write_text(content)
        (tmp_path / "case" / "added.json").write_text("")
    assert (tmp_path / "case" / "case.json").read_text() == "new"
    (tmp_path / "case" / "chapters").mkdir()
    with (
        pytest.raises(DocumentError, match="holds the folders chapters"),
        atomic_folder(tmp_path / "case") as folder,
    ):
        (folder / "case.json").write_text("")


def test_a_link_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "case").symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(DocumentError, match="is not a folder"),
        atomic_folder(tmp_path / "case") as folder,
    ):
        (folder / "case.json").write_text("")
    assert (tmp_path / "case").is_symlink()


@pytest.mark.parametrize("link", ["work/models", "work/models/validation"])
def test_nothing_outside_of_the_work_folder_is_deleted(tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside" / "validation"
    outside.mkdir(parents=True)
    (outside / "chapter.tex").write_text("")
    path = tmp_path / link
    path.parent.mkdir(parents=True)
    path.symlink_to(outside if path.name == "validation" else outside.parent)
    with pytest.raises(DocumentError, match="outside of the work folder"):
        remove_folder(tmp_path / "work" / "models" / "validation", tmp_path / "work")
    assert (outside / "chapter.tex").is_file()


def test_a_folder_inside_of_the_work_folder_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "work" / "test").mkdir(parents=True)
    remove_folder(tmp_path / "work" / "test", tmp_path / "work")
    remove_folder(tmp_path / "work" / "test", tmp_path / "work")
    assert not (tmp_path / "work" / "test").exists()
