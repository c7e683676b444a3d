"""Available memory, and processes killed for lack of it.

A container or batch job limits memory by a control group (cgroup), often nested in others with
limits of their own. Both versions of cgroups are read. Source: the Linux kernel's
`admin-guide/cgroup-v1/memory.rst` and `admin-guide/cgroup-v2.rst`.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from typing_extensions import override

from autoseg.core.formatting import format_number

BYTES_PER_GIB = 2**30

CGROUPS = Path("/sys/fs/cgroup")
"""Folder where Linux mounts its cgroups."""

PROC_SELF = Path("/proc/self")
"""Information of Linux about this process."""

OWN_CGROUPS = PROC_SELF / "cgroup"
"""Lists the cgroups of this process."""

LOW_SHARE, LOW_GIB = 0.1, 4.0
"""Share of the memory, and the most GiB, below which the available memory is low."""


class CgroupFiles(NamedTuple):
    """Files of a cgroup, for those with several numbers followed by the key of one.

    Attributes:
        limit: Maximum memory, bytes.
        usage: Memory in use, including the file cache, bytes.
        cache: File cache that is freed when memory is needed, bytes.
        kills: Number of processes of this cgroup that were killed because memory ran out.
        exceeded: How often memory could not be allocated because of the limit of this cgroup.
    """

    limit: tuple[str, str]
    usage: tuple[str, str]
    cache: tuple[str, str]
    kills: tuple[str, str]
    exceeded: tuple[str, str]


VERSION_1 = CgroupFiles(
    ("memory.limit_in_bytes", ""),
    ("memory.usage_in_bytes", ""),
    ("memory.stat", "total_inactive_file"),
    ("memory.oom_control", "oom_kill"),
    ("memory.failcnt", ""),
)
VERSION_2 = CgroupFiles(
    ("memory.max", ""),
    ("memory.current", ""),
    ("memory.stat", "inactive_file"),
    ("memory.events", "oom_kill"),
    ("memory.events", "oom"),
)


@dataclass(frozen=True)
class AvailableMemory:
    """Memory that processes may still allocate.

    Attributes:
        available: Available memory, bytes.
        total: Memory of the machine, or the limit of the cgroup, bytes.
        is_limited: Whether it is limited by a cgroup, not by the machine.
    """

    available: int
    total: int
    is_limited: bool = False

    @property
    def is_low(self) -> bool:
        """Whether little is left."""
        return self.available < min(LOW_SHARE * self.total, LOW_GIB * BYTES_PER_GIB)

    @override
    def __str__(self) -> str:
        where = "within the limit of the container or job" if self.is_limited else "on this machine"
        gib, total = (size / BYTES_PER_GIB for size in (self.available, self.total))
        return f"{gib:.1f} GiB of {total:.1f} GiB of memory are available {where}"


@dataclass(frozen=True)
class OutOfMemoryKills:
    """Counters of the cgroup of this process; compare them before and after a process ended.

    Attributes:
        kills: Processes that were killed because memory ran out; None if unknown.
        exceeded: For this cgroup and those around it: limit in bytes, None without one, and how
            often it was exceeded.
    """

    kills: int | None
    exceeded: tuple[tuple[int | None, int], ...]

    @classmethod
    def until_now(cls) -> "OutOfMemoryKills":
        """Return the present counters."""
        groups, names = memory_cgroups()
        numbers = ((_limit(group, names), _number(group, *names.exceeded)) for group in groups)
        return cls(
            kills=_number(groups[0], *names.kills),
            exceeded=tuple((limit, number or 0) for limit, number in numbers),
        )

    def cause_since(self) -> str | None:
        """Return the cause of a kill since then if lack of memory is proven to be it, else None."""
        now = OutOfMemoryKills.until_now()
        if self.kills is None or now.kills is None or now.kills <= self.kills:
            return None
        for (limit, number), (_, earlier) in zip(now.exceeded, self.exceeded, strict=False):
            if limit is not None and number > earlier:  # the innermost: kernels count outwards
                gib = format_number(limit / BYTES_PER_GIB, 2)
                return f"the memory limit of its container or job ({gib} GiB) was reached"
        return "the memory of the machine ran out"


class MemoryWatch:
    """Reports once that little memory is left.

    Args:
        report: Receives the state of the memory.
    """

    def __init__(self, report: Callable[[AvailableMemory], object]) -> None:
        self._report = report
        self._is_reported = False

    def check(self) -> None:
        """Report if little memory is left and that was not reported before."""
        memory = None if self._is_reported else available_memory()
        if memory is not None and memory.is_low:
            self._is_reported = True
            self._report(memory)


def available_memory() -> AvailableMemory | None:
    """Return the available memory; None if unknown.

    This is `MemAvailable` on Linux and half of the machine's memory on other systems, or what the
    limits of the cgroups leave, if that is less. A file cache that can be freed is available.
    """
    total, known = _physical_bytes(), []
    if total is not None:
        free = _number(Path("/proc"), "meminfo", "MemAvailable:")  # KiB
        known.append(AvailableMemory(total // 2 if free is None else 1024 * free, total))
    groups, names = memory_cgroups()
    for group in groups:
        limit = _limit(group, names)
        if limit is not None:
            used = _number(group, *names.usage) or 0
            needed = max(0, used - (_number(group, *names.cache) or 0))
            known.append(AvailableMemory(max(0, limit - needed), limit, is_limited=True))
    return min(known, key=lambda memory: memory.available, default=None)


def available_bytes() -> int | None:
    """Return the available memory in bytes, see `available_memory`; None if unknown."""
    memory = available_memory()
    return None if memory is None else memory.available


def machine_bytes() -> int | None:
    """Return the memory of the machine in bytes, at most the limit of the container or process.

    None if it is unknown.
    """
    groups, names = memory_cgroups()
    known = [_physical_bytes(), _process_limit(), *(_limit(group, names) for group in groups)]
    return min((size for size in known if size is not None), default=None)


def memory_cgroups() -> tuple[list[Path], CgroupFiles]:
    """Return the folders of this process's memory cgroup and of those around it, and their files.

    A container may see only its own part of the tree, but the path in the whole tree.
    """
    is_old = (CGROUPS / "memory").is_dir()
    mount, names = (CGROUPS / "memory", VERSION_1) if is_old else (CGROUPS, VERSION_2)
    try:
        lines = OWN_CGROUPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    kind, parts = "memory" if is_old else "", []
    for line in lines:  # number:kinds:path
        kinds, _, path = line.partition(":")[2].partition(":")
        if kind in kinds.split(",") and ".." not in path:  # else outside of the container's part
            parts = [part for part in path.split("/") if part]
    seen = (mount.joinpath(*parts[start:]) for start in range(len(parts)))
    own = next((folder for folder in seen if folder.is_dir()), mount)
    return [group for group in (own, *own.parents) if group.is_relative_to(mount)], names


def _limit(group: Path, names: CgroupFiles) -> int | None:
    """Return the limit of a cgroup in bytes; None if it allows all memory of the machine."""
    limit, total = _number(group, *names.limit), _physical_bytes()
    return None if limit is None or (total is not None and limit >= total) else limit


def _number(folder: Path, name: str, key: str) -> int | None:
    """Return the number in a file, or after a key at the start of a line; None without one."""
    try:
        lines = (folder / name).read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for line in lines:
        words = ["", *line.split()] if not key else line.split()
        if len(words) > 1 and words[0] == key and words[1].isdigit():
            return int(words[1])
    return None


def _physical_bytes() -> int | None:
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _process_limit() -> int | None:
    """Return the limit of the address space (`ulimit -v`); None if there is none."""
    if sys.platform == "win32":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


class ResidentPeak:
    """Measures the memory that this process needs from now on, beyond what it has now (Linux)."""

    def __init__(self) -> None:
        with suppress(OSError):
            (PROC_SELF / "clear_refs").write_text("5", encoding="ascii")  # resets VmHWM: proc(5)
        self._start = _number(PROC_SELF, "status", "VmRSS:")
        self._earlier = _number(PROC_SELF, "status", "VmHWM:")

    @property
    def added_bytes(self) -> int | None:
        """Peak beyond the memory at the start, bytes; None if unknown."""
        start, earlier, peak = self._start, self._earlier, _number(PROC_SELF, "status", "VmHWM:")
        if start is None or earlier is None or peak is None:
            return None
        # Linux counts pages per core, so that the peak may be a few below the start
        return 1024 * max(0, peak - start) if peak > earlier or earlier <= start else None


def peak_process_gib() -> float | None:
    """Return the peak memory of this process or of the largest that it waited for, GiB.

    None if it is unknown.
    """
    if sys.platform == "win32":
        return None
    import resource

    users = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(user).ru_maxrss for user in users)
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2)
    return peak * unit / BYTES_PER_GIB
