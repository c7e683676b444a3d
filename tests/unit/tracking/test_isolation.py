import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from trackers import described, remembering, steps

from autoseg.core.errors import Interrupted
from autoseg.documents import store
from autoseg.documents.tracking import TrackedRun
from autoseg.tracking import isolation
from autoseg.tracking.base import Metrics
from autoseg.tracking.isolation import record_path
from autoseg.tracking.tracked import Tracked, Tracking, forget, tracked


def at(step: int) -> Metrics:
    return Metrics(step, {"loss": 1.0 / step})


def refuse(*_: object) -> None:
    msg = "connection refused"
    raise ConnectionError(msg)


def leave(*_: object) -> None:
    raise SystemExit


def test_what_is_logged_arrives_in_order_and_the_run_ends(tmp_path: Path) -> None:
    tracker, warnings = remembering(), []
    (tmp_path / "report.json").write_text("{}")
    with tracked(Tracking((tracker,)), described(tmp_path), warnings.append) as run:
        assert run.ids == {"remembering": "run 0"}
        run.log(at(1))
        run.log(at(2))
        run.finish(at(3), (tmp_path / "report.json",))
    assert [name for name, _ in tracker.runs["run 0"]] == [1, 2, 3, "report.json", "end"]
    assert tracker.runs["run 0"][-1] == ("end", "finished")
    assert not warnings


@pytest.mark.parametrize("error", [Interrupted("stopped"), ValueError("bug")], ids=str)
def test_a_run_that_does_not_finish_is_marked(tmp_path: Path, error: Exception) -> None:
    tracker = remembering()
    with (
        pytest.raises(type(error)),
        tracked(Tracking((tracker,)), described(tmp_path), print),
    ):
        raise error
    expected = "stopped" if isinstance(error, Interrupted) else "failed"
    assert tracker.runs["run 0"] == [("end", expected)]


def test_a_resumed_run_continues_after_its_last_step(tmp_path: Path) -> None:
    tracker = remembering()
    for last in (2, 4):
        with tracked(Tracking((tracker,)), described(tmp_path), print) as run:
            for step in range(1, last + 1):  # the history is logged from its beginning
                run.log(at(step))
    assert steps(tracker.runs["run 0"]) == [1, 2, 3, 4]
    assert list(tracker.runs) == ["run 0"]


def test_a_finished_run_is_not_logged_again_unless_it_grew(tmp_path: Path) -> None:
    tracker = remembering()
    for last in (2, 2, 3):
        with tracked(Tracking((tracker,)), described(tmp_path), print) as run:
            run.finish(at(last), ())
    assert steps(tracker.runs["run 0"]) == [2, 3]


def test_a_run_that_the_tracker_no_longer_has_is_logged_from_the_start(tmp_path: Path) -> None:
    tracker = remembering()
    for _ in range(2):
        tracker.runs.clear()
        with tracked(Tracking((tracker,)), described(tmp_path), print) as run:
            run.log(at(1))
    assert steps(tracker.runs["run 1"]) == [1]


def test_a_forgotten_run_starts_again(tmp_path: Path) -> None:
    tracker = remembering()
    with tracked(Tracking((tracker,)), described(tmp_path), print) as run:
        run.log(at(1))
    forget(tmp_path, tmp_path)
    with tracked(Tracking((tracker,)), described(tmp_path), print) as run:
        run.log(at(1))
    assert steps(tracker.runs["run 1"]) == [1]


@pytest.mark.parametrize("failing", ["on_log", "on_start"])
def test_a_tracker_that_fails_is_switched_off_with_one_warning(
    tmp_path: Path, failing: str
) -> None:
    bad, good, warnings = remembering(**{failing: refuse}), remembering(), []
    with tracked(Tracking((bad,)), described(tmp_path), warnings.append) as run:
        for step in range(1, 5):
            run.log(at(step))
            run.wait()
        assert not run.is_used
        run.finish(at(5), ())
    assert len(warnings) == 1
    assert "remembering failed (connection refused) and is switched off" in warnings[0]
    with tracked(Tracking((good,)), described(tmp_path), print) as run:
        for step in range(1, 5):
            run.log(at(step))
    assert steps(good.runs["run 0"]) == [1, 2, 3, 4]


@pytest.mark.parametrize("on_log", [refuse, leave])
def test_other_trackers_continue(tmp_path: Path, on_log: Callable[[Metrics], None]) -> None:
    warnings: list[str] = []
    folders = [tmp_path / name for name in ("bad", "good")]
    for folder in folders:
        folder.mkdir()
    bad, good = remembering(on_log=on_log), remembering()
    runs = [
        isolation.IsolatedRun(tracker, described(folder))
        for tracker, folder in zip((bad, good), folders, strict=True)
    ]
    run = Tracked(runs, warnings.append)
    run.log(at(1))
    run.finish(at(2), ())
    assert steps(good.runs["run 0"]) == [1, 2]
    assert len(warnings) == 1


@pytest.mark.parametrize("hanging", ["on_log", "on_start"])
def test_a_tracker_that_hangs_neither_blocks_nor_ends_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hanging: str
) -> None:
    for limit in ("LIMIT_SECONDS", "START_SECONDS"):
        monkeypatch.setattr(isolation, limit, 0.3)
    released, warnings = Event(), []
    tracker = remembering(**{hanging: lambda *_: released.wait(20) and None})
    started = time.perf_counter()
    with tracked(Tracking((tracker,)), described(tmp_path), warnings.append) as run:
        for step in range(1, 4):
            before = time.perf_counter()
            run.log(at(step))
            assert time.perf_counter() - before < 0.1
        run.finish(at(4), ())
    assert time.perf_counter() - started < 5
    released.set()
    (warning,) = warnings
    assert "no answer within the time limit" in warning


def test_a_tracker_that_is_too_slow_is_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "MAX_WAITING", 2)
    released, warnings = Event(), []
    tracker = remembering(on_log=lambda _: released.wait(20) and None)
    run = Tracked([isolation.IsolatedRun(tracker, described(tmp_path))], warnings.append)
    for step in range(1, 6):
        run.log(at(step))
    released.set()
    assert len(warnings) == 1
    assert "requests are waiting" in warnings[0]


def test_a_full_disk_switches_the_tracker_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    warnings: list[str] = []
    with tracked(Tracking((remembering(),)), described(tmp_path), warnings.append) as run:
        monkeypatch.setattr(store, "save", fail)
        run.log(at(1))
        run.wait()
    assert len(warnings) == 1
    assert "No space left" in warnings[0]


def test_a_damaged_record_starts_a_new_run(tmp_path: Path) -> None:
    record_path(tmp_path, "remembering").write_text("{")
    tracker = remembering()
    with tracked(Tracking((tracker,)), described(tmp_path), print) as run:
        run.log(at(1))
    saved = store.load(TrackedRun, record_path(tmp_path, "remembering"))
    assert (saved.id, saved.last_step) == ("run 0", 1)


def test_a_long_history_is_one_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "MAX_WAITING", 1)
    tracker = remembering()
    with tracked(Tracking((tracker,)), described(tmp_path), pytest.fail) as run:
        run.log(*map(at, range(1, 30)))
        run.wait()
    assert steps(tracker.runs["run 0"]) == list(range(1, 30))
