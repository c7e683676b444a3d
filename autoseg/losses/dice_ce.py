"""Soft Dice plus cross-entropy, the default of this field.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Training schedule".
"""

from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat
from typing_extensions import override

from autoseg.core.arrays import LogitsBatch, RegionBatch, Scalar, ValidMask
from autoseg.losses.base import (
    LOSSES,
    Loss,
    LossFunction,
    Targets,
    foreground,
    is_regional,
    log_probabilities,
    masked_mean,
    membership,
)

Pool = Literal["sample", "batch"]
"""Over what the soft counts of Dice are summed: each sample alone, or the batch as one volume."""


@LOSSES.register
class DiceCrossEntropy(Loss):
    """Weighted sum of the soft Dice loss and cross-entropy.

    Attributes:
        pool: Over what Dice sums its counts; "batch" is nnU-Net's batch Dice.
        class_weights: Weight of each class in cross-entropy, background first (or of each region);
            none means equal.
        dice_weight: Weight of the Dice term.
        cross_entropy_weight: Weight of the cross-entropy term.
        smooth: Added to both halves of the Dice ratio, in voxels; keeps empty classes finite.
    """

    kind: Literal["dice_ce"] = "dice_ce"
    pool: Pool = "sample"
    class_weights: tuple[PositiveFloat, ...] | None = None
    dice_weight: NonNegativeFloat = 1.0
    cross_entropy_weight: NonNegativeFloat = 1.0
    smooth: PositiveFloat = 1e-5

    @override
    def build(self) -> LossFunction:
        return partial(dice_cross_entropy, config=self)


def dice_cross_entropy(
    logits: LogitsBatch,
    labels: Targets,
    valid: ValidMask | None = None,
    *,
    config: DiceCrossEntropy,
) -> Scalar:
    """Return the weighted sum of both losses; 0 for a perfect prediction.

    Args:
        logits: Raw scores, before softmax or sigmoid; computed on in float32.
        labels: Class indices in `[0, classes)`, or a mask per region.
        valid: Voxels that count.
        config: Weights, pooling and smoothing.
    """
    scores = log_probabilities(logits, labels)
    if is_regional(logits, labels):
        cross_entropy = _binary_cross_entropy(logits, labels, valid, config.class_weights)
    else:
        cross_entropy = _cross_entropy(scores, labels, valid, config.class_weights)
    members = membership(logits, labels)
    dice = soft_dice(
        foreground(scores.exp(), logits, labels),
        foreground(members, logits, labels),
        valid,
        pool=config.pool,
        smooth=config.smooth,
    )
    return config.cross_entropy_weight * cross_entropy + config.dice_weight * (1 - dice)


def _cross_entropy(
    scores: LogitsBatch,
    labels: Targets,
    valid: ValidMask | None,
    weights: tuple[float, ...] | None,
) -> Scalar:
    """Return the negative logarithms of the true classes' scores, averaged over the valid voxels.

    With weights, the mean is that by the weights of the true classes, as torch has it.
    """
    truth = labels.long()
    weight = None if weights is None else scores.new_tensor(weights)
    if valid is None:
        return F.nll_loss(scores, truth, weight=weight)
    each = F.nll_loss(scores, truth, reduction="none")
    return masked_mean(each, valid, None if weight is None else weight[truth])


def _binary_cross_entropy(
    logits: LogitsBatch,
    regions: Targets,
    valid: ValidMask | None,
    weights: tuple[float, ...] | None,
) -> Scalar:
    """Return the binary cross-entropy averaged over the valid voxels and the regions.

    With weights, the mean over the regions is that by their weights.
    """
    each = F.binary_cross_entropy_with_logits(logits.float(), regions.float(), reduction="none")
    if weights is None:
        return masked_mean(each.mean(dim=1), valid)
    weight = each.new_tensor(weights)
    mean = torch.einsum("bc...,c->b...", each, weight / weight.sum())
    return masked_mean(mean, valid)


def soft_dice(
    probabilities: RegionBatch,
    truth: RegionBatch,
    valid: ValidMask | None = None,
    *,
    pool: Pool,
    smooth: float,
) -> Scalar:
    """Return soft Dice averaged over channels (and samples); in [0, 1].

    Args:
        probabilities: Of the foreground classes or regions.
        truth: Which voxels belong to them.
        valid: Voxels that count.
        pool: Over what counts are summed.
        smooth: Added to both halves of the ratio.

    Source: Drozdzal et al., LABELS 2016, equation 2 (linear denominator).
    """
    if valid is not None:
        probabilities, truth = probabilities * valid[:, None], truth * valid[:, None]
    summed = [*range(2, probabilities.ndim)]
    if pool == "batch":
        summed = [0, *summed]
    overlap = (probabilities * truth).sum(summed)
    mass = probabilities.sum(summed) + truth.sum(summed)
    return ((2 * overlap + smooth) / (mass + smooth)).mean()
