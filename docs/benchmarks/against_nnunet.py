"""Compare autoseg with nnU-Net (`pip install -e ".[parity]"`): seconds and memory of the same work.

Run it as `python docs/benchmarks/against_nnunet.py ROW … --data FOLDER --work FOLDER --rounds 3`,
or with `all` for every row; `--help` lists them. FOLDER has `Task04_Hippocampus` of the Medical
Segmentation Decathlon; all else is generated from seeds, into the folder of `--work`, where
datasets, plans and prepared cases stay for the next time.

In every round both tools do the same, one after the other, nnU-Net first in every other round,
each in processes of its own with the same number of threads; the table has medians, and the ratio
of these. The seconds of a command that a user would type are those of its whole process. Of
resampling, steps, sliding window, export and evaluation they are those of the work alone, without
imports and without making its input. Memory is the most that all processes of a side had together
(PSS: shared pages count once), sampled; the last columns have the resident memory of its largest
process, as the kernel saw it (and `/usr/bin/time -v` prints it). It needs Linux.

nnU-Net runs as it comes, but for the number of its processes and torch.compile, which it does not
use on a CPU. Idle OpenMP threads of both sleep instead of spinning, as autoseg has it.
"""

import argparse
import re
import signal
import sys
from pathlib import Path
from shutil import rmtree
from statistics import median

from costs import MIB
from nnunet_rows.measuring import Measurement, RowError, measured, run
from nnunet_rows.row import Place, Row
from nnunet_rows.table import ROWS
from tables import head, line

COLUMNS = (
    *("What", "nnU-Net", "autoseg", "Ratio", "Aim", "Memory", "of autoseg", "Ratio"),
    *("Largest process", "of autoseg"),
)
FIELDS = (
    *(("seconds", " s", 1.0), ("together_bytes", " MiB", MIB)),
    ("resident_bytes", " MiB", MIB),
)


def main() -> None:
    """Run the rows that are asked for, and print the table as it grows."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # else what runs would be left behind
    names = list(ROWS) if "all" in asked.rows else asked.rows
    place = Place(asked.data.resolve(), asked.work.resolve(), asked.cores, asked.device)
    print(head(*COLUMNS), flush=True)
    failed = False
    for row in [row for name in names for row in ROWS[name](place)]:
        try:
            text, notes = compared(row, place, asked.rounds, without_nnunet=asked.without_nnunet)
        except RowError as error:
            text, notes, failed = line(row.name, f"failed: {error}"), [], True
        print(text, flush=True)
        for note in notes:
            print(f"    {note}", file=sys.stderr, flush=True)
    rmtree(place.former, ignore_errors=True)
    sys.exit(failed)


def compared(row: Row, place: Place, rounds: int, *, without_nnunet: bool) -> tuple[str, list[str]]:
    """Return a row's line of the table, and what else is to be said.

    Raises:
        RowError: If one of its commands fails.
    """
    logs = place.work / "logs"
    for need in row.needs:
        if not need.makes.exists():
            run(need.command, place, logs / "preparation.log")
    sides = {"nnU-Net": row.nnunet, "autoseg": row.autoseg}
    if without_nnunet:
        del sides["nnU-Net"]
    found: dict[str, list[Measurement]] = {name: [] for name in sides}
    for number in range(rounds):
        order = list(sides.items())
        for name, side in order if number % 2 == 0 else reversed(order):
            found[name].append(measured(side, place, logs / f"{_file_name(row)}_{name}.log"))
    notes = [_note(f"{row.name}, {name}", entries) for name, entries in found.items()]
    return _line(row, found.get("nnU-Net", []), found["autoseg"]), notes


def _note(what: str, entries: list[Measurement]) -> str:
    """Return what every round took, and what the last one reported."""
    times = ", ".join(
        f"{rounded(entry.cost.seconds)} s ({rounded(entry.cost.cpu_seconds)} s of processor time)"
        for entry in entries
    )
    return "; ".join(part for part in (f"{what}: {times}", entries[-1].note) if part)


def _line(row: Row, theirs: list[Measurement], ours: list[Measurement]) -> str:
    """Return the row as Markdown."""
    cells = [row.name]
    for field, unit, scale in FIELDS:
        old, new = (
            median(getattr(entry.cost, field) for entry in side) / scale if side else None
            for side in (theirs, ours)
        )
        cells += ["–" if value is None else f"{rounded(value)}{unit}" for value in (old, new)]
        if field != "resident_bytes":
            cells.append("–" if old is None or not new else rounded(old / new))
        if field == "seconds":
            cells.append(row.aim)
    return line(*cells)


def _file_name(row: Row) -> str:
    return "_".join(re.findall(r"\w+", row.name))


def rounded(value: float) -> str:
    """Return a number with two or three digits that count, never as a power of ten."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "rows", nargs="+", choices=[*ROWS, "all"], metavar="ROW", help=", ".join(ROWS)
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with Task04_Hippocampus")
    parser.add_argument("--work", type=Path, default=Path("against_nnunet_work"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2, help="threads and worker processes")
    parser.add_argument("--device", default="cpu", help="what trains in the row `step`")
    parser.add_argument(
        "--without-nnunet", action="store_true", help="autoseg alone, to see what a change brings"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
