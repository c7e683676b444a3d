"""Tversky loss: an overlap in which false alarms and misses weigh differently.

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

    Weights of 0.5 and 0.5 give Dice, 1 and 1 intersection over union.

    Attributes:
        fp_weight: Weight a of false positives.
        fn_weight: Weight b of false negatives; larger finds more and raises more false alarms.
        pool: Over what the counts are summed.
        smooth: Added to both halves of the ratio, in voxels; keeps empty classes finite.
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
    """Return 1 - Tversky index; in [0, 1]."""
    counts = foreground_counts(logits, labels, valid, config.pool)
    index = tversky_index(
        counts, fp_weight=config.fp_weight, fn_weight=config.fn_weight, smooth=config.smooth
    )
    return 1 - index.mean()


def tversky_index(
    counts: SoftCounts, *, fp_weight: float, fn_weight: float, smooth: float
) -> Counts:
    """Return the Tversky index of every pooled sample and channel; in [0, 1]."""
    found = counts.true_positives + smooth
    failed = fp_weight * counts.false_positives + fn_weight * counts.false_negatives
    return found / (found + failed)
