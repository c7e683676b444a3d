"""Base class of normalisers, which bring the intensities of a channel to a common scale."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar, TypeAlias

import numpy as np
from jaxtyping import Float32, Integer
from pydantic import BeforeValidator, SerializeAsAny

from autoseg.core.arrays import MaskArray
from autoseg.core.registry import Component, Family

ChannelArray = Float32[np.ndarray, "*space"]
ChannelIntensities = ChannelArray | Integer[np.ndarray, "*space"]

Normalization: TypeAlias = Callable[[ChannelArray], None]
"""Normalises any part of a channel in place."""


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
        """Whether the nonzero mask is used; if False, its holes are not filled."""
        return True

    @property
    def clears_outside(self) -> bool:
        """Whether voxels outside the mask become 0, in preparation and in training."""
        return False

    @abstractmethod
    def fit(self, channel: ChannelIntensities, nonzero: MaskArray) -> Normalization:
        """Measure a channel, and return the function that normalises each part of it.

        The parts of a large picture are normalised where they are used, so that it is never in
        memory as float32. A voxel must therefore depend only on its own intensity and on what was
        measured.

        Args:
            channel: Intensities of one channel of one case, cropped to the nonzero mask; they must
                not be modified.
            nonzero: Nonzero mask of the case, same shape; holes are filled if `needs_mask`.
        """


NORMALIZERS: Family[Normalizer] = Family("normalizer")
AnyNormalizer = Annotated[SerializeAsAny[Normalizer], BeforeValidator(NORMALIZERS.parse)]
