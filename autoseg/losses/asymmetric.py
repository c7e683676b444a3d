"""Asymmetric similarity loss: the soft F-beta score, which favours sensitivity over precision.

Source: Hashemi et al., IEEE Access 7 (2019), equations 2 and 3, beta = 1.5.
"""

from functools import partial
from typing import Literal

from pydantic import PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Loss, LossFunction, Targets
from autoseg.losses.soft_counts import Pool, foreground_counts
from autoseg.losses.tversky import tversky_index


@LOSSES.register
class Asymmetric(Loss):
    """`1 - F_beta`: a Tversky loss with weights `1/(1+b²)` for FP and `b²/(1+b²)` for FN.

    Averaged over the foreground classes or regions, then over samples.

    Attributes:
        beta: A false negative weighs beta² times as much as a false positive; 1 is Dice.
        pool: Whether counts are summed per sample or over the batch.
        smooth: Added to numerator and denominator, in voxels; avoids 0 / 0 for empty classes.
    """

    kind: Literal["asymmetric"] = "asymmetric"
    beta: PositiveFloat = 1.5
    pool: Pool = "sample"
    smooth: PositiveFloat = 1e-5

    @override
    def build(self) -> LossFunction:
        return partial(asymmetric_loss, config=self)


def asymmetric_loss(
    logits: LogitsBatch,
    labels: Targets,
    valid: ValidMask | None = None,
    *,
    config: Asymmetric,
) -> Scalar:
    """Compute `1 - soft F-beta`, in [0, 1].

    Args:
        logits: Raw scores before softmax or sigmoid, `batch channels *space`.
        labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
        valid: Voxels that count, `batch *space`; None means all.
        config: Parameters of the loss.
    """
    counts = foreground_counts(logits, labels, valid, config.pool)
    fp_weight = 1 / (1 + config.beta**2)
    score = tversky_index(
        counts, fp_weight=fp_weight, fn_weight=1 - fp_weight, smooth=config.smooth
    )
    return 1 - score.mean()
