"""Focal Tversky loss: the Tversky loss of every class to a power, so that hard classes count more.

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
"""The range of the paper."""


@LOSSES.register
class FocalTversky(Loss):
    """`(1 - Tversky index)^(1 / gamma)`, averaged over the foreground or regions, then samples.

    The slope at a perfect index would be infinite; losses below 1e-6 have none. The value of a
    perfect prediction is thereby 3e-5, not 0. Departs: the mean over classes, not the sum.

    Attributes:
        gamma: Inverse of the exponent; above 1, classes that are segmented badly count more.
        fp_weight: Weight of false positives.
        fn_weight: Weight of false negatives.
        pool: Over what the counts are summed.
        smooth: Added to both halves of the ratio, in voxels; keeps empty classes finite.
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
    """Return the mean of the Tversky losses' powers; in [0, 1]."""
    counts = foreground_counts(logits, labels, valid, config.pool)
    index = tversky_index(
        counts, fp_weight=config.fp_weight, fn_weight=config.fn_weight, smooth=config.smooth
    )
    return bounded_power(1 - index, 1 / config.gamma).mean()
