"""Simulated low resolution: nearest-neighbour downsampling, then linear upsampling.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4.
"""

from typing import Literal

import numpy as np
import torch.nn.functional as F
from typing_extensions import override

from autoseg.augmentations.base import (
    AUGMENTATIONS,
    Augmentation,
    PatchContext,
    Patches,
    PatchImages,
    RandomGenerators,
)
from autoseg.core.frozen import Fraction
from autoseg.core.limits import Range

UPSAMPLING = {1: "linear", 2: "bilinear", 3: "trilinear"}
"""Linear mode of `torch.nn.functional.interpolate`, by number of axes."""


@AUGMENTATIONS.register
class LowResolution(Augmentation):
    """Downsamples all axes by the same factor; with `in_plane_only`, all but the first axis.

    Attributes:
        probability: Probability that a patch is augmented.
        channel_probability: Probability that a channel of an augmented patch is changed.
        scale: Range of the intermediate size relative to the patch.
    """

    kind: Literal["low_resolution"] = "low_resolution"
    probability: Fraction = 0.25
    channel_probability: Fraction = 0.5
    scale: Range = (0.5, 1.0)

    @override
    def apply(
        self, patches: Patches, generators: RandomGenerators, context: PatchContext
    ) -> Patches:
        images = patches.images
        scales = generators.per_patch.uniform(*self.scale, images.shape[:2])
        is_chosen = generators.per_patch.random(images.shape[:2]) < self.channel_probability
        for patch, channel in zip(*np.nonzero(is_chosen), strict=True):
            one = images[patch, channel][None, None]
            one.copy_(_reduce_resolution(one, float(scales[patch, channel]), context))
        return patches


def _reduce_resolution(image: PatchImages, scale: float, context: PatchContext) -> PatchImages:
    shape = tuple(image.shape[2:])
    fixed = 1 if context.in_plane_only else 0
    coarse = (*shape[:fixed], *(max(1, round(size * scale)) for size in shape[fixed:]))
    down = F.interpolate(image, coarse, mode="nearest-exact")
    return F.interpolate(down, shape, mode=UPSAMPLING[len(shape)])
