"""Multiplicative brightness.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4.
"""

from typing import Literal

from typing_extensions import override

from autoseg.augmentations.base import (
    AUGMENTATIONS,
    Augmentation,
    Draws,
    PatchContext,
    Patches,
    factors_about_one,
    on_device,
    rows_of,
)
from autoseg.core.frozen import Fraction


@AUGMENTATIONS.register
class Brightness(Augmentation):
    """Every channel times a factor of its own; darker and brighter are equally likely.

    Attributes:
        probability: Chance that a patch is changed.
        factor: Range of the factor.
    """

    kind: Literal["brightness"] = "brightness"
    probability: Fraction = 0.15
    factor: tuple[float, float] = (0.75, 1.25)

    @override
    def apply(self, patches: Patches, draws: Draws, context: PatchContext) -> Patches:
        factors = factors_about_one(draws.numbers, self.factor, tuple(patches.images.shape[:2]))
        rows_of(patches.images).mul_(on_device(factors, patches.images))
        return patches
