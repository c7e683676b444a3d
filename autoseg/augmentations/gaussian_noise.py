"""Additive Gaussian noise.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4.
"""

from typing import Literal

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from typing_extensions import override

from autoseg.augmentations.base import AUGMENTATIONS, Augmentation, PatchContext
from autoseg.core.frozen import Fraction


@AUGMENTATIONS.register
class GaussianNoise(Augmentation):
    """The same noise level in all channels.

    Attributes:
        probability: Chance that a patch gets noise.
        variance: Range of the noise's variance, in normalised intensities.
    """

    kind: Literal["gaussian_noise"] = "gaussian_noise"
    probability: Fraction = 0.1
    variance: tuple[float, float] = (0.0, 0.1)

    @override
    def build(self, context: PatchContext) -> BasicTransform:
        return GaussianNoiseTransform(
            noise_variance=self.variance, p_per_channel=1, synchronize_channels=True
        )
