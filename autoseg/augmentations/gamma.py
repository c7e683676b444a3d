"""Gamma correction, which keeps each channel's mean and standard deviation.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4.
"""

from typing import Literal

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from typing_extensions import override

from autoseg.augmentations.base import AUGMENTATIONS, Augmentation, PatchContext
from autoseg.core.frozen import Fraction


@AUGMENTATIONS.register
class Gamma(Augmentation):
    """Intensities, scaled to [0, 1], to the power of gamma.

    Attributes:
        probability: Chance that a patch is changed.
        gamma: Range of the exponent; below and above 1 equally likely.
        inverted: Whether the inverted image is transformed (which acts on the bright end).
    """

    kind: Literal["gamma"] = "gamma"
    probability: Fraction = 0.3
    gamma: tuple[float, float] = (0.7, 1.5)
    inverted: bool = False

    @override
    def build(self, context: PatchContext) -> BasicTransform:
        return GammaTransform(
            gamma=BGContrast(self.gamma),
            p_invert_image=float(self.inverted),
            synchronize_channels=False,
            p_per_channel=1,
            p_retain_stats=1,
        )
