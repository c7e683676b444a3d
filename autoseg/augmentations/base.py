"""What an augmentation is: a random change of an image patch and its labels."""

from abc import abstractmethod
from typing import Annotated, ClassVar, NamedTuple

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from pydantic import BeforeValidator, SerializeAsAny

from autoseg.core.frozen import Fraction
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
    """Configuration of one random transform.

    Attributes:
        probability: Chance that a patch gets it.
        changes_prior: Whether it changes not the image, but the channels that the previous stage
            of a cascade predicted; these are then the `image` of its transform.
    """

    changes_prior: ClassVar[bool] = False

    probability: Fraction = 1.0

    def chance(self) -> float:
        """Return the probability that a patch gets this augmentation."""
        return self.probability

    def loaded_shape(self, context: PatchContext) -> tuple[int, ...]:
        """Return how large a region it needs to make one patch from; most need the patch itself."""
        return context.patch_shape

    @abstractmethod
    def build(self, context: PatchContext) -> BasicTransform:
        """Return the transform, which is called only when the augmentation happens.

        It takes and returns a dict of `image` and `segmentation` tensors (`channels *space`) and
        draws from numpy's and torch's global generators, which are seeded for every patch.
        """


AUGMENTATIONS: Family[Augmentation] = Family("augmentation")
AnyAugmentation = Annotated[SerializeAsAny[Augmentation], BeforeValidator(AUGMENTATIONS.parse)]
