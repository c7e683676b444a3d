"""Time the sliding window and the export to the original grid."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, prod
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Float32

from autoseg.benchmarking.devices import out_of_memory_error, synchronize
from autoseg.benchmarking.target import Target
from autoseg.benchmarking.timing import TimeLimit, time_row
from autoseg.core.arrays import LabelArray
from autoseg.core.case import InverseTransform, PreparedImage
from autoseg.core.device import (
    autocast,
    autocast_dtype,
    choose_device,
    move_to_device,
    replace_out_of_memory_error,
)
from autoseg.core.formatting import format_shape
from autoseg.core.parallel import default_workers
from autoseg.documents.bench import Throughput
from autoseg.inference.blending import LogitsSlab
from autoseg.inference.ensemble import Ensemble, build_ensemble
from autoseg.inference.export import class_map
from autoseg.inference.prediction import export_orders
from autoseg.inference.sliding_window import predict_slabs
from autoseg.inference.tiling import Padding, tile_starts
from autoseg.preprocessing.storage import StoredCase

MOST_LOGIT_BYTES = 256 * 2**20
"""Of cases with more logits, only the first planes are exported."""

SLAB_PLANES = 16
"""Planes of logits per slab that is passed to the export."""

CONFIDENT = 6.0
"""Margin of the true class's logit, as a trained network gives it away from class borders."""

Logits = Float32[np.ndarray, "classes planes rows columns"]


@dataclass(frozen=True)
class TimedWindow:
    """A network and the part of an image that it is timed on.

    Attributes:
        ensemble: Ensemble of one untrained network.
        image: Prepared image, cropped to a size that the time limit allows.
        tiles_per_batch: Tiles per batch, as in `predict`.
        num_tiles: Number of tiles of the image.
        num_flips: Number of mirrored views of each tile.
    """

    ensemble: Ensemble
    image: PreparedImage
    tiles_per_batch: int
    num_tiles: int
    num_flips: int


def time_prediction(target: Target) -> Throughput:
    """Time how fast the sliding window predicts tiles."""
    device = choose_device(target.compute.device)
    with replace_out_of_memory_error(out_of_memory_error(device, target.configuration.name)):
        window = _window(target, device)
    views = "view" if window.num_flips == 1 else "mirrored views"
    label = target.label(
        "prediction",
        "tiles",
        measured_is=f"sliding window over {window.num_tiles} tiles, {window.num_flips} {views} of "
        "each",
        floor_is="bare network, same number of tiles",
    )

    def slide() -> None:
        for _ in predict_slabs(
            window.ensemble, window.image, tiles_per_batch=window.tiles_per_batch
        ):
            pass

    bare = partial(_apply_bare_network, window, window.num_tiles, window.num_flips)
    return time_row(label, float(window.num_tiles), slide, bare, target.time_limit)


def time_export(target: Target) -> Throughput:
    """Time how fast logits are exported to a label map.

    The amount of work is counted in logits on the label map's grid: voxels times classes.
    """
    num_classes = target.configuration.architecture.num_classes
    classes, restoration = _exported_part(target.largest_case, num_classes)
    is_regional = bool(target.sample.project.plan.labels.regions)
    logits = confident_logits(classes, num_classes, first=int(is_regional))
    copied = np.ones_like(logits)
    orders = export_orders(restoration, target.configuration.resampling)
    label = target.label(
        "export",
        "Mlogit",
        measured_is=f"{num_classes} classes on {format_shape(classes.shape)} to the label "
        f"map of {format_shape(restoration.full_shape)}, {default_workers()} threads",
        floor_is="a copy of the logits",
    )

    def write_back() -> None:
        class_map(
            slabs(logits, SLAB_PLANES),
            restoration,
            orders=orders,
            workers=default_workers(),
            is_regional=is_regional,
        )

    amount = num_classes * prod(restoration.full_shape) / 1e6
    floor = partial(np.copyto, copied, logits)
    return time_row(label, amount, write_back, floor, target.time_limit)


def num_tiles(shape: tuple[int, ...], patch_shape: tuple[int, ...]) -> int:
    """Count the tiles of an image; with a 2-D patch, those of all planes of a volume.

    Args:
        shape: Shape of the prepared image, voxels.
        patch_shape: Patch shape of the network, with the same number of axes or one fewer.
    """
    patch = (1,) * (len(shape) - len(patch_shape)) + patch_shape
    padded = Padding.around(shape, patch).shape
    return prod(len(tile_starts(size, edge)) for size, edge in zip(padded, patch, strict=True))


def affordable_shape(
    shape: tuple[int, ...], patch_shape: tuple[int, ...], most_tiles: int
) -> tuple[int, ...]:
    """Return the shape of an image part with at most `most_tiles` tiles, or with one tile.

    The axis with the most tiles is halved until the part is small enough.

    Args:
        shape: Shape of the prepared image, voxels.
        patch_shape: Patch shape of the network, with the same number of axes or one fewer.
        most_tiles: Largest number of tiles.
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
    """Build the logits of a network that predicts the given classes with high confidence.

    Args:
        classes: Class index of every voxel, 2 or 3 axes.
        num_classes: Number of outputs of the network; higher class indices are ignored.
        first: Class index of the first output; 1 for regions, because they have no background.
    """
    volume = classes.reshape((1,) * (3 - classes.ndim) + classes.shape)
    logits: Logits = np.zeros((num_classes, *volume.shape), np.float32)
    for index in range(num_classes):
        logits[index][volume == index + first] = CONFIDENT
    return logits


def _window(target: Target, device: torch.device) -> TimedWindow:
    configuration, case = target.configuration, target.largest_case
    network = move_to_device(configuration.architecture.build(), device)
    dtype = autocast_dtype(device, target.compute.precision)
    axes = configuration.mirror_axes
    ensemble = build_ensemble(
        (network,), configuration, device=device, dtype=dtype, mirror_axes=axes
    )
    tiles = num_tiles(case.shape, ensemble.patch_shape)
    whole = TimedWindow(
        ensemble=ensemble,
        image=PreparedImage(voxels=case.read_image(), restoration=case.record.restoration),
        tiles_per_batch=min(configuration.batch_size, tiles),
        num_tiles=tiles,
        num_flips=2 ** len(axes),
    )
    return _affordable(whole, target.time_limit)


def _affordable(window: TimedWindow, time_limit: TimeLimit) -> TimedWindow:
    """Crop the image of a window to the size that one repeat has time for."""
    _apply_bare_network(window, window.tiles_per_batch, 1)
    start = perf_counter()
    _apply_bare_network(window, window.tiles_per_batch, 1)
    seconds = (perf_counter() - start) * window.num_flips / window.tiles_per_batch
    most = max(window.tiles_per_batch, int(time_limit.seconds / time_limit.repeats / seconds))
    patch = window.ensemble.patch_shape
    shape = affordable_shape(window.image.voxels.shape[1:], patch, most)
    voxels = np.ascontiguousarray(window.image.voxels[:, *map(slice, shape)])
    image = replace(window.image, voxels=voxels)
    return replace(window, image=image, num_tiles=num_tiles(shape, patch))


@torch.inference_mode()
def _apply_bare_network(window: TimedWindow, tiles: int, views: int) -> None:
    """Apply the network to tiles of zeros on the device, once per view."""
    ensemble = window.ensemble
    around = ensemble.margin or (0,) * len(ensemble.patch_shape)
    shape = [size + 2 * edge for size, edge in zip(ensemble.patch_shape, around, strict=True)]
    channels = window.image.voxels.shape[0]
    batch = torch.zeros(window.tiles_per_batch, channels, *shape, device=ensemble.device)
    for done in range(0, tiles, window.tiles_per_batch):
        for _ in range(views):
            with autocast(ensemble.device, ensemble.dtype):
                ensemble.networks[0](batch[: tiles - done])
    synchronize(ensemble.device)


def _exported_part(case: StoredCase, num_classes: int) -> tuple[LabelArray, InverseTransform]:
    """Return the classes of a case's first planes, as memory allows, and their inverse transform.

    The nonzero crop and the permutation of axes are omitted: they only move values.
    """
    transform = case.record.restoration
    planes = transform.prepared_shape[0]
    plane_bytes = 4 * num_classes * prod(transform.prepared_shape[1:])
    kept = planes
    if len(transform.prepared_shape) == 3:
        kept = max(1, min(planes, MOST_LOGIT_BYTES // plane_bytes))
    part = InverseTransform.uncropped(
        (max(1, round(transform.cropped_shape[0] * kept / planes)), *transform.cropped_shape[1:]),
        transform.spacing,
        (kept, *transform.prepared_shape[1:]),
        transform.prepared_spacing,
    )
    return case.read_classes()[:kept], part


def slabs(logits: Logits, planes: int) -> Iterator[LogitsSlab]:
    """Yield logits in slabs of some planes, as the sliding window does."""
    for start in range(0, logits.shape[1], planes):
        yield LogitsSlab(start=start, logits=logits[:, start : start + planes])
