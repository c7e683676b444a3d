"""Soft intersection over union (Jaccard index) loss.

Source: Rahman & Wang, ISVC 2016, equations 2 to 4.
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
class IntersectionOverUnion(Loss):
    """`1 - TP / (TP + FP + FN)`, averaged over the foreground classes or regions, then samples.

    Attributes:
        pool: Whether counts are summed per sample or over the batch.
        smooth: Added to numerator and denominator, in voxels; avoids 0 / 0 for empty classes.
    """

    kind: Literal["iou"] = "iou"
    pool: Pool = "sample"
    smooth: PositiveFloat = 1e-5

    @override
    def build(self) -> LossFunction:
        return partial(iou_loss, pool=self.pool, smooth=self.smooth)


def iou_loss(
    logits: LogitsBatch,
    labels: Targets,
    valid: ValidMask | None = None,
    *,
    pool: Pool,
    smooth: float,
) -> Scalar:
    """Compute `1 - soft intersection over union`, in [0, 1].

    Args:
        logits: Raw scores before softmax or sigmoid, `batch channels *space`.
        labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
        valid: Voxels that count, `batch *space`; None means all.
        pool: Whether counts are summed per sample or over the batch.
        smooth: Added to numerator and denominator, in voxels.
    """
    counts = foreground_counts(logits, labels, valid, pool)
    return 1 - tversky_index(counts, fp_weight=1.0, fn_weight=1.0, smooth=smooth).mean()
