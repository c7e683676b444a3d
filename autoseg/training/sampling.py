"""What a training batch is, how it is to be drawn, and what it is before it is augmented."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int, Integer

from autoseg.augmentations import AnyAugmentation, PatchContext
from autoseg.training.distance_maps import MapArrays, Measure

IN_PLANE_ANISOTROPY = 3.0
"""Longest over first edge of a patch beyond which it is only rotated within planes."""


@dataclass(frozen=True)
class Sampling:
    """How patches are drawn.

    Attributes:
        patch_shape: Size of what the network scores, voxels; 2-D patches are cut from slices.
        batch_size: Patches per batch.
        foreground_fraction: Share of each batch centred on a foreground voxel.
        masked_channels: Channels whose voxels outside the case's mask stay zero.
        augmentations: Random changes, in order; none for validation.
        seed: Of all draws.
        ignored_index: Class index of voxels that nobody annotated, if there are any.
        num_cascade_channels: Channels that the previous stage's prediction gives; 0 without one.
        margin: Voxels per axis and side that images have around the patch; empty for none.
        measure: What measures distances in label patches; None if the loss needs none.
    """

    patch_shape: tuple[int, ...]
    batch_size: int
    foreground_fraction: float
    masked_channels: tuple[int, ...]
    augmentations: tuple[AnyAugmentation, ...]
    seed: int
    ignored_index: int | None = None
    num_cascade_channels: int = 0
    margin: tuple[int, ...] = ()
    measure: Measure | None = None

    @property
    def context(self) -> PatchContext:
        """What augmentations know about the patches."""
        shape = self.patch_shape
        flat = len(shape) == 3 and max(shape) / shape[0] > IN_PLANE_ANISOTROPY
        around = self.margin or (0,) * len(shape)
        given = tuple(size + 2 * margin for size, margin in zip(shape, around, strict=True))
        return PatchContext(patch_shape=given, in_plane_only=flat)


ImagePatches = Float32[np.ndarray, "batch channels *space"]
LabelPatches = Integer[np.ndarray, "batch *scored"]
ImageRegions = Float32[np.ndarray, "regions channels *loaded"]
LayerRegions = Integer[np.ndarray, "regions layers *loaded"]
Choices = Bool[np.ndarray, "batch augmentations"]
Positions = Int[np.ndarray, " count"]


@dataclass(frozen=True)
class Batch:
    """Patches for one step.

    Attributes:
        images: Normalised intensities, and after them what the previous stage predicted.
        labels: Class indices, of the patch without its margin.
        maps: What the loss wants to know about distances in them; None for most losses.
    """

    images: ImagePatches
    labels: LabelPatches
    maps: MapArrays | None = None


@dataclass(frozen=True)
class Regions:
    """What was read for some patches of a batch: the patches, or the larger regions they need.

    Attributes:
        positions: Of the patches in their batch.
        first: Which augmentation makes patches out of the regions; None where they are patches.
        images: Intensities.
        layers: Class indices; then the case's mask, if channels are masked; then what the previous
            stage predicted, if there is one.
        highest: Highest value in `layers` as augmentations see them; None where `first` is None.
    """

    positions: Positions
    first: int | None
    images: ImageRegions
    layers: LayerRegions
    highest: int | None = None


@dataclass(frozen=True)
class UnaugmentedBatch:
    """A batch before it is augmented; that happens here, or on the device that trains.

    Attributes:
        sampling: How it was drawn.
        regions: By size.
        chosen: Which patch gets which augmentation.
        seed: Of the augmentations.
    """

    sampling: Sampling
    regions: tuple[Regions, ...]
    chosen: Choices
    seed: int


def augments_on_device(sampling: Sampling, device: torch.device) -> bool:
    """Return whether batches are better augmented where they are trained on.

    So they are on CUDA, but for what only the processor can do: measuring distances in label
    patches, and the augmentations of what a previous stage predicted.
    """
    needs_processor = sampling.measure is not None or sampling.num_cascade_channels > 0
    return device.type == "cuda" and not needs_processor
