"""Time prediction's two halves on this machine: networks over tiles, and scores to label map.

Run it with `python docs/benchmarks/prediction.py`, or with `network` or `export` for one half.

network: the sliding window over a random volume, against the bare network on the same tiles in the
same type, in turns, with few and with many classes and with and without mirrored views.
export: 61 classes on 80 × 192 × 192 voxels (3, 1.6, 1.6 mm) to labels of 160 × 384 × 384 voxels
(1.5, 0.8, 0.8 mm), of pure noise and of organs, each in a process of its own, with its peak
memory above that of the logits.

Seconds are wall-clock and, behind them, processor seconds, which other work disturbs less; medians
of 3 rounds. Seeds are 0.
"""

import argparse
import multiprocessing
import resource
from dataclasses import replace
from itertools import product

import numpy as np
import torch
from costs import KIB, MIB, medians, timed
from nnunet_rows.export import logits_of, restoration_of

from autoseg.architectures import Topology
from autoseg.architectures.unet import UNet
from autoseg.benchmarking.predicting import num_tiles, slabs
from autoseg.core.case import InverseTransform, PreparedImage
from autoseg.core.device import autocast, autocast_dtype, move_to_device
from autoseg.core.parallel import default_workers
from autoseg.inference.ensemble import Ensemble
from autoseg.inference.export import class_map
from autoseg.inference.heads import split_head
from autoseg.inference.sliding_window import predict_slabs
from autoseg.inference.tta_consistency import TtaConsistency

ROUNDS = 3
PATCH = (40, 56, 40)
VOLUME = (60, 84, 60)
SLAB_PLANES = 8


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
    restoration = InverseTransform.uncropped(VOLUME, (1.0, 1.0, 1.0))
    image = PreparedImage(voxels=voxels, restoration=restoration)
    tiles = torch.randn(num_tiles(VOLUME, PATCH), 1, *PATCH)
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
        pairs = [(timed(slide), timed(apply)) for _ in range(ROUNDS)]
        ours, floor = (medians(column) for column in zip(*pairs, strict=True))
        print(
            f"{num_classes:7} {views:6}  {ours.seconds:7.2f} s ({ours.cpu_seconds:.2f})  "
            f"{floor.seconds:10.2f} s ({floor.cpu_seconds:.2f})  "
            f"{ours.cpu_seconds / floor.cpu_seconds:8.2f}"
        )


def export(kind: str) -> None:
    """Print seconds and peak memory of one export."""
    logits, restoration = logits_of(kind, np.float32), restoration_of()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def once() -> None:
        parts = slabs(logits, SLAB_PLANES)
        class_map(parts, restoration, orders=(1, 1, 1), workers=default_workers())

    spent = medians([timed(once) for _ in range(ROUNDS)])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{kind:6} {spent.seconds:7.2f} s ({spent.cpu_seconds:.2f}), "
        f"{(peak - before) * KIB / MIB:.0f} MiB above the "
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
        for kind in ("noise", "organs"):
            process = multiprocessing.get_context("spawn").Process(target=export, args=(kind,))
            process.start()
            process.join()


if __name__ == "__main__":
    main()
