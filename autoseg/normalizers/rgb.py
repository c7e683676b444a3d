"""Scale 8-bit colour channels to the range from 0 to 1."""

from typing import ClassVar, Literal

import numpy as np
from typing_extensions import override

from autoseg.core.arrays import MaskArray
from autoseg.core.errors import CaseError
from autoseg.normalizers.base import (
    NORMALIZERS,
    ChannelArray,
    ChannelIntensities,
    Normalization,
    Normalizer,
)

BRIGHTEST = 255.0
"""Maximum of an 8-bit colour channel."""


@NORMALIZERS.register
class RGB(Normalizer):
    """Divide by 255."""

    channel_name_marks: ClassVar[tuple[str, ...]] = ("rgb_to_0_1", "rgb")
    needs_mask: ClassVar[bool] = False

    kind: Literal["rgb"] = "rgb"

    @override
    def fit(self, channel: ChannelIntensities, nonzero: MaskArray) -> Normalization:
        """Return a function that divides by 255.

        Raises:
            CaseError: If an intensity is outside 0 … 255.
        """
        lowest, highest = float(channel.min()), float(channel.max())
        if lowest < 0 or highest > BRIGHTEST:
            msg = (
                f"found intensities from {lowest:g} to {highest:g}; the normalizer 'rgb' expects "
                "0 to 255. Set the normalizer of this channel to 'zero_one' or 'zscore' in "
                "plan.json."
            )
            raise CaseError(msg)

        def normalize(part: ChannelArray) -> None:
            part /= np.float32(BRIGHTEST)

        return normalize
