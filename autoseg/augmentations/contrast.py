"""Contrast about the channel mean, within the old intensity range.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4.
"""

from typing import Literal

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
from typing_extensions import override

from autoseg.augmentations.base import AUGMENTATIONS, Augmentation, PatchContext
from autoseg.core.frozen import Fraction


@AUGMENTATIONS.register
class Contrast(Augmentation):
    """Every channel's distance to its mean times a factor; weaker and stronger equally likely.

    Attributes:
        probability: Chance that a patch is changed.
        factor: Range of the factor.
    """

    kind: Literal["contrast"] = "contrast"
    probability: Fraction = 0.15
    factor: tuple[float, float] = (0.75, 1.25)

    @override
    def build(self, context: PatchContext) -> BasicTransform:
        return ContrastTransform(
            contrast_range=BGContrast(self.factor),
            preserve_range=True,
            synchronize_channels=False,
            p_per_channel=1,
        )
