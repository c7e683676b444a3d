"""Time the sliding window and the way back to the original grid."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, prod
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Float32

from autoseg.benchmarking.devices import lack_of_memory, synchronize
from autoseg.benchmarking.preparing import prepared_cases
from autoseg.benchmarking.sample import Sample
from autoseg.benchmarking.timing import RowLabel, TimeLimit, in_turns, throughput
from autoseg.core.arrays import LabelArray
from autoseg.core.case import InverseTransform, PreparedImage
from autoseg.core.device import (
    Precision,
    autocast,
    autocast_dtype,
    choose_device,
    naming_lack_of_memory,
    on_device,
)
from autoseg.core.parallel import default_workers
from autoseg.documents.bench import Throughput
from autoseg.documents.plan import Configuration
from autoseg.inference.ensemble import Ensemble
from autoseg.inference.export import class_map
from autoseg.inference.model import ensemble_of
from autoseg.inference.padding import Padding
from autoseg.inference.prediction import export_orders
from autoseg.inference.sliding_window import LogitsSlab, predict_slabs
from autoseg.inference.tiling import tile_starts
from autoseg.preprocessing.storage import StoredCase

MOST_LOGIT_BYTES = 256 * 2**20
"""Of larger cases, the first planes are exported alone."""

SLAB_PLANES = 16
"""Planes of logits that are handed to the export together."""

CONFIDENT = 6.0
"""Logit of a voxel's own class above the others, as of a trained network away from borders."""

Logits = Float32[np.ndarray, "classes planes rows columns"]


@dataclass(frozen=True)
class TimedWindow:
    """Networks and the part of an image that they are timed on.

    Attributes:
        ensemble: One untrained network.
        image: Prepared; only as large as time allows.
        tiles_per_batch: As `predict` takes them.
        num_tiles: Tiles of the image.
        num_flips: Mirrored views of each.
    """

    ensemble: Ensemble
    image: PreparedImage
    tiles_per_batch: int
    num_tiles: int
    num_flips: int


def prediction(
    sample: Sample,
    configuration: Configuration,
    time_limit: TimeLimit,
    *,
    device: str,
    precision: Precision,
) -> Throughput:
    """Return how fast tiles pass through the sliding window; cases must be prepared."""
    with naming_lack_of_memory(lack_of_memory(choose_device(device), configuration.name)):
        window = _window(sample, configuration, time_limit, device=device, precision=precision)
    views = "view" if window.num_flips == 1 else "mirrored views"
    label = RowLabel(
        stage="prediction",
        unit="tiles",
        measured_is=f"sliding window over {window.num_tiles} tiles, {window.num_flips} {views} of "
        "each",
        floor_is="bare network, as many tiles",
        configuration=configuration.name,
    )

    def slide() -> None:
        for _ in predict_slabs(
            window.ensemble, window.image, tiles_per_batch=window.tiles_per_batch
        ):
            pass

    def apply_network() -> None:
        _bare(window, window.num_tiles, window.num_flips)

    pairs = in_turns(slide, apply_network, time_limit)
    return throughput(pairs, float(window.num_tiles), label)


def export(sample: Sample, configuration: Configuration, time_limit: TimeLimit) -> Throughput:
    """Return how fast logits become the label map of an image; cases must be prepared.

    Counted are those of the label map's grid: its voxels times the classes.
    """
    case = max(prepared_cases(sample, configuration), key=lambda case: prod(case.shape))
    num_classes = configuration.architecture.num_classes
    classes, restoration = _exported_part(case, num_classes)
    is_regional = bool(sample.plan.labels.regions)
    logits = confident_logits(classes, num_classes, first=int(is_regional))
    copied = np.ones_like(logits)
    orders = export_orders(restoration, configuration.resampling)
    label = RowLabel(
        stage="export",
        unit="Mlogit",
        measured_is=f"{num_classes} classes on {' × '.join(map(str, classes.shape))} to the label "
        f"map of {' × '.join(map(str, restoration.full_shape))}, {default_workers()} threads",
        floor_is="a copy of the logits",
        configuration=configuration.name,
    )

    def write_back() -> None:
        class_map(
            _slabs(logits),
            restoration,
            orders=orders,
            workers=default_workers(),
            is_regional=is_regional,
        )

    amount = num_classes * prod(restoration.full_shape) / 1e6
    pairs = in_turns(write_back, partial(np.copyto, copied, logits), time_limit)
    return throughput(pairs, amount, label)


def num_tiles(shape: tuple[int, ...], patch_shape: tuple[int, ...]) -> int:
    """Return how many tiles cover an image; a 2-D patch covers each plane of a volume.

    Args:
        shape: Of the prepared image, voxels.
        patch_shape: Of the network; as many axes or one less.
    """
    patch = (1,) * (len(shape) - len(patch_shape)) + patch_shape
    framed = Padding.around(shape, patch).shape
    return prod(len(tile_starts(size, edge)) for size, edge in zip(framed, patch, strict=True))


def affordable_shape(
    shape: tuple[int, ...], patch_shape: tuple[int, ...], most_tiles: int
) -> tuple[int, ...]:
    """Return the size of an image's first part that has no more tiles, or else a single one.

    The axis with the most tiles is halved until it fits.
    """
    patch = (1,) * (len(shape) - len(patch_shape)) + patch_shape
    sizes = list(shape)
    while num_tiles(tuple(sizes), patch_shape) > most_tiles:
        excess = [size / edge for size, edge in zip(sizes, patch, strict=True)]
        axis = excess.index(max(excess))
        if sizes[axis] <= patch[axis]:
            break
        sizes[axis] = max(patch[axis], ceil(sizes[axis] / 2))
    return tuple(sizes)


def confident_logits(classes: LabelArray, num_classes: int, *, first: int = 0) -> Logits:
    """Return logits as of a network that is right and sure of it.

    Args:
        classes: Class index of every voxel; 2 or 3 axes.
        num_classes: Outputs of the network; the classes beyond, which are ignored, have none.
        first: Class of the first output; 1 for regions, none of which is background.
    """
    volume = classes.reshape((1,) * (3 - classes.ndim) + classes.shape)
    logits: Logits = np.zeros((num_classes, *volume.shape), np.float32)
    for index in range(num_classes):
        logits[index][volume == index + first] = CONFIDENT
    return logits


def _window(
    sample: Sample,
    configuration: Configuration,
    time_limit: TimeLimit,
    *,
    device: str,
    precision: Precision,
) -> TimedWindow:
    chosen = choose_device(device)
    network = on_device(configuration.architecture.build(), chosen)
    dtype = autocast_dtype(chosen, precision)
    ensemble = ensemble_of((network,), configuration, device=chosen, dtype=dtype)
    axes = configuration.mirror_axes
    case = max(prepared_cases(sample, configuration), key=lambda case: prod(case.shape))
    tiles = num_tiles(case.shape, ensemble.patch_shape)
    whole = TimedWindow(
        ensemble=replace(ensemble, mirror_axes=axes),
        image=PreparedImage(voxels=case.read_image(), restoration=case.record.restoration),
        tiles_per_batch=min(configuration.batch_size, tiles),
        num_tiles=tiles,
        num_flips=2 ** len(axes),
    )
    return _affordable(whole, time_limit)


def _affordable(window: TimedWindow, time_limit: TimeLimit) -> TimedWindow:
    """Return the window over the first part of its image that a repeat has the time for."""
    _bare(window, window.tiles_per_batch, 1)
    begun = perf_counter()
    _bare(window, window.tiles_per_batch, 1)
    seconds = (perf_counter() - begun) * window.num_flips / window.tiles_per_batch
    most = max(window.tiles_per_batch, int(time_limit.seconds / time_limit.repeats / seconds))
    patch = window.ensemble.patch_shape
    shape = affordable_shape(window.image.voxels.shape[1:], patch, most)
    box = tuple(slice(size) for size in shape)
    voxels = np.ascontiguousarray(window.image.voxels[:, *box])
    image = replace(window.image, voxels=voxels)
    return replace(window, image=image, num_tiles=num_tiles(shape, patch))


@torch.inference_mode()
def _bare(window: TimedWindow, tiles: int, views: int) -> None:
    """Apply the network to as many tiles, zeros on the device, once for each view."""
    ensemble = window.ensemble
    around = ensemble.margin or (0,) * len(ensemble.patch_shape)
    shape = [size + 2 * edge for size, edge in zip(ensemble.patch_shape, around, strict=True)]
    channels = len(window.image.voxels)
    batch = torch.zeros(window.tiles_per_batch, channels, *shape, device=ensemble.device)
    for done in range(0, tiles, window.tiles_per_batch):
        for _ in range(views):
            with autocast(ensemble.device, ensemble.dtype):
                ensemble.networks[0](batch[: tiles - done])
    synchronize(ensemble.device)


def _exported_part(case: StoredCase, num_classes: int) -> tuple[LabelArray, InverseTransform]:
    """Return the classes of a case's first planes, as many as memory allows, and their way back.

    Without the nonzero crop and the turn of axes, which only move what is found.
    """
    way = case.record.restoration
    planes = way.prepared_shape[0]
    plane_bytes = 4 * num_classes * prod(way.prepared_shape[1:])
    kept = planes if len(way.prepared_shape) == 2 else min(planes, MOST_LOGIT_BYTES // plane_bytes)
    kept = max(1, kept)
    full = (max(1, round(way.cropped_shape[0] * kept / planes)), *way.cropped_shape[1:])
    part = replace(
        way,
        axis_order=tuple(range(len(full))),
        full_shape=full,
        crop=tuple((0, size) for size in full),
        prepared_shape=(kept, *way.prepared_shape[1:]),
    )
    return case.read_classes()[:kept], part


def _slabs(logits: Logits) -> Iterator[LogitsSlab]:
    """Yield logits as the sliding window hands them over."""
    for start in range(0, logits.shape[1], SLAB_PLANES):
        yield LogitsSlab(start=start, logits=logits[:, start : start + SLAB_PLANES])
