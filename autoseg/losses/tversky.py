"""Tversky loss: an overlap with different weights for false positives and false negatives.

Source: Salehi et al., MLMI 2017, equations 3 and 4: 0.3 for false positives, 0.7 for false
negatives, which the paper found best for small lesions.
"""

from functools import partial
from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Loss, LossFunction, Targets
from autoseg.losses.soft_counts import Counts, Pool, SoftCounts, foreground_counts


@LOSSES.register
class Tversky(Loss):
    """`1 - TP / (TP + a·FP + b·FN)`, averaged over the foreground classes or regions, then samples.

    Weights of 0.5 and 0.5 give Dice; weights of 1 and 1 give intersection over union.

    Attributes:
        fp_weight: Weight a of false positives.
        fn_weight: Weight b of false negatives; larger values increase sensitivity and the number
            of false positives.
        pool: Whether counts are summed per sample or over the batch.
        smooth: Added to numerator and denominator, in voxels; avoids 0 / 0 for empty classes.
    """

    kind: Literal["tversky"] = "tversky"
    fp_weight: NonNegativeFloat = 0.3
    fn_weight: NonNegativeFloat = 0.7
    pool: Pool = "sample"
    smooth: PositiveFloat = 1e-5

    @override
    def build(self) -> LossFunction:
        return partial(tversky_loss, config=self)


def tversky_loss(
    logits: LogitsBatch,
    labels: Targets,
    valid: ValidMask | None = None,
    *,
    config: Tversky,
) -> Scalar:
    """Compute `1 - Tversky index`, in [0, 1].

    Args:
        logits: Raw scores before softmax or sigmoid, `batch channels *space`.
        labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
        valid: Voxels that count, `batch *space`; None means all.
        config: Parameters of the loss.
    """
    counts = foreground_counts(logits, labels, valid, config.pool)
    index = tversky_index(
        counts, fp_weight=config.fp_weight, fn_weight=config.fn_weight, smooth=config.smooth
    )
    return 1 - index.mean()


def tversky_index(
    counts: SoftCounts, *, fp_weight: float, fn_weight: float, smooth: float
) -> Counts:
    """Compute the Tversky index per pooled sample and channel, in [0, 1].

    Args:
        counts: Soft counts.
        fp_weight: Weight of false positives.
        fn_weight: Weight of false negatives.
        smooth: Added to numerator and denominator, in voxels.
    """
    overlap = counts.true_positives + smooth
    errors = fp_weight * counts.false_positives + fn_weight * counts.false_negatives
    return overlap / (overlap + errors)
