"""Squared errors inside and outside of every class, each relative to the size of that side.

Source: Brosch et al., MICCAI 2015, equation 5, sensitivity ratio 0.05.
"""

from functools import partial
from typing import Literal

from pydantic import PositiveFloat
from typing_extensions import override

from autoseg.core.frozen import Fraction
from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Loss, LossFunction, Targets
from autoseg.losses.one_against_rest import outside_of
from autoseg.losses.soft_counts import Pool, pooled_dims, predicted_and_true


@LOSSES.register
class SensitivitySpecificity(Loss):
    """`r·(mean squared error inside) + (1 - r)·(mean squared error outside)`.

    Averaged over the foreground classes or regions, then over samples; an empty side costs 0.

    Attributes:
        sensitivity_ratio: Weight r of the inside.
        pool: Over what the sums go.
        smooth: Added to the sizes, in voxels; keeps empty sides finite.
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
    """Return the weighted sum of both sides' squared errors; in [0, 1]."""
    probabilities, truth = predicted_and_true(logits, labels)
    inside, outside = truth.to(probabilities.dtype), outside_of(truth).to(probabilities.dtype)
    if valid is not None:
        inside, outside = inside * valid[:, None], outside * valid[:, None]
    summed = pooled_dims(probabilities, config.pool)
    errors = (probabilities - truth.to(probabilities.dtype)) ** 2
    missed = (errors * inside).sum(summed) / (inside.sum(summed) + config.smooth)
    wrong = (errors * outside).sum(summed) / (outside.sum(summed) + config.smooth)
    ratio = config.sensitivity_ratio
    return (ratio * missed + (1 - ratio) * wrong).mean()
