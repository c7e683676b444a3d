"""Generalised Dice: one overlap of all classes, weighted so that small classes count equally.

Source: Sudre et al., DLMIA 2017, section 2.1.
"""

from functools import partial
from typing import Literal

import torch
from pydantic import PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Loss, LossFunction, Targets
from autoseg.losses.soft_counts import Counts, Pool, probabilities_and_truth, soft_counts


@LOSSES.register
class GeneralizedDice(Loss):
    """`1 - 2·Σ w·TP / Σ w·(Σp + Σy)` over all classes, w = 1 / volume² of the class in the sample.

    The background is included. A class that is absent from a sample is left out of both sums,
    because its weight would be infinite. The weights are normalised to a sum of 1, so that `smooth`
    is in voxels, as in the other losses. A sample without any region has the loss 0.

    Attributes:
        pool: Whether volumes are counted per sample or over the batch.
        smooth: Added to numerator and denominator, in voxels.
    """

    kind: Literal["generalized_dice"] = "generalized_dice"
    pool: Pool = "sample"
    smooth: PositiveFloat = 1e-5

    @override
    def build(self) -> LossFunction:
        return partial(generalized_dice_loss, pool=self.pool, smooth=self.smooth)


def generalized_dice_loss(
    logits: LogitsBatch,
    labels: Targets,
    valid: ValidMask | None = None,
    *,
    pool: Pool,
    smooth: float,
) -> Scalar:
    """Compute `1 - generalised Dice`, averaged over samples, in [0, 1].

    Args:
        logits: Raw scores before softmax or sigmoid, `batch channels *space`.
        labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
        valid: Voxels that count, `batch *space`; None means all.
        pool: Whether volumes are counted per sample or over the batch.
        smooth: Added to numerator and denominator, in voxels.
    """
    probabilities, truth = probabilities_and_truth(logits, labels, with_background=True)
    counts = soft_counts(probabilities, truth, valid, pool)
    weights = volume_weights(counts.true_positives + counts.false_negatives)
    overlap = (weights * counts.true_positives).sum(dim=1)
    errors = (weights * (counts.false_positives + counts.false_negatives)).sum(dim=1)
    return 1 - ((2 * overlap + smooth) / (2 * overlap + errors + smooth)).mean()


def volume_weights(volumes: Counts) -> Counts:
    """Return 1 / volume² per class, normalised to sum to 1 per sample; 0 for absent classes."""
    present = volumes.detach() >= MIN_VOLUME
    weights = torch.where(present, volumes.detach().clamp(min=MIN_VOLUME) ** -2, 0.0)
    return weights / weights.sum(dim=1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)


MIN_VOLUME = 0.5
"""Volume below which a class counts as absent, voxels; soft counts are not integers."""
