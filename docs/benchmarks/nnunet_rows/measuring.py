"""Seconds and memory of a command with all processes that it starts; Linux only."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

from costs import CommandCost, command_cost

from nnunet_rows.reported import MARK
from nnunet_rows.row import Command, Place, Side

TIMES = ("seconds", "cpu_seconds")
SIZES = ("resident_bytes", "process_bytes", "together_bytes")


class RowError(Exception):
    """A side of a row failed; the message says where its output is."""


@dataclass(frozen=True)
class Measurement:
    """What one side of a row needed in one round.

    Attributes:
        cost: Its cost; the times are those of the work alone if the commands reported them.
        note: What the last command reported.
    """

    cost: CommandCost
    note: str = ""


def measured(side: Side, place: Place, log: Path) -> Measurement:
    """Return what a side needs now.

    Raises:
        RowError: If one of its commands fails.
    """
    side.before()
    parts = [run(command, place, log) for command in side.commands]
    costs = [part.cost for part in parts]
    times = {name: sum(getattr(cost, name) for cost in costs) for name in TIMES}
    sizes = {name: max(getattr(cost, name) for cost in costs) for name in SIZES}
    return Measurement(CommandCost(**times, **sizes), parts[-1].note)


def run(command: Command, place: Place, log: Path) -> Measurement:
    """Run a command to its end and return what it needed.

    Args:
        command: The command.
        place: Its cores become the number of threads.
        log: File for its output.

    Raises:
        RowError: If it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    cores = place.cores
    settings = environment(place.nnunet, processes=cores, loaders=cores, threads=cores)
    try:
        with log.open("wb") as output:
            cost = command_cost((*settings, *command), output=output, samples_memory=True)
    except CalledProcessError as error:
        name = " ".join(command[3:])
        msg = f"exit status {error.returncode}; the output is in {log}: {name}"
        raise RowError(msg) from error
    report = _report(log)
    note = report.pop("note", "")
    return Measurement(replace(cost, **report), note)


def environment(folder: Path, *, processes: int, loaders: int, threads: int) -> Command:
    """Return the start of a command that sets the variables which nnU-Net and torch read.

    Args:
        folder: Folder with nnU-Net's three folders.
        processes: Processes that prepare and export cases.
        loaders: Processes that augment; with 0 the trainer does it, and seeds hold.
        threads: Threads of torch.
    """
    folders = [f"nnUNet_{name}={folder / name}" for name in ("raw", "preprocessed", "results")]
    return (
        *("env", *folders, f"nnUNet_def_n_proc={processes}", f"nnUNet_n_proc_DA={loaders}"),
        f"OMP_NUM_THREADS={threads}",
        "OMP_WAIT_POLICY=PASSIVE",  # what autoseg sets; else loaders wait for spinning threads
    )


def _report(log: Path) -> dict[str, Any]:
    lines = log.read_text(errors="replace").splitlines()
    reports = [line.removeprefix(MARK) for line in lines if line.startswith(MARK)]
    return dict(json.loads(reports[-1])) if reports else {}
