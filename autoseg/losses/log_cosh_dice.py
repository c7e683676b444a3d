"""Logarithm of the hyperbolic cosine of the Dice loss, which is smoother near its minimum.

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
    """`log(cosh(Dice loss))`: about half its square, so that the gradient fades as Dice improves.

    Attributes:
        pool: Over what Dice sums its counts.
        smooth: Added to both halves of the Dice ratio, in voxels; keeps empty classes finite.
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
    """Return log(cosh(1 - soft Dice)); in [0, 0.434]."""
    dice = dice_loss(logits, labels, valid, pool=pool, smooth=smooth)
    return dice + F.softplus(-2 * dice) - log(2)
