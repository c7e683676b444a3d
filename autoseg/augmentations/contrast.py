"""Contrast about the channel mean, within the old intensity range.

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
    factors_about_one,
    on_device,
    rows_of,
)
from autoseg.core.frozen import Fraction


@AUGMENTATIONS.register
class Contrast(Augmentation):
    """Every channel's distance to its mean times a factor; weaker and stronger equally likely.

    Attributes:
        probability: Chance that a patch is changed.
        factor: Range of the factor.
    """

    kind: Literal["contrast"] = "contrast"
    probability: Fraction = 0.15
    factor: tuple[float, float] = (0.75, 1.25)

    @override
    def apply(self, patches: Patches, draws: Draws, context: PatchContext) -> Patches:
        rows = rows_of(patches.images)
        factors = factors_about_one(draws.numbers, self.factor, tuple(rows.shape[:2]))
        mean, (low, high) = rows.mean(-1, keepdim=True), rows.aminmax(dim=-1, keepdim=True)
        rows.sub_(mean).mul_(on_device(factors, patches.images)).add_(mean)
        torch.clamp(rows, low, high, out=rows)
        return patches
