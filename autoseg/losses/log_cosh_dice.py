"""Log-cosh of the Dice loss, which is smoother near its minimum.

Source: Jadon, CIBCB 2020, equation 16.
"""

from math import log
from typing import Literal

import torch.nn.functional as F
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Targets, Valid
from autoseg.losses.dice import CompoundLoss


@LOSSES.register
class LogCoshDice(CompoundLoss):
    """`log(cosh(Dice loss))`, in [0, 0.434].

    It is about half the squared Dice loss; its gradient vanishes at Dice 1.
    """

    kind: Literal["log_cosh_dice"] = "log_cosh_dice"

    @override
    def __call__(self, logits: LogitsBatch, labels: Targets, valid: Valid = None) -> Scalar:
        dice = self.dice(logits, labels, valid)
        return dice + F.softplus(-2 * dice) - log(2)
