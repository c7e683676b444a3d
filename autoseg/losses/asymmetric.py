"""Asymmetric similarity: the soft F-beta score, which prefers sensitivity over precision.

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
    """`1 - F_beta`: Tversky with weights `1/(1+b²)` of false positives, `b²/(1+b²)` of misses.

    Averaged over the foreground classes or regions, then over samples.

    Attributes:
        beta: How many times more a miss counts than a false alarm, before squaring; 1 is Dice.
        pool: Over what the counts are summed.
        smooth: Added to both halves of the ratio, in voxels; keeps empty classes finite.
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
    """Return 1 - soft F-beta; in [0, 1]."""
    counts = foreground_counts(logits, labels, valid, config.pool)
    fp_weight = 1 / (1 + config.beta**2)
    score = tversky_index(
        counts, fp_weight=fp_weight, fn_weight=1 - fp_weight, smooth=config.smooth
    )
    return 1 - score.mean()
