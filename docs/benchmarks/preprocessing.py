"""Time fingerprint, plan and preprocessing of datasets, and their memory, on this machine.

Run it with `python docs/benchmarks/preprocessing.py WORK [DATASET ...]`: of each dataset (that of
hippocampi, say) and of eight synthetic CT volumes, which are made below the folder WORK with a
fixed seed if they are not there yet. Every command is a process of its own, so that its time is
that of the whole command, imports included; `--rounds` repeats all of them and prints medians.
Memory is the largest share of memory (PSS, so that what processes share counts once) that any one
process of the command had, and that all of them had together, as sampled. It needs Linux.
"""

import argparse
import shutil
from pathlib import Path
from statistics import median

import numpy as np
from costs import AUTOSEG, GIB, CommandCost, command_cost
from nnunet_rows.data import CT_LABELS, CT_SHAPE, CT_SPACING
from tables import head, line
from volumes import ct_case, description, write_json, write_volume

NUM_VOLUMES = 8
COMMANDS = ("plan", "preprocess")
MEMORIES = ("process", "together")


def synthetic_ct(root: Path) -> Path:
    """Write CT-like int16 volumes of about the same size and varied spacing; return the dataset."""
    dataset = root / "Synthetic_CT"
    if (dataset / "dataset.json").is_file():
        return dataset
    for index in range(NUM_VOLUMES):
        random = np.random.default_rng((0, index))
        size = tuple(round(edge * random.uniform(0.95, 1.05)) for edge in CT_SHAPE)
        spacing = tuple(float(np.round(mm * random.uniform(0.8, 1.2), 3)) for mm in CT_SPACING)
        spacing = (spacing[0], spacing[1], spacing[1])
        image, labels = ct_case(random, size)
        write_volume(image, spacing, dataset / "imagesTr" / f"ct_{index:02d}_0000.nii.gz")
        write_volume(labels, spacing, dataset / "labelsTr" / f"ct_{index:02d}.nii.gz")
    write_json(description(("CT",), CT_LABELS, NUM_VOLUMES), dataset / "dataset.json")
    return dataset


def measure_commands(dataset: Path, folder: Path, workers: int) -> dict[str, CommandCost]:
    """Return the cost of each command on a dataset that nothing is known of yet."""
    shutil.rmtree(folder, ignore_errors=True)
    costs = {}
    for name in COMMANDS:
        options = ["--configuration", "3d_fullres"] if name == "preprocess" else []
        command = [*AUTOSEG, name, dataset, "--work", folder, "--workers", workers, *options]
        costs[name] = command_cost(command, samples_memory=True)
    shutil.rmtree(folder, ignore_errors=True)
    return costs


def print_rows(name: str, rounds: list[dict[str, CommandCost]]) -> None:
    """Print one line per command: medians of times, the largest memory."""
    for command in COMMANDS:
        costs = [found[command] for found in rounds]
        times = [median(cost.seconds for cost in costs), median(cost.cpu_seconds for cost in costs)]
        sizes = [max(getattr(cost, f"{key}_bytes") for cost in costs) for key in MEMORIES]
        cells = [f"{seconds:.2f} s" for seconds in times]
        cells += [f"{size / GIB:.2f} GiB" for size in sizes]
        print(line(name, command, *cells), flush=True)


def main() -> None:
    """Print a table for all datasets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("datasets", type=Path, nargs="*")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    datasets = [*options.datasets, synthetic_ct(options.work)]
    print(head("Dataset", "Command", "Wall", "Processor", "Largest process", "Together"))
    for dataset in datasets:
        folder = options.work / "measured" / dataset.name
        rounds = [measure_commands(dataset, folder, options.workers) for _ in range(options.rounds)]
        print_rows(dataset.name, rounds)


if __name__ == "__main__":
    main()
