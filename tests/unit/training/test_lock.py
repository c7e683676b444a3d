"""Only one process trains a fold."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autoseg.core.errors import TrainingError
from autoseg.training.lock import LOCK_NAME, Holder, locked


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def write_lock(folder, **changes: object) -> None:
    with locked(folder):
        own = Holder.model_validate_json((folder / LOCK_NAME).read_text())
    folder.mkdir(exist_ok=True)
    other = own.model_copy(update=changes)
    (folder / LOCK_NAME).write_text(other.model_dump_json() + "\n")


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


def test_a_fold_that_is_being_trained_is_refused_with_the_process(tmp_path):
    said = f"being trained by process {os.getpid()} on this machine"
    with locked(tmp_path), pytest.raises(TrainingError, match=said), locked(tmp_path):
        pass


def test_a_refused_process_leaves_the_lock(tmp_path):
    write_lock(tmp_path, host="elsewhere")

    with pytest.raises(TrainingError, match="by elsewhere"), locked(tmp_path):
        pass

    assert "elsewhere" in (tmp_path / LOCK_NAME).read_text()


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    write_lock(tmp_path, pid=dead_process())

    with locked(tmp_path):
        assert f'"pid":{os.getpid()}' in (tmp_path / LOCK_NAME).read_text()

    assert not list(tmp_path.parent.glob(f"{tmp_path.name}/.*"))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not list such processes")
def test_the_lock_of_a_dead_process_that_its_parent_ignores_is_taken_over(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stat = Path("/proc") / str(process.pid) / "stat"
    write_lock(tmp_path, pid=process.pid, started=stat.read_text().rpartition(")")[2].split()[19])
    with pytest.raises(TrainingError, match="being trained by process"), locked(tmp_path):
        pass

    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and its status not fetched
    with locked(tmp_path):
        assert f'"pid":{os.getpid()}' in (tmp_path / LOCK_NAME).read_text()
    process.communicate()


def test_a_later_process_of_the_same_number_does_not_hold_the_lock(tmp_path):
    write_lock(tmp_path, started="1")

    with locked(tmp_path):
        assert '"started":"1"' not in (tmp_path / LOCK_NAME).read_text()


def test_the_lock_of_another_machine_is_left_for_the_user_to_judge(tmp_path):
    write_lock(tmp_path, host="elsewhere", pid=dead_process())

    with pytest.raises(TrainingError, match="and run the same command"), locked(tmp_path):
        pass


def test_a_lock_that_says_nothing_is_left_for_the_user_to_judge(tmp_path):
    (tmp_path / LOCK_NAME).write_text("")

    with pytest.raises(TrainingError, match="by an unknown process"), locked(tmp_path):
        pass


def test_a_lock_that_the_user_gave_to_another_process_is_not_removed(tmp_path):
    with locked(tmp_path):
        (tmp_path / LOCK_NAME).unlink()
        (tmp_path / LOCK_NAME).write_text("someone else")

    assert (tmp_path / LOCK_NAME).read_text() == "someone else"
