"""Focal Tversky loss: a power of the Tversky loss per class, which emphasises hard classes.

Source: Abraham & Khan, ISBI 2019, equation 4, with gamma = 4/3.
"""

from functools import partial
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Loss, LossFunction, Targets
from autoseg.losses.powers import bounded_power
from autoseg.losses.soft_counts import Pool, foreground_counts
from autoseg.losses.tversky import tversky_index

Gamma = Annotated[float, Field(ge=1, le=3)]
"""Exponent parameter, in the range of the paper."""


@LOSSES.register
class FocalTversky(Loss):
    """`(1 - Tversky index)^(1 / gamma)`, averaged over the foreground or regions, then samples.

    Losses below 1e-6 are clamped, because the gradient would be infinite at a perfect index. A
    perfect prediction therefore has the value 3e-5 instead of 0. Unlike the paper, classes are
    averaged instead of summed.

    Attributes:
        gamma: Inverse of the exponent; values above 1 emphasise poorly segmented classes.
        fp_weight: Weight of false positives.
        fn_weight: Weight of false negatives.
        pool: Whether counts are summed per sample or over the batch.
        smooth: Added to numerator and denominator, in voxels; avoids 0 / 0 for empty classes.
    """

    kind: Literal["focal_tversky"] = "focal_tversky"
    gamma: Gamma = 4 / 3
    fp_weight: NonNegativeFloat = 0.3
    fn_weight: NonNegativeFloat = 0.7
    pool: Pool = "sample"
    smooth: PositiveFloat = 1e-5

    @override
    def build(self) -> LossFunction:
        return partial(focal_tversky_loss, config=self)


def focal_tversky_loss(
    logits: LogitsBatch,
    labels: Targets,
    valid: ValidMask | None = None,
    *,
    config: FocalTversky,
) -> Scalar:
    """Compute the mean of the powers of the Tversky losses, in [0, 1].

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
    return bounded_power(1 - index, 1 / config.gamma).mean()
