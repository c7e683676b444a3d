"""What an augmentation is: a random change of an image patch and its labels."""

from abc import abstractmethod
from typing import Annotated, NamedTuple

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from pydantic import BeforeValidator, SerializeAsAny

from autoseg.core.registry import Component, Family


class PatchContext(NamedTuple):
    """What an augmentation may know about the patches it works on.

    Attributes:
        patch_shape: Size of the network's input, voxels.
        in_plane_only: Whether the first axis is so coarse that rotations and scalings must stay
            within planes (nnU-Net's "dummy 2-D" augmentation).
    """

    patch_shape: tuple[int, ...]
    in_plane_only: bool


class Augmentation(Component):
    """Configuration of one random transform."""

    @abstractmethod
    def build(self, context: PatchContext) -> tuple[BasicTransform, ...]:
        """Return the transforms, in order.

        Each takes and returns a dict of `image` and `segmentation` tensors (`channels *space`) and
        draws from numpy's and torch's global generators, which the loader seeds for every patch.
        """


AUGMENTATIONS: Family[Augmentation] = Family("augmentation")
AnyAugmentation = Annotated[SerializeAsAny[Augmentation], BeforeValidator(AUGMENTATIONS.parse)]
