"""Training batches, before and after augmentation, and their sampling parameters."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int, Integer

from autoseg.augmentations import AnyAugmentation, PatchContext
from autoseg.core.labels import LabelScheme
from autoseg.training.distance_maps import DistanceMapper, MapArrays

IN_PLANE_ANISOTROPY = 3.0
"""Ratio of the longest to the first edge of a patch above which it is only rotated in-plane."""


@dataclass(frozen=True)
class Sampling:
    """Sampling parameters of patches.

    Attributes:
        patch_shape: Shape of the network's output, voxels; 2-D patches are cut from slices.
        batch_size: Patches per batch.
        foreground_fraction: Share of each batch centred on a foreground voxel.
        masked_channels: Channels whose voxels outside the case's nonzero mask stay zero.
        augmentations: Augmentations in order; empty for validation.
        seed: Random seed.
        ignored_index: Class index of voxels without annotation; None if there are none.
        num_cascade_channels: Number of channels of the cascade input; 0 without a previous stage.
        margin: Additional voxels of images around the patch, per axis and side; empty for none.
        distance_mapper: Computes distance maps of label patches; None if the loss needs none.
        target_weights: Relative probability of each target to be the centre of a foreground patch;
            empty if all are equal.
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
    distance_mapper: DistanceMapper | None = None
    target_weights: tuple[float, ...] = ()

    @property
    def context(self) -> PatchContext:
        """Properties of the patches that augmentations need."""
        shape = self.patch_shape
        is_flat = len(shape) == 3 and max(shape) / shape[0] > IN_PLANE_ANISOTROPY
        margins = self.margin or (0,) * len(shape)
        input_shape = tuple(size + 2 * margin for size, margin in zip(shape, margins, strict=True))
        return PatchContext(patch_shape=input_shape, in_plane_only=is_flat)


def target_weights(
    frequencies: Sequence[float], labels: LabelScheme, power: float
) -> tuple[float, ...]:
    """Return the relative probability of each class or region to be the centre of a patch.

    It is the frequency to the power of -`power`, and 1 for targets that never occur.

    Args:
        frequencies: Share of each class among all voxels, background first.
        labels: Classes and regions of the dataset.
        power: Power, in [0, 1]; 0 returns an empty tuple: all are equal.
    """
    if power == 0:
        return ()
    shares = [sum(frequencies[index] for index in group) for group in labels.target_classes]
    return tuple(share**-power if share > 0 else 1.0 for share in shares)


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
        images: Normalised intensities, followed by the cascade input.
        labels: Class indices of the patch without its margin.
        maps: Distance maps of the labels; None if the loss needs none.
    """

    images: ImagePatches
    labels: LabelPatches
    maps: MapArrays | None = None


@dataclass(frozen=True)
class Regions:
    """Regions read for some patches of a batch: the patches, or larger regions to augment.

    Attributes:
        positions: Indices of the patches in their batch.
        first: Index of the augmentation that turns the regions into patches; None if they are
            patches.
        images: Intensities.
        layers: Class indices, followed by the nonzero mask if channels are masked, and by the
            cascade input if there is a previous stage.
        highest: Highest value in `layers` as seen by augmentations; None if `first` is None.
    """

    positions: Positions
    first: int | None
    images: ImageRegions
    layers: LayerRegions
    highest: int | None = None


@dataclass(frozen=True)
class UnaugmentedBatch:
    """A batch before augmentation, which runs on the CPU or on the device of the network.

    Attributes:
        sampling: Sampling parameters.
        regions: Regions, grouped by size.
        chosen: Mask of the augmentations to apply to each patch.
        seed: Random seed of the augmentations.
    """

    sampling: Sampling
    regions: tuple[Regions, ...]
    chosen: Choices
    seed: int


def augments_on_device(sampling: Sampling, device: torch.device) -> bool:
    """Return True if batches should be augmented on the device of the network.

    This is the case on CUDA, except for operations that only run on the CPU: computing distance
    maps, augmentations of the cascade input, and those of batchgenerators.
    """
    needs_cpu = (
        sampling.distance_mapper is not None
        or sampling.num_cascade_channels > 0
        or any(entry.needs_cpu for entry in sampling.augmentations)
    )
    return device.type == "cuda" and not needs_cpu
