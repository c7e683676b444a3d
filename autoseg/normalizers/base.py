"""What a normaliser is: how the intensities of one image channel are brought to a common scale."""

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
        channel_name_marks: Channel names (lower case) that ask for this normaliser.
        keeps_scale: Whether equal intensities of two images stay equal, so that a network notices
            when an image comes in another unit.
    """

    channel_name_marks: ClassVar[tuple[str, ...]] = ()
    keeps_scale: ClassVar[bool] = True

    @property
    def needs_mask(self) -> bool:
        """Whether `apply` looks at the nonzero mask; without need its holes are not filled."""
        return True

    @property
    def clears_outside(self) -> bool:
        """Whether `apply` leaves 0 outside the mask, which training then keeps to."""
        return False

    @abstractmethod
    def apply(self, channel: ChannelArray, nonzero: MaskArray) -> ChannelArray:
        """Return the normalised channel as a new float32 array.

        Args:
            channel: Intensities of one channel of one case, cropped to nonzero.
            nonzero: Voxels inside the nonzero mask of the case; holes are filled if `needs_mask`.
        """


NORMALIZERS: Family[Normalizer] = Family("normalizer")
AnyNormalizer = Annotated[SerializeAsAny[Normalizer], BeforeValidator(NORMALIZERS.parse)]
