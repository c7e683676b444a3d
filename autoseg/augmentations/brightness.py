"""Multiplicative brightness.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4.
"""

from typing import Literal

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
class Brightness(Augmentation):
    """Multiplies each channel by a random factor; darker and brighter are equally likely.

    Attributes:
        probability: Probability that a patch is augmented.
        factor: Range of the factor.
    """

    kind: Literal["brightness"] = "brightness"
    probability: Fraction = 0.15
    factor: Range = (0.75, 1.25)

    @override
    def apply(
        self, patches: Patches, generators: RandomGenerators, context: PatchContext
    ) -> Patches:
        factors = draw_factors(generators.per_patch, self.factor, patches.images)
        flatten_voxels(patches.images).mul_(factors)
        return patches
