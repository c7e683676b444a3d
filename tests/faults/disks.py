"""Disks that fail at the n-th write: one sentence, and afterwards the same command completes."""

import errno
import mmap
import random
import shutil
import struct
import subprocess
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from faults import world as worlds
from faults.contents import contents_of, differences
from faults.server import Server
from faults.trials import Budget, Fault, Trial, each_trial, problem_in, without_numbers
from faults.world import SCENES, Scene, World

SOURCE = Path(__file__).with_name("disk_errors.c")
OPEN, WRITE, SYNC, NAME = 1, 2, 4, 8
STATE = struct.Struct("qqqqqqqiiii1024s")
"""As in `disk_errors.c`: matching, hits, fail_at, seen of each kind; error, is_lasting, kinds,
unused; folder."""

ERRORS = {
    errno.ENOSPC: OPEN | WRITE | NAME,
    errno.EIO: WRITE | SYNC,
    errno.EROFS: OPEN | NAME,
    errno.EMFILE: OPEN,
    errno.EFBIG: WRITE,
}
"""What fails with which error."""

REPORT_WARNING = "warning: the report could not be written"

NO_COMPILER = "gcc compiles what makes writes fail, and there is none"


def has_compiler() -> bool:
    return shutil.which("gcc") is not None


class FailingDisk(Server):
    """A server whose commands can be made to fail at a write."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True)
        library, state = home / "disk_errors.so", home / "state"
        command = ["gcc", "-shared", "-fPIC", "-O2", "-w", "-o", library, SOURCE, "-ldl"]
        subprocess.run(command, check=True)
        state.write_bytes(bytes(STATE.size))
        with state.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), STATE.size)
        super().__init__(home, LD_PRELOAD=str(library), FAULTS_STATE=str(state))

    def fail(self, folder: Path, number: int, error: int, *, is_lasting: bool) -> None:
        """Let the n-th write below a folder fail from now on, or none for n = 0."""
        place = f"{folder}/".encode()
        kinds = ERRORS.get(error, 0)
        state = (0, 0, number, 0, 0, 0, 0, error, int(is_lasting), kinds, 0, place)
        self._memory[:] = STATE.pack(*state)

    def seen(self, kinds: int) -> int:
        """Return the number of operations of some kinds."""
        counts = STATE.unpack(self._memory)[3:7]
        return sum(count for place, count in enumerate(counts) if kinds & 1 << place)

    @property
    def hits(self) -> int:
        """Number of writes that failed."""
        return STATE.unpack(self._memory)[1]


def new_server(home: Path) -> Server:
    """Start a server, whose disk can fail if there is a compiler."""
    return FailingDisk(home) if has_compiler() else Server(home)


def writes_of(world: World, disk: FailingDisk, scene: Scene) -> dict[int, int]:
    """Run a command without an error, and count the writes that each error can hit."""
    folder = world.new_trial(scene, "writes")
    disk.fail(folder, 2**62, 0, is_lasting=False)
    world.measure(scene, disk, folder)
    return {error: disk.seen(kinds) for error, kinds in ERRORS.items()}


def campaign(
    world: World,
    servers: Sequence[Server],
    seed: int,
    budget: Budget,
    scenes: Sequence[Scene] = SCENES,
    errors: Collection[int] = tuple(ERRORS),
) -> Iterator[Trial]:
    """Let random writes of all commands fail: all of them in turn, in a random order."""
    disks = [server for server in servers if isinstance(server, FailingDisk)]
    writes = {scene.name: writes_of(world, disks[0], scene) for scene in scenes}
    every = [
        (scene, error, number, is_lasting)
        for scene in scenes
        for error, most in writes[scene.name].items()
        if error in errors
        for number in range(1, most + 1)
        for is_lasting in (False, True)
        if is_lasting or error != errno.ENOSPC  # a full disk stays full
    ]
    random.Random(f"{seed} disks").shuffle(every)
    every.sort(key=_rank_within_command(every).__getitem__)

    def trial(number: int, disk: FailingDisk) -> Trial:
        scene, error, write, is_lasting = every[number]
        folder = world.new_trial(scene, f"disk_{number}")
        disk.fail(folder, write, error, is_lasting=is_lasting)
        try:
            return _trial(scene, folder, world, disk, (write, error))
        finally:
            disk.fail(folder, 0, 0, is_lasting=False)
            worlds.delete(folder)

    most = len(every) if budget.count is None else min(budget.count, len(every))
    return each_trial(trial, disks, Budget(most, budget.seconds))


def _rank_within_command(every: Sequence[tuple]) -> dict[tuple, int]:
    """Return the place of every error among those of its command, so that commands take turns."""
    ranks, counts = {}, dict.fromkeys((scene.name for scene, *_ in every), 0)
    for entry in every:
        ranks[entry] = counts[entry[0].name]
        counts[entry[0].name] += 1
    return ranks


def _trial(
    scene: Scene,
    folder: Path,
    world: World,
    disk: FailingDisk,
    failed: tuple[int, int],
) -> Trial:
    write, error = failed
    status = worlds.run(scene, world, disk, folder)
    hits, output = disk.hits, worlds.output_of(folder).read_text(errors="replace")
    disk.fail(folder, 0, 0, is_lasting=False)
    name = errno.errorcode[error]
    story = [f"{scene.name}: write {write} fails with {name}"]
    story += [f"status {status}, {hits} failed", output]
    problems = []
    if status == 0 and hits:
        found = differences(contents_of(folder), world.references[scene.name].contents)
        if REPORT_WARNING in output:  # what the command is for is done
            found = [line for line in found if "report.html" not in line]
        problems += [f"succeeds although a write failed: {line}" for line in found[:1]]
    elif status is None:
        problems.append("hangs")
    elif status != 0 and (problem := _problem_with(status, output)):
        problems.append(problem)
    again = worlds.run(scene, world, disk, folder)
    after = worlds.output_of(folder).read_text(errors="replace")
    story += [f"again: status {again}", after]
    if again != 0:
        reason = problem_in(after) or (after.strip().splitlines() or [""])[-1]
        problems.append(f"cannot be completed: {reason}".replace(str(folder), ""))
    else:
        found = differences(contents_of(folder), world.references[scene.name].contents)
        problems += [f"other results afterwards: {line}" for line in found[:1]]
    record = {"trial.txt": "\n".join(story).encode()}
    faults = tuple(
        Fault(f"{scene.name}, {name}: {without_numbers(problem)}", story[0], record)
        for problem in problems
    )
    outcome = "completed" if status == 0 else "refused"
    return Trial(scene.name, "fault" if faults else outcome, faults)


def _problem_with(status: int, output: str) -> str | None:
    """Return what is wrong about the end of a command whose disk failed."""
    if problem := problem_in(output):
        return f"prints a traceback: {problem}"
    if status != 1:
        return f"ends with status {status}"
    sentences = [line for line in output.splitlines() if line.startswith("error: ")]
    return None if len(sentences) == 1 else f"prints {len(sentences)} sentences, expected 1"
