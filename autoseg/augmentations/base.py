"""Base class of the augmentations: random changes of image patches and their labels.

All patches of a batch are changed together, as one tensor, on the device that holds them. Numbers
per patch (angles, factors …) are drawn on the CPU and are the same for every device. Numbers per
voxel are drawn on the device of the patches, which avoids a copy.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Float32, Int16
from numpy.typing import NDArray
from pydantic import BeforeValidator, SerializeAsAny
from torch import Tensor

from autoseg.core.device import to_device
from autoseg.core.frozen import Fraction
from autoseg.core.random import derived_seed
from autoseg.core.registry import Component, Family

PatchImages = Float32[Tensor, "patches channels *space"]
PatchLayers = Int16[Tensor, "patches layers *space"]
FlatImages = Float32[Tensor, "patches channels voxels"]
Factors: TypeAlias = NDArray[np.float64]
"""One random number per patch, or per patch and channel."""


class PatchContext(NamedTuple):
    """Geometry of the patches that an augmentation is applied to.

    Attributes:
        patch_shape: Size of the network's input, voxels.
        in_plane_only: Whether rotations and scalings must stay within planes because the first
            axis is too coarse (nnU-Net's "dummy 2-D" augmentation).
    """

    patch_shape: tuple[int, ...]
    in_plane_only: bool


@dataclass(frozen=True)
class Patches:
    """Patches of one size, on one device.

    Attributes:
        images: Intensities.
        layers: Class indices, and other integer maps that are transformed with them.
        highest: Largest value in `layers`; None if it is unknown on the CPU, in which case reading
            it synchronises with the device.
    """

    images: PatchImages
    layers: PatchLayers
    highest: int | None = None


@dataclass(frozen=True)
class RandomGenerators:
    """Random number generators of one batch.

    Attributes:
        per_patch: Generator of numbers per patch or channel, on the CPU.
        per_voxel: Generator of numbers per voxel, on the device of the patches.
    """

    per_patch: np.random.Generator
    per_voxel: torch.Generator


def random_generators(seed: int, device: torch.device) -> RandomGenerators:
    """Create the generators of one batch; they depend only on the seed."""
    per_voxel = torch.Generator(device=device).manual_seed(derived_seed(seed, "voxels"))
    return RandomGenerators(per_patch=np.random.default_rng(seed), per_voxel=per_voxel)


class Augmentation(Component):
    """Configuration of an augmentation.

    Attributes:
        probability: Probability that a patch is augmented.
        changes_cascade_input: Whether the augmentation changes the cascade input instead of the
            image. `apply` then receives the cascade input as `images`, one channel per class.
        needs_cpu: Whether it runs on the CPU alone. If a recipe has such an augmentation, batches
            are augmented by the processes that load them.
    """

    changes_cascade_input: ClassVar[bool] = False
    needs_cpu: ClassVar[bool] = False

    probability: Fraction = 1.0

    def chance(self) -> float:
        """Return the probability that a patch is augmented."""
        return self.probability

    def loaded_shape(self, context: PatchContext) -> tuple[int, ...]:
        """Return the size of the region to load per patch, voxels; by default the patch shape."""
        return context.patch_shape

    @abstractmethod
    def apply(
        self, patches: Patches, generators: RandomGenerators, context: PatchContext
    ) -> Patches:
        """Augment each patch with its own random parameters.

        Args:
            patches: Patches to augment, at least one, of size `loaded_shape`; may be overwritten.
            generators: Source of all random numbers.
            context: Geometry of the patches.

        Returns:
            The augmented patches, of size `context.patch_shape`.
        """


def flatten_voxels(images: PatchImages) -> FlatImages:
    """Return a view of the images with a single axis for all voxels."""
    return images.view(*images.shape[:2], -1)


def channel_factors(
    factors: Factors, images: PatchImages
) -> Float32[Tensor, "_patches _channels 1"]:
    """Copy factors to the device of the images, shaped to broadcast with `flatten_voxels`."""
    return to_device(factors.astype(np.float32), images.device)[..., None]


def draw_factors(
    generator: np.random.Generator, limits: tuple[float, float], images: PatchImages
) -> Float32[Tensor, "_patches _channels 1"]:
    """Draw a random factor per patch and channel, below and above 1 with equal probability.

    Args:
        generator: Source of the random numbers.
        limits: Smallest and largest factor. If both are on the same side of 1, the factors are
            drawn uniformly between them.
        images: Images that the factors are for, `patches channels *space`; their values are not
            used.

    Returns:
        The factors on the device of the images, shaped to broadcast with `flatten_voxels`.
    """
    (low, high), count = limits, images.shape[:2]
    below = generator.uniform(min(1.0, low), min(1.0, high), count)
    above = generator.uniform(max(1.0, low), max(1.0, high), count)
    is_below = (generator.random(count) < 0.5) | (high <= 1)
    return channel_factors(np.where(is_below & (low < 1), below, above), images)


AUGMENTATIONS: Family[Augmentation] = Family("augmentation")
AnyAugmentation = Annotated[SerializeAsAny[Augmentation], BeforeValidator(AUGMENTATIONS.parse)]
