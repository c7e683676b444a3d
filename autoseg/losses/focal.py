"""Focal loss: cross-entropy that down-weights well-classified voxels.

Source: Lin et al., ICCV 2017, equations 4 and 5. Unlike the paper, the mean is taken over all
voxels instead of the positive ones, as usual in segmentation.
"""

from functools import partial
from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from typing_extensions import override

from autoseg.core.frozen import Fraction
from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Loss, LossFunction, Targets, is_regional
from autoseg.losses.cross_entropy import (
    ClassWeights,
    Terms,
    cross_entropy_terms,
    mean_of_terms,
    term_weights,
)
from autoseg.losses.powers import bounded_power


@LOSSES.register
class Focal(Loss):
    """Mean of `(1 - p)^gamma · cross-entropy`, where p is the probability of the true class.

    Attributes:
        gamma: Focusing exponent; larger values down-weight easy voxels more, 0 is cross-entropy.
        alpha: Factor of foreground voxels; background voxels have the factor `1 - alpha`. None
            means a factor of 1 for all.
        class_weights: Weight of each class in the mean, background first (or of each
            region); None means equal weights.
    """

    kind: Literal["focal"] = "focal"
    gamma: NonNegativeFloat = 2.0
    alpha: Fraction | None = None
    class_weights: tuple[PositiveFloat, ...] | None = None

    @override
    def build(self) -> LossFunction:
        return partial(
            focal_loss, gamma=self.gamma, alpha=self.alpha, class_weights=self.class_weights
        )


def focal_loss(
    logits: LogitsBatch,
    labels: Targets,
    valid: ValidMask | None = None,
    *,
    gamma: float,
    alpha: float | None = None,
    class_weights: ClassWeights = None,
) -> Scalar:
    """Compute the focal loss averaged over the valid voxels, and over regions.

    Args:
        logits: Raw scores before softmax or sigmoid, `batch channels *space`.
        labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
        valid: Voxels that count, `batch *space`; None means all.
        gamma: Focusing exponent, 0 or above.
        alpha: Factor of foreground voxels, in [0, 1]; None means a factor of 1 for all voxels.
        class_weights: Weights of the classes or regions; None means equal weights.
    """
    terms = cross_entropy_terms(logits, labels)
    focused = bounded_power(-torch.expm1(-terms), gamma) * terms
    if alpha is not None:
        focused = focused * _alpha_factor(terms, logits, labels, alpha)
    return mean_of_terms(focused, valid, term_weights(terms, labels, class_weights))


def _alpha_factor(terms: Terms, logits: LogitsBatch, labels: Targets, alpha: float) -> Terms:
    """Return `alpha` in the foreground and `1 - alpha` in the background."""
    mask = labels if is_regional(logits, labels) else (labels > 0)[:, None]
    inside = mask.to(terms.dtype)
    return alpha * inside + (1 - alpha) * (1 - inside)
