"""Available memory and kills for lack of it, in cgroups of both versions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autoseg.core import memory
from autoseg.core.memory import (
    BYTES_PER_GIB,
    AvailableMemory,
    MemoryWatch,
    OutOfMemoryKills,
    available_bytes,
    available_memory,
    machine_bytes,
)
from autoseg.core.signals import describe_end

MIB = 2**20

OLD = {"limit": "memory.limit_in_bytes", "usage": "memory.usage_in_bytes"}
NEW = {"limit": "memory.max", "usage": "memory.current"}
NO_LIMIT = {1: 9223372036854771712, 2: "max"}


class Tree:
    """A fake tree of memory cgroups."""

    def __init__(self, version: int, folder: Path) -> None:
        self.version = version
        self.mount = folder / "memory" if version == 1 else folder
        self.mount.mkdir(exist_ok=True)
        self.own = folder / "own"

    def enter(self, path: str) -> None:
        others = "5:devices:/elsewhere\n1:name=systemd:/elsewhere\n"
        line = f"4:cpu,memory:{path}\n0::/elsewhere\n" if self.version == 1 else f"0::{path}\n"
        self.own.write_text(others + line)

    def add(self, path: str, limit: int | str, usage: int = 0, cache: int = 0) -> Path:
        folder = self.mount / path
        folder.mkdir(parents=True, exist_ok=True)
        names, total = (OLD, "total_") if self.version == 1 else (NEW, "")
        (folder / names["limit"]).write_text(f"{limit}\n")
        (folder / names["usage"]).write_text(f"{usage}\n")
        (folder / "memory.stat").write_text(f"anon 1\n{total}inactive_file {cache}\nslab 7\n")
        return folder

    def count(self, path: str, *, kills: int, exceeded: int) -> None:
        folder = self.mount / path
        if self.version == 1:
            (folder / "memory.oom_control").write_text(f"under_oom 0\noom_kill {kills}\n")
            (folder / "memory.failcnt").write_text(f"{exceeded}\n")
        else:
            text = f"max 99\noom {exceeded}\noom_kill {kills}\noom_group_kill 0\n"
            (folder / "memory.events").write_text(text)


@pytest.fixture(params=[1, 2], ids=["version 1", "version 2"])
def tree(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    tree = Tree(request.param, tmp_path)
    monkeypatch.setattr(memory, "OWN_CGROUPS", tree.own)
    return tree


def test_memory_in_use_is_not_available_but_the_file_cache_is(tree: Tree) -> None:
    tree.add("", 64 * MIB, usage=40 * MIB, cache=10 * MIB)
    tree.enter("/")
    assert available_memory() == AvailableMemory(34 * MIB, 64 * MIB, is_limited=True)
    assert machine_bytes() == 64 * MIB


def test_the_groups_around_that_of_the_process_count(tree: Tree) -> None:
    tree.add("slurm", NO_LIMIT[tree.version])
    tree.add("slurm/job_1", 64 * MIB, usage=60 * MIB)
    tree.add("slurm/job_1/step_0", 32 * MIB, usage=8 * MIB)
    tree.add("slurm/job_1/step_0/task_0", NO_LIMIT[tree.version], usage=8 * MIB)
    tree.add("slurm/job_2", MIB, usage=MIB)
    tree.enter("/slurm/job_1/step_0/task_0")
    assert available_bytes() == 4 * MIB
    assert machine_bytes() == 32 * MIB


@pytest.mark.parametrize("path", ["/docker/1234/inner", "/../../inner", "/docker/1234"])
def test_a_container_that_sees_only_its_part_of_the_tree(tree: Tree, path: str) -> None:
    tree.add("", 64 * MIB, usage=MIB)
    tree.add("inner", 32 * MIB)
    tree.enter(path)
    assert available_bytes() == (32 if path == "/docker/1234/inner" else 63) * MIB


def test_without_a_limit_the_machine_counts(tree: Tree) -> None:
    without = available_memory()
    assert without is None or not without.is_limited
    assert available_bytes() is None or available_bytes() > MIB
    tree.add("", NO_LIMIT[tree.version], usage=MIB)
    tree.enter("/")
    limited = available_memory()
    assert limited is None or not limited.is_limited
    assert OutOfMemoryKills.until_now().cause_since() is None


def test_a_group_that_uses_more_than_its_limit_leaves_nothing(tree: Tree) -> None:
    tree.add("", 64 * MIB, usage=65 * MIB)
    assert available_bytes() == 0


@pytest.mark.parametrize(
    ("kills", "exceeded", "expected"),
    [
        (1, 6, "killed because the memory limit of its container or job (2 GiB) was reached"),
        (1, 5, "killed because the memory of the machine ran out"),
        (0, 6, "ended by SIGKILL (usually because memory ran out)"),
    ],
)
def test_a_kill_is_explained_if_its_group_counted_it(
    tree: Tree, kills: int, exceeded: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sysconf", lambda _: 2**20)  # a TiB
    tree.add("job/step", NO_LIMIT[tree.version])
    tree.add("job", 2 * BYTES_PER_GIB)
    tree.add("", NO_LIMIT[tree.version])
    tree.enter("/job/step")
    tree.count("job/step", kills=3, exceeded=0)
    tree.count("job", kills=3, exceeded=5)
    before = OutOfMemoryKills.until_now()
    tree.count("job/step", kills=3 + kills, exceeded=0)
    tree.count("job", kills=3 + kills, exceeded=exceeded)
    assert describe_end(9, before) == expected
    assert describe_end(15, before) == "ended by SIGTERM (Terminated)"


@pytest.mark.parametrize(
    ("available", "total", "is_low"),
    [(0.19, 2.0, True), (0.21, 2.0, False), (3.9, 512.0, True), (4.1, 512.0, False)],
)
def test_memory_is_low_below_a_tenth_or_four_gib(
    available: float, total: float, is_low: bool
) -> None:
    sizes = (int(size * BYTES_PER_GIB) for size in (available, total))
    assert AvailableMemory(*sizes).is_low == is_low


def test_low_memory_is_reported_once(tree: Tree) -> None:
    reports: list[AvailableMemory] = []
    watch = MemoryWatch(reports.append)
    tree.add("", 64 * MIB, usage=32 * MIB)
    watch.check()
    assert not reports
    tree.add("", 64 * MIB, usage=63 * MIB)
    watch.check()
    watch.check()
    assert reports == [AvailableMemory(MIB, 64 * MIB, is_limited=True)]
    assert str(reports[0]).endswith("available within the limit of the container or job")


PROGRAM = """
import os, sys
from pathlib import Path
Path(sys.argv.pop(1), "cgroup.procs").write_text(str(os.getpid()))
from autoseg.core.parallel import run_each
def fill(size):
    held = bytearray(size)
    return len(held)
print(*run_each(fill, [1, 1 << 30], workers=2), sep="\\n")
"""


def test_a_worker_killed_by_the_limit_of_a_real_group_is_explained(limited_group: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(limited_group)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Success(index=0, value=1)" in done.stdout
    assert (
        "its worker process was killed because the memory limit of its container or job "
        "(0.25 GiB) was reached. Free memory or use fewer workers" in done.stdout
    )


def test_the_peak_is_what_was_added_since_the_start() -> None:
    if not (memory.PROC_SELF / "status").is_file():
        pytest.skip("only Linux reports the resident memory of a process")
    earlier = bytearray(b"x") * (96 * MIB)
    del earlier
    peak = memory.ResidentPeak()
    later = bytearray(b"x") * (48 * MIB)
    del later
    assert peak.added_bytes is not None
    assert 40 * MIB < peak.added_bytes < 80 * MIB


def test_a_peak_is_never_negative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "status").write_text("VmHWM:\t498 kB\nVmRSS:\t500 kB\n")
    monkeypatch.setattr(memory, "PROC_SELF", tmp_path)
    assert memory.ResidentPeak().added_bytes == 0


@pytest.mark.parametrize(
    ("later", "expected"), [(900, None), (1100, 600 * 1024)], ids=["hidden", "beyond"]
)
def test_a_peak_hidden_by_an_earlier_one_is_unknown(
    later: int, expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def status(peak: int) -> None:
        (tmp_path / "status").write_text(f"VmHWM:\t{peak} kB\nVmRSS:\t500 kB\n")

    (tmp_path / "clear_refs").mkdir()  # cannot be written
    monkeypatch.setattr(memory, "PROC_SELF", tmp_path)
    status(1000)
    peak = memory.ResidentPeak()
    status(max(1000, later))
    assert peak.added_bytes == expected
