"""Gamma correction, which keeps each channel's mean and standard deviation.

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
    Rows,
    factors_about_one,
    on_device,
    rows_of,
)
from autoseg.core.frozen import Fraction

LEAST_RANGE = 1e-7
"""What a range or standard deviation counts at least, so that a constant channel stays finite."""


@AUGMENTATIONS.register
class Gamma(Augmentation):
    """Intensities, scaled to [0, 1], to the power of gamma.

    Attributes:
        probability: Chance that a patch is changed.
        gamma: Range of the exponent; below and above 1 equally likely.
        inverted: Whether the inverted image is transformed (which acts on the bright end).
    """

    kind: Literal["gamma"] = "gamma"
    probability: Fraction = 0.3
    gamma: tuple[float, float] = (0.7, 1.5)
    inverted: bool = False

    @override
    def apply(self, patches: Patches, draws: Draws, context: PatchContext) -> Patches:
        rows = rows_of(patches.images)
        exponents = factors_about_one(draws.numbers, self.gamma, tuple(rows.shape[:2]))
        if self.inverted:
            rows.neg_()
        deviation, mean = _deviation_and_mean(rows)
        low, high = rows.aminmax(dim=-1, keepdim=True)
        scale = (high - low).clamp(min=LEAST_RANGE)
        rows.sub_(low).div_(scale).pow_(on_device(exponents, patches.images))
        changed_deviation, changed_mean = _deviation_and_mean(rows)
        rows.sub_(changed_mean).mul_(deviation / changed_deviation.clamp(min=LEAST_RANGE))
        rows.add_(mean)
        if self.inverted:
            rows.neg_()
        return patches


def _deviation_and_mean(rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    mean = rows.mean(-1, keepdim=True)
    length = torch.linalg.vector_norm(
        rows - mean, dim=-1, keepdim=True
    )  # as std, but 6 times faster
    return length / max(rows.shape[-1] - 1, 1) ** 0.5, mean
