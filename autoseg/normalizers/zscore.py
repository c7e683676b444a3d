"""Zero mean and unit deviation per image, for intensities without a unit, such as MRI.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Intensity normalization".
"""

from typing import ClassVar, Literal

import numpy as np
from typing_extensions import override

from autoseg.core.arrays import MaskArray
from autoseg.normalizers.base import NORMALIZERS, ChannelArray, Normalizer

SMALLEST_STD = 1e-8
"""Divisor of an image that is constant, in the unit of the image."""

PART_VOXELS = 8192
"""Voxels whose squares are summed in single precision at a time."""


@NORMALIZERS.register
class ZScore(Normalizer):
    """Subtract the image's own mean and divide by its own standard deviation.

    Attributes:
        masked: Whether only voxels inside the nonzero mask count and change; the rest stays 0.
    """

    keeps_scale: ClassVar[bool] = False

    kind: Literal["zscore"] = "zscore"
    masked: bool = False

    @property
    @override
    def needs_mask(self) -> bool:
        return self.masked

    @property
    @override
    def clears_outside(self) -> bool:
        return self.masked

    @override
    def apply(self, channel: ChannelArray, nonzero: MaskArray) -> ChannelArray:
        if not self.masked:
            return _standardised(channel)
        result = np.zeros_like(channel)
        if nonzero.any():
            result[nonzero] = _standardised(channel[nonzero])
        return result


def _standardised(values: ChannelArray) -> ChannelArray:
    """Return the values at zero mean and unit deviation; all zero if they are constant.

    The squares are summed part by part in double precision, so that a large volume needs no second
    copy of itself.
    """
    centred: ChannelArray = values - np.float32(values.mean(dtype=np.float64))
    flat = centred.ravel()
    parts = (flat[start : start + PART_VOXELS] for start in range(0, flat.size, PART_VOXELS))
    squares = sum(float(np.vdot(part, part)) for part in parts)
    centred /= np.float32(max(np.sqrt(squares / flat.size), SMALLEST_STD))
    return centred
