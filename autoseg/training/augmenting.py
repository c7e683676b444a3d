"""From what was read to patches: all random changes, on the processor or where the network is."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int16
from torch import Tensor

from autoseg.augmentations import AnyAugmentation, Draws, PatchContext, Patches, draws_of
from autoseg.augmentations.base import PatchImages, PatchLayers
from autoseg.core.device import to_device
from autoseg.training.sampling import LayerRegions, Regions, Sampling, UnaugmentedBatch

Which = Bool[np.ndarray, " batch"]
LabelPatches = Int16[Tensor, "batch *scored"]
CascadeChannels = Float32[Tensor, "batch classes *space"]


def augmented(
    unaugmented: UnaugmentedBatch, device: torch.device
) -> tuple[PatchImages, LabelPatches]:
    """Return images and class indices of a batch, after their augmentations.

    Images have the channels of a previous stage's prediction after their own; class indices have no
    margin. All that is drawn per patch depends on the batch alone, what is drawn per voxel also on
    the kind of device.
    """
    sampling, chosen = unaugmented.sampling, unaugmented.chosen.copy()
    draws = draws_of(unaugmented.seed, device)
    patches = _joined(unaugmented, draws, device)
    for regions in unaugmented.regions:
        if regions.first is not None:  # is done
            chosen[regions.positions, regions.first] = False
    for entry, which in zip(sampling.augmentations, chosen.T, strict=True):
        if not entry.changes_cascade_input:
            patches = _applied(entry, patches, which, draws, sampling.context)
    images, layers = patches.images, patches.layers
    if sampling.masked_channels:
        inside = layers[:, 1:2] > 0
        for channel in sampling.masked_channels:  # a list of them would have to be copied there
            images[:, channel : channel + 1] *= inside
    if sampling.num_cascade_channels:
        images = torch.cat([images, _cascade_channels(layers, unaugmented, draws)], dim=1)
    labels = _outside_last(layers[:, :1], sampling)[:, 0]
    return images, labels[(slice(None), *(slice(edge, -edge or None) for edge in sampling.margin))]


def _joined(unaugmented: UnaugmentedBatch, draws: Draws, device: torch.device) -> Patches:
    """Return patches of one size, in their order; larger regions have become patches."""
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
    regions: Regions, sampling: Sampling, draws: Draws, device: torch.device
) -> Patches:
    layers = _outside_first(to_device(regions.layers, device), sampling)
    patches = Patches(to_device(regions.images, device), layers, regions.highest)
    if regions.first is None:
        return patches
    return sampling.augmentations[regions.first].apply(patches, draws, sampling.context)


def _applied(
    entry: AnyAugmentation, patches: Patches, which: Which, draws: Draws, context: PatchContext
) -> Patches:
    """Return the patches, of which some got an augmentation; they may be overwritten."""
    if not which.any():
        return patches
    if which.all():
        return entry.apply(patches, draws, context)
    rows = to_device(np.flatnonzero(which), patches.images.device)
    changed = entry.apply(Patches(patches.images[rows], patches.layers[rows]), draws, context)
    patches.images[rows] = changed.images
    patches.layers[rows] = changed.layers
    return patches


def _cascade_channels(
    layers: PatchLayers, unaugmented: UnaugmentedBatch, draws: Draws
) -> CascadeChannels:
    """Return the previous stage's prediction as channels, after the augmentations of it."""
    sampling = unaugmented.sampling
    classes = torch.arange(1, sampling.num_cascade_channels + 1, device=layers.device)
    channels = (layers[:, -1:] == classes.view(-1, *[1] * (layers.ndim - 2))).float()
    patches = Patches(channels, layers[:, :0])
    for entry, which in zip(sampling.augmentations, unaugmented.chosen.T, strict=True):
        if entry.changes_cascade_input:
            patches = _applied(entry, patches, which, draws, sampling.context)
    return patches.images


def _outside_first(layers: PatchLayers, sampling: Sampling) -> PatchLayers:
    """Return labels of which 0 is what augmentations find outside a region: ignored, if any is."""
    if sampling.ignored_index is not None:
        layers[:, 0] = (layers[:, 0] + 1) % (sampling.ignored_index + 1)
    return layers


def highest_value(layers: LayerRegions, sampling: Sampling) -> int:
    """Return the highest value in layers, once `_outside_first` has changed them.

    Found here, where they are read, nobody has to wait until a device has found it.
    """
    ignored = sampling.ignored_index
    if ignored is None:
        return int(layers.max())
    labels = layers[:, 0]
    others = int(layers[:, 1:].max(initial=0))
    return max(others, int(labels.max(where=labels != ignored, initial=-1)) + 1)


def _outside_last(labels: PatchLayers, sampling: Sampling) -> PatchLayers:
    """Undo `_outside_first`."""
    if sampling.ignored_index is None:
        return labels
    return (labels - 1) % (sampling.ignored_index + 1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread in a block, as worker processes do: sums then come out the same."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
