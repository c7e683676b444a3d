"""No normalisation, for intensities that are already on a common scale."""

from typing import ClassVar, Literal

from typing_extensions import override

from autoseg.core.arrays import MaskArray
from autoseg.normalizers.base import (
    NORMALIZERS,
    ChannelIntensities,
    Normalization,
    Normalizer,
)


@NORMALIZERS.register
class NoNormalization(Normalizer):
    """Leave intensities unchanged."""

    channel_name_marks: ClassVar[tuple[str, ...]] = ("nonorm", "none")
    needs_mask: ClassVar[bool] = False

    kind: Literal["none"] = "none"

    @override
    def fit(self, channel: ChannelIntensities, nonzero: MaskArray) -> Normalization:
        return lambda _: None
