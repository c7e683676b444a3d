"""Only one process trains a fold."""

import errno
import fcntl
import os
import subprocess
import sys
import time

import pytest
from full_disk import fill_disk

from autoseg.core.errors import DiskError, TrainingError
from autoseg.training import lock
from autoseg.training.lock import HOLDER_NAME, LOCK_NAME, Holder, locked

HOLD = """
import sys
from pathlib import Path
from autoseg.training.lock import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    input()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock until a line is written to it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.communicate()


def test_a_lock_is_gone_after_the_block_and_so_is_an_empty_folder(tmp_path):
    with locked(tmp_path / "fold_0"):
        assert (tmp_path / "fold_0" / LOCK_NAME).is_file()

    assert not (tmp_path / "fold_0").exists()


def test_a_lock_is_gone_after_an_error_and_what_was_made_stays(tmp_path):
    def broken() -> None:
        with locked(tmp_path):
            (tmp_path / "checkpoint").touch()
            raise ValueError("mishap")

    with pytest.raises(ValueError, match="mishap"):
        broken()

    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_the_same_process_cannot_take_a_lock_twice(tmp_path):
    message = rf"being trained by process {os.getpid()} on this machine since 2\d\d\d-.*Wait for it"
    with locked(tmp_path), pytest.raises(TrainingError, match=message), locked(tmp_path):
        pass


def test_the_lock_of_another_process_is_refused_until_it_ends(tmp_path, holder):
    with pytest.raises(TrainingError, match=f"by process {holder.pid} on"), locked(tmp_path):
        pass
    assert Holder.model_validate_json((tmp_path / HOLDER_NAME).read_text()).pid == holder.pid

    holder.communicate("\n")
    with locked(tmp_path):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path, holder):
    holder.kill()
    os.waitid(
        os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT
    )  # its parent has not fetched its status

    with locked(tmp_path):
        assert f'"pid":{os.getpid()}' in (tmp_path / HOLDER_NAME).read_text()


def test_a_holder_on_another_machine_is_named(tmp_path):
    with locked(tmp_path):
        note = tmp_path / HOLDER_NAME
        own = Holder.model_validate_json(note.read_text())
        other = own.model_copy(update={"host": "elsewhere"}).model_dump_json()
        note.write_text(other)
        with pytest.raises(TrainingError, match="being trained by elsewhere"), locked(tmp_path):
            pass
        assert note.read_text() == other


@pytest.mark.parametrize("note", ["", "{", None])
def test_a_holder_that_is_not_described_is_refused(tmp_path, note):
    with locked(tmp_path):
        (tmp_path / HOLDER_NAME).unlink()
        if note is not None:
            (tmp_path / HOLDER_NAME).write_text(note)
        with pytest.raises(TrainingError, match="by an unknown process"), locked(tmp_path):
            pass


def test_leftover_files_do_not_lock(tmp_path):
    (tmp_path / LOCK_NAME).touch()
    (tmp_path / HOLDER_NAME).write_text("of an earlier process")

    with locked(tmp_path):
        pass

    assert not tmp_path.exists()


def test_a_lock_that_the_user_gave_to_another_process_is_not_removed(tmp_path):
    with locked(tmp_path):
        (tmp_path / LOCK_NAME).unlink()
        with locked(tmp_path):
            other = (tmp_path / HOLDER_NAME).read_text()
            (tmp_path / HOLDER_NAME).write_text(other + " ")

    assert (tmp_path / LOCK_NAME).is_file()


def fail_flock(monkeypatch, code: int) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", fail)


def test_a_file_system_that_fails_to_lock_is_reported(tmp_path, monkeypatch):
    fail_flock(monkeypatch, errno.ENOLCK)

    with pytest.raises(TrainingError, match=r"cannot be locked .*choose another"), locked(tmp_path):
        pass


@pytest.fixture
def without_flock(monkeypatch):
    """A file system without locks."""
    fail_flock(monkeypatch, errno.ENOSYS)


def described(folder, *, content: str | None = None, age: float = 0, **changes: object):
    """Write the description of a holder, by default of this process."""
    with locked(folder):
        text = (folder / HOLDER_NAME).read_text()
    holder = Holder.model_validate_json(text)
    process = holder.process.model_copy(update=changes)
    text = holder.model_copy(update={"process": process}).model_dump_json()
    folder.mkdir(exist_ok=True)
    note = folder / HOLDER_NAME
    note.write_text(text if content is None else content)
    os.utime(note, (time.time() - age,) * 2)


@pytest.mark.usefixtures("without_flock")
@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_system_without_locks_is_locked_by_the_file_of_the_holder(
    tmp_path, monkeypatch, has_links
):
    if not has_links:
        monkeypatch.setattr(os, "link", no_link)
    with locked(tmp_path), pytest.raises(TrainingError, match="being trained by"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass

    assert not tmp_path.exists()


def no_link(*_: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.usefixtures("without_flock")
@pytest.mark.parametrize(
    "holder",
    [
        {"content": ""},
        {"content": "{"},
        {"started": 1},
        {"pid": 2**22 + 1},
        {"system": "elsewhere", "age": 3600},
    ],
    ids=["empty", "damaged", "a later process with its number", "ended", "silent elsewhere"],
)
def test_the_file_of_a_holder_that_has_ended_does_not_lock(tmp_path, holder):
    described(tmp_path, **holder)
    with locked(tmp_path):
        assert f'"pid":{os.getpid()}' in (tmp_path / HOLDER_NAME).read_text()
    assert not tmp_path.exists()


@pytest.mark.usefixtures("without_flock")
@pytest.mark.parametrize("holder", [{"age": 3600}, {"system": "elsewhere"}])
def test_a_holder_that_runs_or_was_heard_of_keeps_its_lock(tmp_path, holder):
    described(tmp_path, **holder)
    with pytest.raises(TrainingError, match="being trained by"), locked(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir() if path.name != LOCK_NAME] == [HOLDER_NAME]


@pytest.mark.usefixtures("without_flock")
def test_a_killed_holder_that_nobody_waited_for_does_not_lock(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie
        described(tmp_path, pid=process.pid, started=0)
        with locked(tmp_path):
            pass


@pytest.mark.usefixtures("without_flock")
def test_a_holder_shows_that_it_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)
    with locked(tmp_path):
        os.utime(tmp_path / HOLDER_NAME, (0, 0))
        end = time.monotonic() + 20
        while not (tmp_path / HOLDER_NAME).stat().st_mtime and time.monotonic() < end:
            time.sleep(0.01)
        assert (tmp_path / HOLDER_NAME).stat().st_mtime


@pytest.mark.usefixtures("without_flock")
def test_a_full_disk_leaves_no_lock(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        fill_disk(patch)
        with pytest.raises(DiskError, match="No space left on device"), locked(tmp_path):
            pass
    with locked(tmp_path):
        pass
    assert not tmp_path.exists()
