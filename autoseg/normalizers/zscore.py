"""Zero mean and unit variance per image, for intensities without a unit, such as MRI.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Intensity normalization".
"""

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
    def fit(self, channel: ChannelIntensities, nonzero: MaskArray) -> Normalization:
        mean, std = _mean_and_std(channel[nonzero] if self.masked else channel)

        def normalize(part: ChannelArray) -> None:
            part -= mean
            part /= std

        return normalize


def _mean_and_std(values: ChannelIntensities) -> tuple[np.float32, np.float32]:
    """Return mean and standard deviation; the latter is at least `SMALLEST_STD`.

    The squares are summed in parts in single precision, and the parts in double precision, which
    avoids a second copy of a large image.
    """
    if not values.size:
        return np.float32(0), np.float32(1)
    mean = np.float32(values.mean(dtype=np.float64))
    flat, squares = values.ravel(), 0.0
    for start in range(0, flat.size, PART_VOXELS):
        part = np.subtract(flat[start : start + PART_VOXELS], mean, dtype=np.float32)
        squares += float(np.vdot(part, part))
    return mean, np.float32(max(np.sqrt(squares / flat.size), SMALLEST_STD))
