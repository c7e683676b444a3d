"""Multiplicative brightness.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4.
"""

from typing import Literal

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast
from typing_extensions import override

from autoseg.augmentations.base import AUGMENTATIONS, Augmentation, PatchContext
from autoseg.core.frozen import Fraction


@AUGMENTATIONS.register
class Brightness(Augmentation):
    """Every channel times a factor of its own; darker and brighter are equally likely.

    Attributes:
        probability: Chance that a patch is changed.
        factor: Range of the factor.
    """

    kind: Literal["brightness"] = "brightness"
    probability: Fraction = 0.15
    factor: tuple[float, float] = (0.75, 1.25)

    @override
    def build(self, context: PatchContext) -> BasicTransform:
        return MultiplicativeBrightnessTransform(
            multiplier_range=BGContrast(self.factor), synchronize_channels=False, p_per_channel=1
        )
