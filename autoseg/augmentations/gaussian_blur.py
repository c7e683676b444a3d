"""Gaussian blur.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4.
"""

from typing import Literal

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from typing_extensions import override

from autoseg.augmentations.base import AUGMENTATIONS, Augmentation, PatchContext
from autoseg.core.frozen import Fraction


@AUGMENTATIONS.register
class GaussianBlur(Augmentation):
    """An own blur for every channel.

    Attributes:
        probability: Chance that a patch is blurred.
        channel_probability: Chance of each of its channels, then.
        sigma: Range of the kernel's standard deviation, voxels.
    """

    kind: Literal["gaussian_blur"] = "gaussian_blur"
    probability: Fraction = 0.2
    channel_probability: Fraction = 0.5
    sigma: tuple[float, float] = (0.5, 1.0)

    @override
    def build(self, context: PatchContext) -> BasicTransform:
        return GaussianBlurTransform(
            blur_sigma=self.sigma,
            synchronize_channels=False,
            synchronize_axes=False,
            p_per_channel=self.channel_probability,
        )
