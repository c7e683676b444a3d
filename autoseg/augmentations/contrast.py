"""Contrast change about the channel mean, clipped to the original intensity range.

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
    draw_factors,
    flatten_voxels,
)
from autoseg.core.frozen import Fraction
from autoseg.core.limits import Range


@AUGMENTATIONS.register
class Contrast(Augmentation):
    """Multiplies each channel's deviation from its mean by a random factor.

    Lower and higher contrast are equally likely.

    Attributes:
        probability: Probability that a patch is augmented.
        factor: Range of the factor.
    """

    kind: Literal["contrast"] = "contrast"
    probability: Fraction = 0.15
    factor: Range = (0.75, 1.25)

    @override
    def apply(
        self, patches: Patches, generators: RandomGenerators, context: PatchContext
    ) -> Patches:
        rows = flatten_voxels(patches.images)
        factors = draw_factors(generators.per_patch, self.factor, patches.images)
        mean, (low, high) = rows.mean(-1, keepdim=True), rows.aminmax(dim=-1, keepdim=True)
        rows.sub_(mean).mul_(factors).add_(mean)
        torch.clamp(rows, low, high, out=rows)
        return patches
