"""Log-cosh of the Dice loss, which is smoother near its minimum.

Source: Jadon, CIBCB 2020, equation 16.
"""

from functools import partial
from math import log
from typing import Literal

import torch.nn.functional as F
from pydantic import PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Loss, LossFunction, Targets
from autoseg.losses.dice import dice_loss
from autoseg.losses.soft_counts import Pool


@LOSSES.register
class LogCoshDice(Loss):
    """`log(cosh(Dice loss))`: about half the squared Dice loss; its gradient vanishes at Dice 1.

    Attributes:
        pool: Whether Dice counts are summed per sample or over the batch.
        smooth: Added to numerator and denominator of Dice, in voxels; avoids 0 / 0 for
            empty classes.
    """

    kind: Literal["log_cosh_dice"] = "log_cosh_dice"
    pool: Pool = "sample"
    smooth: PositiveFloat = 1e-5

    @override
    def build(self) -> LossFunction:
        return partial(log_cosh_dice_loss, pool=self.pool, smooth=self.smooth)


def log_cosh_dice_loss(
    logits: LogitsBatch,
    labels: Targets,
    valid: ValidMask | None = None,
    *,
    pool: Pool,
    smooth: float,
) -> Scalar:
    """Compute `log(cosh(1 - soft Dice))`, in [0, 0.434].

    Args:
        logits: Raw scores before softmax or sigmoid, `batch channels *space`.
        labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
        valid: Voxels that count, `batch *space`; None means all.
        pool: Whether counts are summed per sample or over the batch.
        smooth: Added to numerator and denominator, in voxels.
    """
    dice = dice_loss(logits, labels, valid, pool=pool, smooth=smooth)
    return dice + F.softplus(-2 * dice) - log(2)
