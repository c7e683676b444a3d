"""Soft Dice with squares in the denominator.

Source: Milletari et al., 3DV 2016 (V-Net), section 3.
"""

from functools import partial
from typing import Literal

import torch
from pydantic import PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Loss, LossFunction, Targets
from autoseg.losses.soft_counts import Pool, pooled_dims, probabilities_and_truth


@LOSSES.register
class SquaredDice(Loss):
    """`1 - 2·Σpy / (Σp² + Σy²)`, averaged over the foreground classes or regions, then samples.

    Attributes:
        pool: Whether the sums are taken per sample or over the batch.
        smooth: Added to numerator and denominator, in voxels; avoids 0 / 0 for empty classes.
    """

    kind: Literal["squared_dice"] = "squared_dice"
    pool: Pool = "sample"
    smooth: PositiveFloat = 1e-5

    @override
    def build(self) -> LossFunction:
        return partial(squared_dice_loss, pool=self.pool, smooth=self.smooth)


def squared_dice_loss(
    logits: LogitsBatch,
    labels: Targets,
    valid: ValidMask | None = None,
    *,
    pool: Pool,
    smooth: float,
) -> Scalar:
    """Compute `1 - Dice` with squared terms in the denominator, in [0, 1].

    Args:
        logits: Raw scores before softmax or sigmoid, `batch channels *space`.
        labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
        valid: Voxels that count, `batch *space`; None means all.
        pool: Whether counts are summed per sample or over the batch.
        smooth: Added to numerator and denominator, in voxels.
    """
    probabilities, truth = probabilities_and_truth(logits, labels)
    if valid is not None:
        probabilities, truth = probabilities * valid[:, None], truth * valid[:, None]
    summed = pooled_dims(probabilities, pool)
    overlap = (probabilities * truth).sum(summed)
    squared_truth = truth if truth.dtype == torch.bool else truth**2
    mass = (probabilities**2).sum(summed) + squared_truth.sum(summed)
    return 1 - ((2 * overlap + smooth) / (mass + smooth)).mean()
