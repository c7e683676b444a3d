"""Zero mean and unit variance per image, for intensities without a unit, such as MRI.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Intensity normalization".
"""

from typing import ClassVar, Literal

import numpy as np
from typing_extensions import override

from autoseg.core.arrays import MaskArray
from autoseg.normalizers.base import NORMALIZERS, ChannelArray, Normalizer

SMALLEST_STD = 1e-8
"""Minimum divisor, for constant images, in the unit of the image."""

PART_VOXELS = 8192
"""Number of voxels whose squares are summed in single precision."""


@NORMALIZERS.register
class ZScore(Normalizer):
    """Subtract the mean of each image and divide by its standard deviation.

    Attributes:
        masked: Whether to normalise only voxels inside the nonzero mask; other voxels become 0.
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
    """Standardise values to zero mean and unit variance; constant values become 0.

    The squares are summed in parts in single precision, and the parts in double precision, which
    avoids a second copy of a large volume.
    """
    centred: ChannelArray = values - np.float32(values.mean(dtype=np.float64))
    flat = centred.ravel()
    parts = (flat[start : start + PART_VOXELS] for start in range(0, flat.size, PART_VOXELS))
    squares = sum(float(np.vdot(part, part)) for part in parts)
    centred /= np.float32(max(np.sqrt(squares / flat.size), SMALLEST_STD))
    return centred
