"""Soft Dice loss.

Source: Drozdzal et al., LABELS 2016, equation 2 (linear denominator).
"""

from functools import partial
from typing import Literal

from pydantic import PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, RegionBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Loss, LossFunction, Targets
from autoseg.losses.soft_counts import Pool, pooled_dims, probabilities_and_truth


@LOSSES.register
class Dice(Loss):
    """`1 - soft Dice`, averaged over the foreground classes or regions, then over samples.

    Attributes:
        pool: Whether counts are summed per sample or over the batch.
        smooth: Added to numerator and denominator, in voxels; avoids 0 / 0 for empty classes.
    """

    kind: Literal["dice"] = "dice"
    pool: Pool = "sample"
    smooth: PositiveFloat = 1e-5

    @override
    def build(self) -> LossFunction:
        return partial(dice_loss, pool=self.pool, smooth=self.smooth)


def dice_loss(
    logits: LogitsBatch,
    labels: Targets,
    valid: ValidMask | None = None,
    *,
    pool: Pool,
    smooth: float,
) -> Scalar:
    """Compute `1 - soft Dice` of the foreground, in [0, 1].

    Args:
        logits: Raw scores before softmax or sigmoid, `batch channels *space`.
        labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
        valid: Voxels that count, `batch *space`; None means all.
        pool: Whether counts are summed per sample or over the batch.
        smooth: Added to numerator and denominator, in voxels.
    """
    return 1 - soft_dice(*probabilities_and_truth(logits, labels), valid, pool=pool, smooth=smooth)


def soft_dice(
    probabilities: RegionBatch,
    truth: RegionBatch,
    valid: ValidMask | None = None,
    *,
    pool: Pool,
    smooth: float,
) -> Scalar:
    """Compute soft Dice averaged over channels (and samples), in [0, 1].

    Args:
        probabilities: Probabilities of the foreground, `batch channels *space`.
        truth: Masks of the foreground in the reference, `batch channels *space`.
        valid: Voxels that count, `batch *space`; None means all.
        pool: Whether counts are summed per sample or over the batch.
        smooth: Added to numerator and denominator, in voxels.
    """
    if valid is not None:
        probabilities, truth = probabilities * valid[:, None], truth * valid[:, None]
    summed = pooled_dims(probabilities, pool)
    overlap = (probabilities * truth).sum(summed)
    mass = probabilities.sum(summed) + truth.sum(summed)
    return ((2 * overlap + smooth) / (mass + smooth)).mean()
