"""Augment batches, on the CPU or on the device of the network."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int16
from torch import Tensor

from autoseg.augmentations import (
    AnyAugmentation,
    PatchContext,
    Patches,
    RandomGenerators,
    random_generators,
)
from autoseg.augmentations.base import PatchImages, PatchLayers
from autoseg.core.device import to_device
from autoseg.training.sampling import LayerRegions, Regions, Sampling, UnaugmentedBatch

PatchMask = Bool[np.ndarray, " batch"]
LabelPatches = Int16[Tensor, "batch *scored"]
CascadeChannels = Float32[Tensor, "batch classes *space"]


def augmented(
    unaugmented: UnaugmentedBatch, device: torch.device
) -> tuple[PatchImages, LabelPatches]:
    """Augment a batch and return its images and class indices.

    The channels of the cascade input follow the image channels. Class indices have no margin.
    Random numbers per patch depend on the batch alone, random numbers per voxel also on the type of
    device.
    """
    sampling, chosen = unaugmented.sampling, unaugmented.chosen.copy()
    draws = random_generators(unaugmented.seed, device)
    patches = _joined(unaugmented, draws, device)
    for regions in unaugmented.regions:
        if regions.first is not None:  # already applied by `_as_patches`
            chosen[regions.positions, regions.first] = False
    for entry, mask in zip(sampling.augmentations, chosen.T, strict=True):
        if not entry.changes_cascade_input:
            patches = _applied(entry, patches, mask, draws, sampling.context)
    images, layers = patches.images, patches.layers
    if sampling.masked_channels:
        inside = layers[:, 1:2] > 0
        for channel in sampling.masked_channels:  # an index list would be copied to the device
            images[:, channel : channel + 1] *= inside
    if sampling.num_cascade_channels:
        images = torch.cat([images, _cascade_channels(layers, unaugmented, draws)], dim=1)
    labels = outside_last(layers[:, :1], sampling)[:, 0]
    return images, labels[(slice(None), *(slice(edge, -edge or None) for edge in sampling.margin))]


def _joined(
    unaugmented: UnaugmentedBatch, draws: RandomGenerators, device: torch.device
) -> Patches:
    """Return all patches of a batch in their order; larger regions are augmented to patches."""
    parts = [
        _as_patches(regions, unaugmented.sampling, draws, device) for regions in unaugmented.regions
    ]
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(np.concatenate([regions.positions for regions in unaugmented.regions]))
    rows = to_device(order, device)
    images = torch.cat([part.images for part in parts])[rows]
    return Patches(images, torch.cat([part.layers for part in parts])[rows])


def _as_patches(
    regions: Regions, sampling: Sampling, draws: RandomGenerators, device: torch.device
) -> Patches:
    layers = outside_first(to_device(regions.layers, device), sampling)
    patches = Patches(to_device(regions.images, device), layers, regions.highest)
    if regions.first is None:
        return patches
    return sampling.augmentations[regions.first].apply(patches, draws, sampling.context)


def _applied(
    entry: AnyAugmentation,
    patches: Patches,
    mask: PatchMask,
    draws: RandomGenerators,
    context: PatchContext,
) -> Patches:
    """Apply an augmentation to the patches in `mask`; the input may be overwritten."""
    if not mask.any():
        return patches
    if mask.all():
        return entry.apply(patches, draws, context)
    rows = to_device(np.flatnonzero(mask), patches.images.device)
    changed = entry.apply(Patches(patches.images[rows], patches.layers[rows]), draws, context)
    patches.images[rows] = changed.images
    patches.layers[rows] = changed.layers
    return patches


def _cascade_channels(
    layers: PatchLayers, unaugmented: UnaugmentedBatch, draws: RandomGenerators
) -> CascadeChannels:
    """Return the cascade input as one channel per foreground class, augmented."""
    sampling = unaugmented.sampling
    classes = torch.arange(1, sampling.num_cascade_channels + 1, device=layers.device)
    channels = (layers[:, -1:] == classes.view(-1, *[1] * (layers.ndim - 2))).float()
    patches = Patches(channels, layers[:, :0])
    for entry, mask in zip(sampling.augmentations, unaugmented.chosen.T, strict=True):
        if entry.changes_cascade_input:
            patches = _applied(entry, patches, mask, draws, sampling.context)
    return patches.images


def outside_first(layers: PatchLayers, sampling: Sampling) -> PatchLayers:
    """Shift labels so that 0, the padding value of augmentations, is the ignored index if any."""
    if sampling.ignored_index is not None:
        layers[:, 0] = (layers[:, 0] + 1) % (sampling.ignored_index + 1)
    return layers


def highest_value(layers: LayerRegions, sampling: Sampling) -> int:
    """Return the highest value in layers after `outside_first`.

    Computed on the CPU, where layers are read, so that the device need not synchronise.
    """
    ignored = sampling.ignored_index
    if ignored is None:
        return int(layers.max())
    labels = layers[:, 0]
    others = int(layers[:, 1:].max(initial=0))
    return max(others, int(labels.max(where=labels != ignored, initial=-1)) + 1)


def outside_last(labels: PatchLayers, sampling: Sampling) -> PatchLayers:
    """Undo `outside_first`."""
    if sampling.ignored_index is None:
        return labels
    return (labels - 1) % (sampling.ignored_index + 1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread in a block like worker processes, so that sums are identical."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
