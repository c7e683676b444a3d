"""Sensitivity-specificity loss: mean squared errors inside and outside of each class.

Source: Brosch et al., MICCAI 2015, equation 5, sensitivity ratio 0.05.
"""

from functools import partial
from typing import Literal

from pydantic import PositiveFloat
from typing_extensions import override

from autoseg.core.frozen import Fraction
from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Loss, LossFunction, Targets
from autoseg.losses.one_vs_rest import complement
from autoseg.losses.soft_counts import Pool, pooled_dims, probabilities_and_truth


@LOSSES.register
class SensitivitySpecificity(Loss):
    """`r·(mean squared error inside) + (1 - r)·(mean squared error outside)`.

    Averaged over the foreground classes or regions, then over samples. If the inside or outside is
    empty, its error is 0.

    Attributes:
        sensitivity_ratio: Weight r of the error inside.
        pool: Whether errors are summed per sample or over the batch.
        smooth: Added to the volumes, in voxels; avoids division by zero.
    """

    kind: Literal["sensitivity_specificity"] = "sensitivity_specificity"
    sensitivity_ratio: Fraction = 0.05
    pool: Pool = "sample"
    smooth: PositiveFloat = 1e-5

    @override
    def build(self) -> LossFunction:
        return partial(sensitivity_specificity_loss, config=self)


def sensitivity_specificity_loss(
    logits: LogitsBatch,
    labels: Targets,
    valid: ValidMask | None = None,
    *,
    config: SensitivitySpecificity,
) -> Scalar:
    """Compute the weighted sum of the mean squared errors inside and outside, in [0, 1].

    Args:
        logits: Raw scores before softmax or sigmoid, `batch channels *space`.
        labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
        valid: Voxels that count, `batch *space`; None means all.
        config: Parameters of the loss.
    """
    probabilities, truth = probabilities_and_truth(logits, labels)
    inside, outside = truth.to(probabilities.dtype), complement(truth).to(probabilities.dtype)
    if valid is not None:
        inside, outside = inside * valid[:, None], outside * valid[:, None]
    summed = pooled_dims(probabilities, config.pool)
    errors = (probabilities - truth.to(probabilities.dtype)) ** 2
    error_inside = (errors * inside).sum(summed) / (inside.sum(summed) + config.smooth)
    error_outside = (errors * outside).sum(summed) / (outside.sum(summed) + config.smooth)
    ratio = config.sensitivity_ratio
    return (ratio * error_inside + (1 - ratio) * error_outside).mean()
