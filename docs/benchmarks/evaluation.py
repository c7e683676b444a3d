"""Time and memory of scoring a segmentation of 8 organs on 200×512×512 voxels, on this machine.

Run it with `python docs/benchmarks/evaluation.py`. The organs are rough ellipsoids that cover half
of the volume; the prediction is a smooth deformation of them, with a small false part of each organ
far away. Each line is a process of its own, so that its peak memory is its own; "arrays" is what
a process takes that only has the two label maps. The last lines are the command, with files.
`--halves N` makes every axis 2**N times shorter.
"""

import argparse
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
from costs import AUTOSEG, KIB, MIB, Stopwatch, command_cost, timed

Result = TypeVar("Result")

SHAPE = (200, 512, 512)
SPACING = (1.5, 0.8, 0.8)
COVERED = 0.5
"""Share of the voxels that belong to an organ."""

DEFORMATION = 2.5
"""Standard deviation of the displacement, voxels of the full size."""

SEED = 0
CASES = 4
"""Copies of the case that the command scores at once."""

METRICS: dict[str, tuple[str, ...]] = {
    "arrays": (),
    "Dice": ("dice",),
    "HD95, NSD": ("hd95_mm", "nsd"),
    "default": ("default",),
    "lesion F1": ("lesion_f1",),
}


def main() -> None:
    """Print one line per set of metrics, then the command's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--halves", type=int, default=0)
    shape = tuple(size >> parser.parse_args().halves for size in SHAPE)
    with TemporaryDirectory() as name:
        folder = Path(name)
        in_own_process(make, folder, shape)
        print(f"{'×'.join(map(str, shape))}: {'seconds':>14}{'CPU seconds':>14}{'peak MiB':>12}")
        for title, metrics in METRICS.items():
            spent, peak = in_own_process(measure, folder, metrics)
            show(title, spent.seconds, spent.cpu_seconds, peak)
        for workers in (1, 2):
            command = [*AUTOSEG, "evaluate", folder / "predictions", folder / "references"]
            cost = command_cost([*command, "--workers", workers])
            title = f"command, {CASES} cases, {workers} workers"
            show(title, cost.seconds, cost.cpu_seconds, cost.resident_bytes)


def show(title: str, seconds: float, cpu_seconds: float, peak_bytes: int) -> None:
    """Print one line."""
    print(f"{title:27}{seconds:6.2f}{cpu_seconds:14.2f}{peak_bytes / MIB:12.0f}", flush=True)


def in_own_process(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def make(folder: Path, shape: tuple[int, ...]) -> None:
    """Write the label maps, as arrays and as files of several cases."""
    from volumes import write_volume

    random = np.random.default_rng(SEED)
    reference = organs(shape, random)
    prediction = with_islands(deformed(reference, random), random)
    for kind, values in (("references", reference), ("predictions", prediction)):
        np.save(folder / f"{kind}.npy", values)
        write_volume(values, SPACING, folder / kind / "case_0.nii.gz")
        for case in range(1, CASES):
            (folder / kind / f"case_{case}.nii.gz").symlink_to(folder / kind / "case_0.nii.gz")


def organs(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Return label values 1 … 8 in rough ellipsoids, so large that they cover half of all."""
    depth = np.full(shape, np.inf, dtype=np.float32)
    nearest = np.zeros(shape, dtype=np.uint8)
    grid = [np.linspace(0, 1, size, dtype=np.float32) for size in shape]
    roughness = 0.1 * smooth(shape, 6, random)
    for label in range(1, 9):
        place = np.array([label - 1 >> 2 & 1, label - 1 >> 1 & 1, label - 1 & 1])
        centre = 0.27 + 0.46 * place + random.uniform(-0.03, 0.03, 3)
        radii = random.uniform(0.18, 0.28, 3)
        terms = [((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radii, strict=True)]
        away = terms[0][:, None, None] + terms[1][None, :, None] + terms[2] + roughness
        nearest[away < depth] = label
        np.minimum(depth, away, out=depth)
    edge = np.quantile(depth[::4, ::4, ::4], COVERED)
    return np.where(depth < edge, nearest, 0).astype(np.uint8)


def smooth(shape: tuple[int, ...], width: float, random: np.random.Generator) -> np.ndarray:
    """Return noise of standard deviation 1 that varies over some voxels of the full size."""
    from scipy import ndimage

    fewer = tuple(max(2, round(size / width)) for size in SHAPE)
    coarse = ndimage.gaussian_filter(random.normal(size=fewer).astype(np.float32), 1)
    factors = [size / few for size, few in zip(shape, fewer, strict=True)]
    fine = ndimage.zoom(coarse / coarse.std(), factors, order=1, grid_mode=True, mode="nearest")
    return np.asarray(fine)


def deformed(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return label values whose places are shifted by a few voxels, differently everywhere."""
    scale = DEFORMATION * values.shape[1] / SHAPE[1]
    shifts = [scale * smooth(values.shape, 40, random) for _ in range(3)]
    places = np.ogrid[tuple(slice(size) for size in values.shape)]
    source = tuple(
        np.clip(np.rint(place + shift), 0, size - 1).astype(np.int32)
        for place, shift, size in zip(places, shifts, values.shape, strict=True)
    )
    return values[source]


def with_islands(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return label values with a small ball of each somewhere else."""
    for label in range(1, 9):
        edge = max(3, values.shape[0] // 25)
        corner = [int(random.integers(0, size - edge)) for size in values.shape]
        values[tuple(slice(start, start + edge) for start in corner)] = label
    return values


def measure(folder: Path, metrics: tuple[str, ...]) -> tuple[Stopwatch, int]:
    """Return the time and peak memory of scoring the arrays."""
    from autoseg.evaluation.cases import Measurement, score_case
    from autoseg.evaluation.metrics import DEFAULT_METRICS

    arrays = [np.load(folder / f"{kind}.npy") for kind in ("predictions", "references")]
    chosen = Measurement(DEFAULT_METRICS if metrics == ("default",) else metrics)
    score = partial(score_case, "case", *arrays, spacing=SPACING, measurement=chosen)
    spent = timed(score) if metrics else Stopwatch()
    return spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


if __name__ == "__main__":
    main()
