"""Simulated low resolution: down by nearest neighbour, back up linearly.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4.
"""

from typing import Literal

import numpy as np
import torch.nn.functional as F
from typing_extensions import override

from autoseg.augmentations.base import (
    AUGMENTATIONS,
    Augmentation,
    Draws,
    PatchContext,
    Patches,
    PatchImages,
)
from autoseg.core.frozen import Fraction

UPSAMPLING = {1: "linear", 2: "bilinear", 3: "trilinear"}
"""What torch calls linear interpolation, by number of axes."""


@AUGMENTATIONS.register
class LowResolution(Augmentation):
    """All axes by the same factor; not across planes where the patch is anisotropic.

    Attributes:
        probability: Chance that a patch is changed.
        channel_probability: Chance of each of its channels, then.
        scale: Range of the intermediate size relative to the patch.
    """

    kind: Literal["low_resolution"] = "low_resolution"
    probability: Fraction = 0.25
    channel_probability: Fraction = 0.5
    scale: tuple[float, float] = (0.5, 1.0)

    @override
    def apply(self, patches: Patches, draws: Draws, context: PatchContext) -> Patches:
        images = patches.images
        scales = draws.numbers.uniform(*self.scale, images.shape[:2])
        is_chosen = draws.numbers.random(images.shape[:2]) < self.channel_probability
        for patch, channel in zip(*np.nonzero(is_chosen), strict=True):
            one = images[patch, channel][None, None]
            one.copy_(_coarsened(one, float(scales[patch, channel]), context))
        return patches


def _coarsened(image: PatchImages, scale: float, context: PatchContext) -> PatchImages:
    shape = tuple(image.shape[2:])
    fixed = 1 if context.in_plane_only else 0
    coarse = (*shape[:fixed], *(max(1, round(size * scale)) for size in shape[fixed:]))
    down = F.interpolate(image, coarse, mode="nearest-exact")
    return F.interpolate(down, shape, mode=UPSAMPLING[len(shape)])
