"""What an augmentation is: a random change of image patches and their labels.

Patches are changed together, as one tensor, on whatever device they are. What is drawn per patch
(angles, factors …) comes from the processor's generator and is the same on every device; what is
drawn per voxel comes from a generator of the device, so that nothing is copied.
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
Rows = Float32[Tensor, "patches channels voxels"]
Factors: TypeAlias = NDArray[np.float64]
"""One random number per patch, or per patch and channel."""


class PatchContext(NamedTuple):
    """What an augmentation may know about the patches it works on.

    Attributes:
        patch_shape: Size of the network's input, voxels.
        in_plane_only: Whether the first axis is so coarse that rotations and scalings must stay
            within planes (nnU-Net's "dummy 2-D" augmentation).
    """

    patch_shape: tuple[int, ...]
    in_plane_only: bool


@dataclass(frozen=True)
class Patches:
    """Patches of one size, on one device.

    Attributes:
        images: Intensities.
        layers: Class indices, and other maps of whole numbers that move with them.
        highest: Highest value in `layers`; None if only the device could tell, which waits.
    """

    images: PatchImages
    layers: PatchLayers
    highest: int | None = None


@dataclass(frozen=True)
class Draws:
    """Where random numbers come from.

    Attributes:
        numbers: Of what is drawn per patch or channel.
        voxels: Of what is drawn per voxel; on the device of the patches.
    """

    numbers: np.random.Generator
    voxels: torch.Generator


def draws_of(seed: int, device: torch.device) -> Draws:
    """Return generators that depend on the seed alone."""
    voxels = torch.Generator(device=device).manual_seed(derived_seed(seed, "voxels"))
    return Draws(numbers=np.random.default_rng(seed), voxels=voxels)


class Augmentation(Component):
    """Configuration of one random change.

    Attributes:
        probability: Chance that a patch gets it.
        changes_cascade_input: Whether it changes the cascade input, which is the prediction of the
            previous stage as channels, instead of the image; it then gets these as `images`.
    """

    changes_cascade_input: ClassVar[bool] = False

    probability: Fraction = 1.0

    def chance(self) -> float:
        """Return the probability that a patch gets this augmentation."""
        return self.probability

    def loaded_shape(self, context: PatchContext) -> tuple[int, ...]:
        """Return how large a region it needs to make one patch from; most need the patch itself."""
        return context.patch_shape

    @abstractmethod
    def apply(self, patches: Patches, draws: Draws, context: PatchContext) -> Patches:
        """Return the patches, each changed in its own way.

        Args:
            patches: Those that get this augmentation, at their `loaded_shape`; at least one. They
                may be overwritten.
            draws: Where all random numbers must come from.
            context: What patches are for; the result has its `patch_shape`.
        """


def rows_of(images: PatchImages) -> Rows:
    """Return the images with one axis for all voxels; a view."""
    return images.view(*images.shape[:2], -1)


def on_device(numbers: Factors, images: PatchImages) -> Float32[Tensor, "_patches _channels 1"]:
    """Return a number per patch and channel, to be used with `rows_of`."""
    return to_device(numbers.astype(np.float32), images.device)[..., None]


def factors_about_one(
    numbers: np.random.Generator, limits: tuple[float, float], count: tuple[int, ...]
) -> Factors:
    """Return random factors of which those below and above 1 are equally likely.

    Args:
        numbers: Where they come from.
        limits: Smallest and largest; where both are on one side of 1, all are drawn from there.
        count: Shape of the result.
    """
    low, high = limits
    below = numbers.uniform(min(1.0, low), min(1.0, high), count)
    above = numbers.uniform(max(1.0, low), max(1.0, high), count)
    is_below = (numbers.random(count) < 0.5) | (high <= 1)
    return np.where(is_below & (low < 1), below, above)


AUGMENTATIONS: Family[Augmentation] = Family("augmentation")
AnyAugmentation = Annotated[SerializeAsAny[Augmentation], BeforeValidator(AUGMENTATIONS.parse)]
