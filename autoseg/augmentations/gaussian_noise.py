"""Additive Gaussian noise.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4.
"""

from typing import Literal

import torch
from typing_extensions import override

from autoseg.augmentations.base import (
    AUGMENTATIONS,
    Augmentation,
    PatchContext,
    Patches,
    RandomGenerators,
    channel_factors,
    flatten_voxels,
)
from autoseg.core.frozen import Fraction
from autoseg.core.limits import Range


@AUGMENTATIONS.register
class GaussianNoise(Augmentation):
    """Adds Gaussian noise; all channels of a patch have the same noise level.

    Attributes:
        probability: Probability that a patch is augmented.
        deviation: Range of the noise's standard deviation, in normalised intensities. Source:
            nnU-Net's code, which uses as standard deviation what the paper calls the variance.
    """

    kind: Literal["gaussian_noise"] = "gaussian_noise"
    probability: Fraction = 0.1
    deviation: Range = (0.0, 0.1)

    @override
    def apply(
        self, patches: Patches, generators: RandomGenerators, context: PatchContext
    ) -> Patches:
        images = patches.images
        deviations = generators.per_patch.uniform(*self.deviation, (len(images), 1))
        noise = torch.randn(images.shape, generator=generators.per_voxel, device=images.device)
        flatten_voxels(images).add_(flatten_voxels(noise).mul_(channel_factors(deviations, images)))
        return patches
