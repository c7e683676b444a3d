"""Time prediction's two halves on this machine: networks over tiles, and scores to label map.

Run it with `python docs/benchmarks/prediction.py`, or with `network` or `export` for one half.

network: the sliding window over a random volume, against the bare network on the same tiles in the
same type, in turns, with few and with many classes and with and without mirrored views.
export: 61 classes on 80 × 192 × 192 voxels (3, 1.6, 1.6 mm) to labels of 160 × 384 × 384 voxels
(1.5, 0.8, 0.8 mm), of pure noise and of smooth organs, each in a process of its own, with its peak
memory above that of the logits.

Seconds are wall-clock and, behind them, processor seconds, which other work disturbs less; medians
of 3 rounds. Seeds are 0.
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from statistics import median

import numpy as np
import torch
from scipy import ndimage

from autoseg.architectures import Topology
from autoseg.architectures.unet import UNet
from autoseg.core.case import InverseTransform, PreparedImage
from autoseg.core.device import autocast, autocast_dtype, move_to_device
from autoseg.core.parallel import default_workers
from autoseg.inference.ensemble import Ensemble
from autoseg.inference.export import class_map
from autoseg.inference.heads import split_head
from autoseg.inference.sliding_window import LogitsSlab, predict_slabs
from autoseg.inference.tiling import tile_starts
from autoseg.inference.tta_consistency import TtaConsistency

ROUNDS = 3
PATCH = (40, 56, 40)
VOLUME = (60, 84, 60)
COARSE, COARSE_SPACING = (80, 192, 192), (3.0, 1.6, 1.6)
FINE, FINE_SPACING = (160, 384, 384), (1.5, 0.8, 0.8)
NUM_CLASSES = 61
SLAB_PLANES = 8
MIB = 2**20

Spent = tuple[float, float]


def spent(action: Callable[[], object]) -> Spent:
    """Return the wall-clock and the processor seconds of one call."""
    wall, processor = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - processor


def medians(rounds: list[Spent]) -> Spent:
    """Return the median of either."""
    return median(entry[0] for entry in rounds), median(entry[1] for entry in rounds)


def way_back(coarse: tuple[int, ...], fine: tuple[int, ...]) -> InverseTransform:
    """Return the way from a grid to a finer one, without crop."""
    return InverseTransform.uncropped(fine, FINE_SPACING, coarse, COARSE_SPACING)


def ensemble_of(num_classes: int) -> Ensemble:
    """Return one network of random weights, as prediction loads it."""
    topology = Topology(
        patch_shape=PATCH, strides=((1,) * 3, *((2,) * 3,) * 3), kernels=((3,) * 3,) * 4
    )
    architecture = UNet.for_topology(topology, in_channels=1, num_classes=num_classes)
    torch.manual_seed(0)
    device = torch.device("cpu")
    network = move_to_device(architecture.build().eval(), device)
    return Ensemble(
        networks=(network,),
        device=device,
        dtype=autocast_dtype(device),
        patch_shape=PATCH,
        num_classes=num_classes,
        split_networks=split_head((network,), architecture),
    )


@torch.inference_mode()
def bare(ensemble: Ensemble, tiles: torch.Tensor, views: int) -> None:
    """Apply the whole network to every tile and view, and forget what it says."""
    for tile, _ in product(tiles, range(views)):
        with autocast(ensemble.device, ensemble.dtype):
            ensemble.networks[0](tile[None])


def compare_networks() -> None:
    """Print a line per number of classes and views."""
    print("classes  views   window              bare network        ratio (processor)")
    voxels = np.random.default_rng(0).standard_normal((1, *VOLUME)).astype(np.float32)
    image = PreparedImage(voxels=voxels, restoration=way_back(VOLUME, VOLUME))
    count = int(np.prod([len(tile_starts(*pair)) for pair in zip(VOLUME, PATCH, strict=True)]))
    tiles = torch.randn(count, 1, *PATCH)
    for num_classes, axes in product((3, 117), ((), (0, 1, 2))):
        plain = replace(ensemble_of(num_classes), mirror_axes=axes)
        agreement = TtaConsistency(num_classes, is_regional=False)
        ensemble = replace(plain, tta_consistency=agreement)
        views = 2 ** len(axes)

        def slide(chosen: Ensemble = ensemble) -> None:
            for _ in predict_slabs(chosen, image, tiles_per_batch=2):
                pass

        def apply(chosen: Ensemble = ensemble, views: int = views) -> None:
            bare(chosen, tiles, views)

        apply()
        pairs = [(spent(slide), spent(apply)) for _ in range(ROUNDS)]
        ours, floor = (medians(list(column)) for column in zip(*pairs, strict=True))
        print(
            f"{num_classes:7} {views:6}  {ours[0]:7.2f} s ({ours[1]:.2f})  "
            f"{floor[0]:10.2f} s ({floor[1]:.2f})  {ours[1] / floor[1]:8.2f}"
        )


def logits_of(kind: str) -> np.ndarray:
    """Return logits of noise, or of a blob per class in a background."""
    random = np.random.default_rng(0)
    if kind == "noise":
        return random.standard_normal((NUM_CLASSES, *COARSE), dtype=np.float32)
    logits = np.empty((NUM_CLASSES, *COARSE), dtype=np.float32)
    logits[0] = 3
    for index in range(1, NUM_CLASSES):
        seed = np.zeros(COARSE, dtype=np.float32)
        seed[tuple(random.integers(10, size - 10) for size in COARSE)] = 1
        blob = ndimage.gaussian_filter(seed, (4, 8, 8), truncate=3)
        logits[index] = 16 * blob / blob.max() - 8
    return logits


def slabs_of(logits: np.ndarray) -> Iterator[LogitsSlab]:
    """Yield the logits as the sliding window does."""
    for start in range(0, logits.shape[1], SLAB_PLANES):
        yield LogitsSlab(start=start, logits=logits[:, start : start + SLAB_PLANES])


def export(kind: str) -> None:
    """Print seconds and peak memory of one export."""
    logits = logits_of(kind)
    restoration, orders = way_back(COARSE, FINE), (1, 1, 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rounds = [
        spent(
            lambda: class_map(
                slabs_of(logits), restoration, orders=orders, workers=default_workers()
            )
        )
        for _ in range(ROUNDS)
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, processor = medians(rounds)
    print(
        f"{kind:6} {wall:7.2f} s ({processor:.2f}), {(peak - before) / 1024:.0f} MiB above the "
        f"{logits.nbytes / MIB:.0f} MiB of the logits (label map included)"
    )


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=("network", "export"))
    part = parser.parse_args().part
    if part != "export":
        compare_networks()
    if part != "network":
        for kind in ("noise", "smooth"):
            process = multiprocessing.get_context("spawn").Process(target=export, args=(kind,))
            process.start()
            process.join()


if __name__ == "__main__":
    main()
