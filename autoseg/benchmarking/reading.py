"""Time the start of the program and the reading of the user's files."""

import gzip
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from autoseg.benchmarking.timing import RowLabel, TimeLimit, time_row
from autoseg.core.labels import LabelScheme
from autoseg.datasets.inspection import case_paths, inspect_case
from autoseg.datasets.loading import load_case
from autoseg.documents.bench import SECONDS, Throughput
from autoseg.documents.dataset import CaseFiles, DatasetSpec

READING_FLOOR = "the files' bytes, .gz unpacked"


def time_import(time_limit: TimeLimit) -> Throughput:
    """Time `import autoseg`."""
    return _time_python("import", "import autoseg", (), time_limit)


def time_help(time_limit: TimeLimit) -> Throughput:
    """Time `autoseg --help`."""
    return _time_python("start", "from autoseg.cli import main; main()", ("--help",), time_limit)


def _time_python(
    stage: str, program: str, arguments: Sequence[str], time_limit: TimeLimit
) -> Throughput:
    label = RowLabel(
        stage=stage,
        unit=SECONDS,
        measured_is=" ".join((f'python -c "{program}"', *arguments)),
        floor_is='python -c "pass"',
    )
    work, floor = partial(_run, program, arguments), partial(_run, "pass", ())
    return time_row(label, 1.0, work, floor, time_limit)


def _run(program: str, arguments: Sequence[str]) -> None:
    command = [sys.executable, "-c", program, *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def time_reading(
    cases: Sequence[CaseFiles], labels: LabelScheme, time_limit: TimeLimit
) -> Throughput:
    """Time how fast one process reads images and labels into arrays.

    Args:
        cases: Files of the cases.
        labels: Label values of the dataset.
        time_limit: Time limit of the row.
    """
    label = RowLabel(
        stage="reading",
        unit="MB",
        measured_is="reading image and labels as canonical arrays; MB of the unpacked files",
        floor_is=READING_FLOOR,
    )

    def read_cases() -> None:
        for files in cases:
            load_case(files, labels)

    megabytes = unpacked_bytes(cases) / 1e6
    return time_row(label, megabytes, read_cases, partial(unpacked_bytes, cases), time_limit)


def time_fingerprinting(spec: DatasetSpec, time_limit: TimeLimit) -> Throughput:
    """Time how fast one process reads, checks and measures cases."""
    label = RowLabel(
        stage="fingerprint",
        unit="cases",
        measured_is="reading, checking and measuring, by one process",
        floor_is=READING_FLOOR,
    )
    alone = spec.model_copy(update={"cases": ()})

    def inspect_cases() -> None:
        for files in spec.cases:
            inspect_case(files, alone)

    floor = partial(unpacked_bytes, spec.cases)
    return time_row(label, float(len(spec.cases)), inspect_cases, floor, time_limit)


def unpacked_bytes(cases: Sequence[CaseFiles]) -> int:
    """Read all files of the cases and return their total size in bytes; .gz is unpacked."""
    return sum(_num_bytes(path) for case in cases for path in case_paths(case))


def _num_bytes(path: Path) -> int:
    if path.is_dir():
        return sum(_num_bytes(inner) for inner in path.iterdir())
    content = path.read_bytes()
    return len(gzip.decompress(content) if path.suffix.lower() == ".gz" else content)
