"""Rescale each image to the range from 0 to 1."""

from typing import ClassVar, Literal

import numpy as np
from typing_extensions import override

from autoseg.core.arrays import MaskArray
from autoseg.normalizers.base import (
    NORMALIZERS,
    ChannelArray,
    ChannelIntensities,
    Normalization,
    Normalizer,
)

SMALLEST_RANGE = 1e-8
"""Minimum divisor, for constant images, in the unit of the image."""


@NORMALIZERS.register
class ZeroOne(Normalizer):
    """Map the minimum of each image to 0 and its maximum to 1; a constant image becomes 0."""

    channel_name_marks: ClassVar[tuple[str, ...]] = ("rescale_to_0_1", "zero_one")
    keeps_scale: ClassVar[bool] = False
    needs_mask: ClassVar[bool] = False

    kind: Literal["zero_one"] = "zero_one"

    @override
    def fit(self, channel: ChannelIntensities, nonzero: MaskArray) -> Normalization:
        lowest, highest = float(channel.min()), float(channel.max())

        def normalize(part: ChannelArray) -> None:
            part -= np.float32(lowest)
            part /= np.float32(max(highest - lowest, SMALLEST_RANGE))

        return normalize
