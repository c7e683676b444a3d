"""Base class of normalisers, which bring the intensities of a channel to a common scale."""

from abc import abstractmethod
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float32
from pydantic import BeforeValidator, SerializeAsAny

from autoseg.core.arrays import MaskArray
from autoseg.core.registry import Component, Family

ChannelArray = Float32[np.ndarray, "*space"]


class Normalizer(Component):
    """Configuration of the normalisation of one channel.

    Attributes:
        channel_name_marks: Channel names (lower case) that select this normaliser.
        keeps_scale: Whether equal intensities of two images stay equal, so that an image in another
            unit looks different to the network.
    """

    channel_name_marks: ClassVar[tuple[str, ...]] = ()
    keeps_scale: ClassVar[bool] = True

    @property
    def needs_mask(self) -> bool:
        """Whether `apply` uses the nonzero mask; if False, its holes are not filled."""
        return True

    @property
    def clears_outside(self) -> bool:
        """Whether `apply` sets voxels outside the mask to 0; training then keeps them at 0."""
        return False

    @abstractmethod
    def apply(self, channel: ChannelArray, nonzero: MaskArray) -> ChannelArray:
        """Return the normalised channel as a new float32 array.

        Args:
            channel: Intensities of one channel of one case, cropped to the nonzero mask.
            nonzero: Nonzero mask of the case, same shape; holes are filled if `needs_mask`.
        """


NORMALIZERS: Family[Normalizer] = Family("normalizer")
AnyNormalizer = Annotated[SerializeAsAny[Normalizer], BeforeValidator(NORMALIZERS.parse)]
