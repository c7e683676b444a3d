import errno
import faulthandler
import os
import re
import signal
from pathlib import Path

import pytest

from autoseg.core import parallel
from autoseg.core.errors import CaseError
from autoseg.core.parallel import Failure, Success, default_workers, run_each


def work(item: int) -> int:
    """Square a number; some are bad."""
    if item == 13:
        raise CaseError("thirteen is not to be had; take twelve")
    if item == 14:
        raise ZeroDivisionError("by fourteen")
    if item == 15:
        os.kill(os.getpid(), signal.SIGKILL)
    if item == 16:
        faulthandler.disable()  # that of the tests would fill the screen
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == 17:
        os._exit(7)
    if item == 18:
        raise OSError(errno.ENOSPC, "No space left on device", "/data/case")
    return item * item


@pytest.mark.parametrize("workers", [1, 3])
def test_every_item_comes_back_once(workers: int) -> None:
    outcomes = list(run_each(work, [2, 3, 4, 5], workers=workers))
    found = {outcome.index: outcome.value for outcome in outcomes if isinstance(outcome, Success)}
    assert found == {0: 4, 1: 9, 2: 16, 3: 25}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_item_does_not_take_the_others_along(workers: int) -> None:
    outcomes = {
        outcome.index: outcome for outcome in run_each(work, [2, 13, 14, 3], workers=workers)
    }
    assert outcomes[0] == Success(index=0, value=4)
    assert outcomes[3] == Success(index=3, value=9)
    assert outcomes[1] == Failure(1, "thirteen is not to be had; take twelve")
    assert isinstance(outcomes[2], Failure)
    place = r"ZeroDivisionError: by fourteen \(test_parallel\.py, line \d+\)"
    assert re.fullmatch(place, outcomes[2].message)


@pytest.mark.parametrize(("items", "workers"), [((2, 18, 3), 1), ((2, 18, 3), 2), ((15, 18), 2)])
def test_a_full_disk_is_not_the_issue_of_an_item(items: tuple[int, ...], workers: int) -> None:
    with pytest.raises(OSError, match="No space left on device: '/data/case'"):
        list(run_each(work, items, workers=workers))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (15, r"ended by SIGKILL \(usually because memory ran out\)\. Free memory"),
        (16, r"ended by SIGSEGV \(an invalid memory access .*\)\. A damaged file"),
        (17, r"ended with exit status 7"),
    ],
)
def test_a_process_that_dies_is_blamed_on_its_own_item(item: int, message: str) -> None:
    outcomes = {outcome.index: outcome for outcome in run_each(work, [2, item, 3, 4], workers=2)}
    assert isinstance(outcomes[1], Failure)
    assert re.search(message, outcomes[1].message)
    assert {outcomes[i].value for i in (0, 2, 3)} == {4, 9, 16}


@pytest.mark.parametrize(
    ("share", "workers"),
    [("200000 100000", 2), ("50000 100000", 1), ("max 100000", 8), ("9900000 100000", 8)],
)
def test_a_container_gets_as_many_workers_as_it_has_time_for(
    share: str, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "CONTAINER_CPU_LIMIT", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert default_workers() == 8
    (tmp_path / "cpu.max").write_text(f"{share}\n")
    assert default_workers() == workers


def test_this_process_does_something_else_while_the_others_work() -> None:
    done: list[str] = []
    outcomes = run_each(work, [2, 3, 4], workers=2, meanwhile=lambda: done.append("else"))
    first = next(outcomes)
    assert isinstance(first, Success)
    assert done == ["else"]
    assert len(list(outcomes)) == 2
    assert done == ["else"]
