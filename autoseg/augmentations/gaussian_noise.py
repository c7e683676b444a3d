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
        deviation: Range of the noise's standard deviation, in normalised intensities. Source: the
            reference's code, which so uses what its paper calls a variance.
    """

    kind: Literal["gaussian_noise"] = "gaussian_noise"
    probability: Fraction = 0.1
    deviation: tuple[float, float] = (0.0, 0.1)

    @override
    def apply(self, patches: Patches, draws: Draws, context: PatchContext) -> Patches:
        images = patches.images
        deviations = draws.numbers.uniform(*self.deviation, (len(images), 1))
        noise = torch.randn(images.shape, generator=draws.voxels, device=images.device)
        rows_of(images).add_(rows_of(noise).mul_(on_device(deviations, images)))
        return patches
