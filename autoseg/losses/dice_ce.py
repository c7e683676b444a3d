"""Soft Dice plus cross-entropy, the default of this field.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Training schedule".
"""

from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat
from typing_extensions import override

from autoseg.core.arrays import LabelBatch, LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Loss, LossFunction

Pool = Literal["sample", "batch"]
"""Over what the soft counts of Dice are summed: each sample alone, or the batch as one volume."""


@LOSSES.register
class DiceCrossEntropy(Loss):
    """Weighted sum of the soft Dice loss and cross-entropy.

    Attributes:
        pool: Over what Dice sums its counts; "batch" is nnU-Net's batch Dice.
        class_weights: Weight of each class in cross-entropy, background first; none means equal.
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
    logits: LogitsBatch, labels: LabelBatch, *, config: DiceCrossEntropy
) -> Scalar:
    """Return the weighted sum of both losses; 0 for a perfect prediction.

    Args:
        logits: Raw scores, before softmax; computed on in float32.
        labels: Class indices in `[0, classes)`.
        config: Weights, pooling and smoothing.
    """
    scores = logits.float()
    log_probabilities = F.log_softmax(scores, dim=1)
    truth = labels.long()
    weight = None
    if config.class_weights is not None:
        weight = scores.new_tensor(config.class_weights)
    cross_entropy = F.nll_loss(log_probabilities, truth, weight=weight)
    dice = soft_dice(log_probabilities.exp(), truth, pool=config.pool, smooth=config.smooth)
    return config.cross_entropy_weight * cross_entropy + config.dice_weight * (1 - dice)


def soft_dice(
    probabilities: LogitsBatch, labels: LabelBatch, *, pool: Pool, smooth: float
) -> Scalar:
    """Return soft Dice averaged over foreground classes (and samples); in [0, 1].

    Source: Drozdzal et al., LABELS 2016, equation 2 (linear denominator).
    """
    is_class = torch.zeros_like(probabilities, dtype=torch.bool)  # a byte each; one_hot takes 8
    is_class.scatter_(1, labels.long()[:, None], True)  # noqa: FBT003  (torch's signature)
    foreground, truth = probabilities[:, 1:], is_class[:, 1:]
    summed = [*range(2, probabilities.ndim)]
    if pool == "batch":
        summed = [0, *summed]
    overlap = (foreground * truth).sum(summed)
    mass = foreground.sum(summed) + truth.sum(summed)
    return ((2 * overlap + smooth) / (mass + smooth)).mean()
