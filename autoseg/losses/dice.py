"""Soft Dice: the overlap of prediction and reference, relative to their sizes.

Source: Drozdzal et al., LABELS 2016, equation 2 (linear denominator).
"""

from functools import partial
from typing import Literal

from pydantic import PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, RegionBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Loss, LossFunction, Targets
from autoseg.losses.soft_counts import Pool, pooled_dims, predicted_and_true


@LOSSES.register
class Dice(Loss):
    """1 - soft Dice, averaged over the foreground classes or regions, then over samples.

    Attributes:
        pool: Over what the counts are summed.
        smooth: Added to both halves of the ratio, in voxels; keeps empty classes finite.
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
    """Return 1 - soft Dice of the foreground; in [0, 1]."""
    return 1 - soft_dice(*predicted_and_true(logits, labels), valid, pool=pool, smooth=smooth)


def soft_dice(
    probabilities: RegionBatch,
    truth: RegionBatch,
    valid: ValidMask | None = None,
    *,
    pool: Pool,
    smooth: float,
) -> Scalar:
    """Return soft Dice averaged over channels (and samples); in [0, 1].

    Args:
        probabilities: Of the foreground classes or regions.
        truth: Which voxels belong to them.
        valid: Voxels that count.
        pool: Over what counts are summed.
        smooth: Added to both halves of the ratio.
    """
    if valid is not None:
        probabilities, truth = probabilities * valid[:, None], truth * valid[:, None]
    summed = pooled_dims(probabilities, pool)
    overlap = (probabilities * truth).sum(summed)
    mass = probabilities.sum(summed) + truth.sum(summed)
    return ((2 * overlap + smooth) / (mass + smooth)).mean()
