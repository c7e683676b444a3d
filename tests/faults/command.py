"""The command line of the campaign, and its report."""

import argparse
import errno
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from faults import disks, fuzzing, kills, uses
from faults.server import Server
from faults.trials import Budget, Fault, Trial
from faults.world import World, new_world

PARTS = ("fuzz", "disks", "kills", "uses")


@contextmanager
def workplace(processes: int) -> Iterator[tuple[World, list[Server]]]:
    """Make a world in a temporary folder, with servers; everything is deleted at the end."""
    root = Path(tempfile.mkdtemp(prefix="autoseg_faults_"))
    try:
        with ExitStack() as stack:
            servers = [disks.new_server(root / f"server_{number}") for number in range(processes)]
            for server in servers:
                stack.callback(server.close)
            yield stack.enter_context(new_world(root, servers[0])), servers
    finally:
        shutil.rmtree(root, ignore_errors=True)


def trials_of(
    part: str,
    world: World,
    servers: Sequence[Server],
    seed: int,
    budget: Budget,
    errors: Collection[int] = tuple(disks.ERRORS),
) -> Iterator[Trial]:
    """Make the trials of one part.

    Args:
        part: One of `PARTS`.
        world: What the commands are run on.
        servers: Start the commands.
        seed: Random seed.
        budget: How many trials are made.
        errors: Numbers of the errors of failing disks.
    """
    if part == "disks" and not disks.has_compiler():
        print(f"disks: skipped, because {disks.NO_COMPILER}")
        return
    if part == "fuzz":
        yield from fuzzing.campaign(world.root, servers, seed, budget)
        return
    if part == "disks":
        yield from disks.campaign(world, servers, seed, budget, errors=errors)
        return
    campaigns = {"kills": kills.campaign, "uses": uses.campaign}
    yield from campaigns[part](world, servers, seed, budget)


@dataclass
class Report:
    """Counts per group, and the first fault of every kind, saved as it is found."""

    folder: Path
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    kinds: dict[tuple[str, str], list[Fault]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, part: str, trial: Trial) -> None:
        self.counts[part, trial.group, trial.outcome] += trial.count
        for fault in trial.faults:
            known = self.kinds.setdefault((part, fault.kind), [])
            known.append(fault)
            if len(known) == 1:
                self._save(part, fault)
                print(f"found by {part}: {fault.kind}", flush=True)

    def lines(self) -> Iterator[str]:
        """Yield the tables."""
        groups = dict.fromkeys((part, group) for part, group, _ in self.counts)
        outcomes = ("completed", "refused", "fault")
        yield f"{'part':7}{'input':34}{'completed':>10}{'refused':>10}{'faults':>10}"
        for part, group in groups:
            numbers = (self.counts[part, group, outcome] for outcome in outcomes)
            yield f"{part:7}{group:34.33}" + "".join(f"{number:10}" for number in numbers)
        for part, seconds in self.seconds.items():
            count = sum(number for (name, *_), number in self.counts.items() if name == part)
            yield f"{part}: {count} trials in {seconds:.0f} s, {count / seconds:.2f} per second"
        for (part, kind), found in sorted(self.kinds.items(), key=lambda entry: -len(entry[1])):
            yield f"{len(found):6} × {part}: {kind}"
            yield f"         {found[0].detail[:200]!a}"
        if self.kinds:
            yield f"The smallest input of each of {len(self.kinds)} kinds is in {self.folder}"

    def _save(self, part: str, fault: Fault) -> None:
        name = "".join(letter if letter.isalnum() else "_" for letter in fault.kind)[:80]
        place = self.folder / part / f"{len(self.kinds):03}_{name}"
        for file, content in {
            "fault.txt": f"{fault.kind}\n{fault.detail}\n".encode(errors="replace"),
            **fault.files,
        }.items():
            path = place / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign; return 1 if there is a fault, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, help="total time (default: 30, or no limit with --count)"
    )
    parser.add_argument("--count", type=int, help="trials per part (default: no limit)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--part", action="append", choices=PARTS, help="repeatable (default: all)")
    parser.add_argument(
        "--error",
        action="append",
        choices=[errno.errorcode[number] for number in disks.ERRORS],
        help="error of failing disks; repeatable (default: all)",
    )
    parser.add_argument("--processes", type=int, default=2, help="trials at a time (default: 2)")
    parser.add_argument(
        "--output", type=Path, default=Path("faults_found"), help="folder for faults"
    )
    given = parser.parse_args(arguments)
    parts = given.part or PARTS
    minutes = 30.0 if given.minutes is None and given.count is None else given.minutes
    errors = [getattr(errno, name) for name in given.error or ()] or tuple(disks.ERRORS)
    report = Report(given.output)
    end = None if minutes is None else time.monotonic() + 60 * minutes
    with workplace(given.processes) as (world, servers):
        for place, part in enumerate(parts):
            now = time.monotonic()
            share = None if end is None else (end - now) / (len(parts) - place)
            budget = Budget(given.count, share)
            for trial in trials_of(part, world, servers, given.seed, budget, errors):
                report.add(part, trial)
            report.seconds[part] = max(1e-9, time.monotonic() - now)
    print(*report.lines(), sep="\n")
    return 1 if report.kinds else 0
