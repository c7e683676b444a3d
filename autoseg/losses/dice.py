"""Soft Dice loss.

Source: Drozdzal et al., LABELS 2016, equation 2 (linear denominator).
"""

from typing import Literal

from typing_extensions import override

from autoseg.core.tensors import Scalar
from autoseg.losses.base import LOSSES, ForegroundBatch
from autoseg.losses.overlap_loss import OverlapLoss
from autoseg.losses.soft_counts import pooled_dims


@LOSSES.register
class Dice(OverlapLoss):
    """`1 - soft Dice`, averaged over the foreground classes or regions, then samples; in [0, 1]."""

    kind: Literal["dice"] = "dice"

    @override
    def of_probabilities(self, probabilities: ForegroundBatch, truth: ForegroundBatch) -> Scalar:
        summed = pooled_dims(probabilities, self.pool)
        overlap = (probabilities * truth).sum(summed)
        mass = probabilities.sum(summed) + truth.sum(summed)
        return 1 - ((2 * overlap + self.smooth) / (mass + self.smooth)).mean()
