"""Soft Dice with squares in the denominator.

Source: Milletari et al., 3DV 2016 (V-Net), section 3.
"""

from typing import Literal

import torch
from typing_extensions import override

from autoseg.core.tensors import Scalar
from autoseg.losses.base import LOSSES, ForegroundBatch
from autoseg.losses.overlap_loss import OverlapLoss
from autoseg.losses.soft_counts import pooled_dims


@LOSSES.register
class SquaredDice(OverlapLoss):
    """`1 - 2·Σpy / (Σp² + Σy²)`, averaged over the foreground classes or regions, then samples.

    In [0, 1].
    """

    kind: Literal["squared_dice"] = "squared_dice"

    @override
    def of_probabilities(self, probabilities: ForegroundBatch, truth: ForegroundBatch) -> Scalar:
        summed = pooled_dims(probabilities, self.pool)
        overlap = (probabilities * truth).sum(summed)
        squared_truth = truth if truth.dtype == torch.bool else truth**2
        mass = (probabilities**2).sum(summed) + squared_truth.sum(summed)
        return 1 - ((2 * overlap + self.smooth) / (mass + self.smooth)).mean()
