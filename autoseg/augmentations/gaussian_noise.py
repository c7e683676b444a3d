"""Additive Gaussian noise.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4.
"""

from typing import Literal

import torch
from typing_extensions import override

from autoseg.augmentations.base import (
    AUGMENTATIONS,
    Augmentation,
    Draws,
    PatchContext,
    Patches,
    on_device,
    rows_of,
)
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
    def apply(self, patches: Patches, draws: Draws, context: PatchContext) -> Patches:
        images = patches.images
        variances = draws.numbers.uniform(*self.variance, (len(images), 1))
        noise = torch.randn(images.shape, generator=draws.voxels, device=images.device)
        rows_of(images).add_(rows_of(noise).mul_(on_device(variances, images)))
        return patches
