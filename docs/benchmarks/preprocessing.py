"""Time fingerprint, plan and preprocessing of datasets, and their memory, on this machine.

Run it with `python docs/benchmarks/preprocessing.py WORK [DATASET ...]`: of each dataset (that of
hippocampi, say) and of eight synthetic CT volumes, which are made below the folder WORK with a
fixed seed if they are not there yet. Every command is a process of its own, so that its time is
that of the whole command, imports included; `--rounds` repeats all of them and prints medians.
Memory is the largest share of memory (PSS, so that what processes share counts once) that any one
process of the command had, and that all of them had together, seen every 50 ms. It needs Linux.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import SimpleITK
from scipy import ndimage

NUM_VOLUMES = 8
SHAPE = (160, 384, 384)
SPACING_MM = (1.5, 0.8, 0.8)
ORGANS_HU = (55, 110, 180)
NOISE_HU = 18.0
SAMPLING_SECONDS = 0.05
COMMANDS = ("plan", "preprocess")
BYTES_PER_GIB = 2**30


@dataclass(frozen=True)
class Cost:
    """What one command took.

    Attributes:
        wall: Seconds from start to end.
        cpu: Seconds of processor time, of all its processes.
        largest: Most bytes that any one process had.
        together: Most bytes that all processes had at once.
    """

    wall: float
    cpu: float
    largest: int
    together: int


def synthetic_ct(root: Path, *, num_volumes: int = NUM_VOLUMES, shape: tuple[int, ...]) -> Path:
    """Write CT-like int16 volumes of about the same size and varied spacing; return the dataset."""
    dataset = root / "Synthetic_CT"
    if (dataset / "dataset.json").is_file():
        return dataset
    names = [f"ct_{index:02d}" for index in range(num_volumes)]
    for folder in ("imagesTr", "labelsTr"):
        (dataset / folder).mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        random = np.random.default_rng((0, index))
        size = tuple(round(edge * random.uniform(0.95, 1.05)) for edge in shape)
        spacing = tuple(float(np.round(mm * random.uniform(0.8, 1.2), 3)) for mm in SPACING_MM)
        spacing = (spacing[0], spacing[1], spacing[1])
        image, labels = ct_volume(random, size)
        for array, path in (
            (image, dataset / "imagesTr" / f"{name}_0000.nii.gz"),
            (labels, dataset / "labelsTr" / f"{name}.nii.gz"),
        ):
            volume = SimpleITK.GetImageFromArray(array)
            volume.SetSpacing(spacing[::-1])
            SimpleITK.WriteImage(volume, str(path), useCompression=True)
    organs = {f"organ {number}": number for number in range(1, len(ORGANS_HU) + 1)}
    description = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **organs},
        "numTraining": num_volumes,
        "file_ending": ".nii.gz",
    }
    (dataset / "dataset.json").write_text(json.dumps(description, indent=1), encoding="utf-8")
    return dataset


def ct_volume(random: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return a body in air with uneven organs under noise (int16, HU), and its labels."""
    z, y, x = np.ogrid[tuple(slice(-1, 1, complex(0, size)) for size in shape)]
    coarse = ndimage.gaussian_filter(random.normal(size=tuple(size // 8 for size in shape)), 2)
    zoom = [size / edge for size, edge in zip(shape, coarse.shape, strict=True)]
    uneven = ndimage.zoom((coarse / coarse.std()).astype(np.float32), zoom, order=1)
    body = (y / 0.7) ** 2 + (x / 0.9) ** 2 + 0.02 * uneven < 1
    labels = np.zeros(shape, dtype=np.uint8)
    image = np.where(body, np.float32(20), np.float32(-1000))
    for number, level in enumerate(ORGANS_HU, start=1):
        centre = random.uniform((-0.4, -0.25, -0.45), (0.4, 0.25, 0.45))
        radius = random.uniform(0.2, 0.4)
        distance = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2
        organ = body & (distance + 0.03 * uneven < radius**2)
        labels[organ], image[organ] = number, level
    image += NOISE_HU * random.standard_normal(size=shape, dtype=np.float32)
    return np.clip(np.rint(image), -1024, 3071).astype(np.int16), labels


def measure(command: list[str]) -> Cost:
    """Return what a command took; what it prints is not shown."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peaks = {"largest": 0, "together": 0}
    watcher = threading.Thread(target=watch, args=(process, peaks))
    watcher.start()
    code = process.wait()
    wall = time.perf_counter() - start
    watcher.join()
    if code:
        raise SystemExit(f"{' '.join(command)} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall=wall, cpu=cpu, **peaks)


def watch(process: subprocess.Popen[bytes], peaks: dict[str, int]) -> None:
    """Keep the largest memory of a process and its descendants, until it ends."""
    while process.poll() is None:
        sizes = [proportional_bytes(number) for number in family(process.pid)]
        peaks["largest"] = max(peaks["largest"], *sizes)
        peaks["together"] = max(peaks["together"], sum(sizes))
        time.sleep(SAMPLING_SECONDS)


def family(parent: int) -> list[int]:
    """Return the number of a process and of all its descendants."""
    found = [parent]
    for number in found:
        try:
            children = Path(f"/proc/{number}/task/{number}/children").read_text(encoding="ascii")
        except OSError:  # it has just ended
            continue
        found += map(int, children.split())
    return found


def proportional_bytes(number: int) -> int:
    """Return the memory of a process, its part of what it shares with others included."""
    try:
        lines = Path(f"/proc/{number}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def measure_commands(dataset: Path, folder: Path, workers: int) -> dict[str, Cost]:
    """Return the cost of each command on a dataset that nothing is known of yet."""
    shutil.rmtree(folder, ignore_errors=True)
    costs = {}
    for name in COMMANDS:
        options = ["--configuration", "3d_fullres"] if name == "preprocess" else []
        command = [sys.executable, "-c", "from autoseg.cli import main; main()", name, str(dataset)]
        command += ["--work", str(folder), "--workers", str(workers), *options]
        costs[name] = measure(command)
    shutil.rmtree(folder, ignore_errors=True)
    return costs


def print_rows(name: str, rounds: list[dict[str, Cost]]) -> None:
    """Print one line per command: medians of times, the largest memory."""
    for command in COMMANDS:
        costs = [found[command] for found in rounds]
        wall, cpu = (median(getattr(cost, key) for cost in costs) for key in ("wall", "cpu"))
        largest, together = (
            max(getattr(cost, key) for cost in costs) / BYTES_PER_GIB
            for key in ("largest", "together")
        )
        print(
            f"| {name} | {command} | {wall:.2f} s | {cpu:.2f} s | {largest:.2f} GiB "
            f"| {together:.2f} GiB |",
            flush=True,
        )


def main() -> None:
    """Print a table for all datasets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("datasets", type=Path, nargs="*")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    datasets = [*options.datasets, synthetic_ct(options.work, shape=SHAPE)]
    print("| Dataset | Command | Wall | Processor | Largest process | Together |")
    print("|---|---|---|---|---|---|")
    for dataset in datasets:
        folder = options.work / "measured" / dataset.name
        rounds = [measure_commands(dataset, folder, options.workers) for _ in range(options.rounds)]
        print_rows(dataset.name, rounds)


if __name__ == "__main__":
    main()
