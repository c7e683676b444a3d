"""Soft Dice loss, and the base class of the losses that contain it.

Source: Drozdzal et al., LABELS 2016, equation 2 (linear denominator).
"""

from typing import Literal

from typing_extensions import override

from autoseg.core.tensors import Scalar
from autoseg.losses.base import LOSSES, ForegroundBatch
from autoseg.losses.overlap_loss import OverlapLoss, PooledLoss
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


class CompoundLoss(PooledLoss):
    """Loss that contains the Dice loss; `pool` and `smooth` are those of Dice."""

    @property
    def dice(self) -> Dice:
        """The Dice term."""
        return Dice(pool=self.pool, smooth=self.smooth)
