"""Computed tomography: intensities have a physical unit, so all images share one scale.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Intensity normalization".
"""

from typing import ClassVar, Literal

import numpy as np
from pydantic import NonNegativeFloat, model_validator
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
"""Minimum divisor, for a dataset with constant foreground, in the unit of the image."""


@NORMALIZERS.register
class ComputedTomography(Normalizer):
    """Clip to the dataset's foreground percentiles, then standardise with its mean and deviation.

    Attributes:
        mean: Mean foreground intensity of the dataset, usually in Hounsfield units.
        std: Standard deviation of the foreground intensities.
        percentile_00_5: Lower clipping bound.
        percentile_99_5: Upper clipping bound.
    """

    channel_name_marks: ClassVar[tuple[str, ...]] = ("ct",)
    needs_mask: ClassVar[bool] = False

    kind: Literal["ct"] = "ct"
    mean: float
    std: NonNegativeFloat
    percentile_00_5: float
    percentile_99_5: float

    @model_validator(mode="after")
    def _check(self) -> "ComputedTomography":
        if self.percentile_00_5 > self.percentile_99_5:
            msg = (
                f"the lower clipping bound percentile_00_5 = {self.percentile_00_5} is above the "
                f"upper one percentile_99_5 = {self.percentile_99_5}. Exchange them."
            )
            raise ValueError(msg)
        return self

    @override
    def fit(self, channel: ChannelIntensities, nonzero: MaskArray) -> Normalization:
        return self._normalize

    def _normalize(self, part: ChannelArray) -> None:
        bounds = np.float32(self.percentile_00_5), np.float32(self.percentile_99_5)
        np.clip(part, *bounds, out=part)
        part -= np.float32(self.mean)
        part /= np.float32(max(self.std, SMALLEST_STD))
