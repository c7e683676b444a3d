"""Generalised Dice: one overlap of all classes, weighted so that small classes count equally.

Source: Sudre et al., DLMIA 2017, section 2.1.
"""

from typing import ClassVar, Literal

import torch
from typing_extensions import override

from autoseg.core.tensors import Scalar
from autoseg.losses.base import LOSSES, ForegroundBatch
from autoseg.losses.overlap_loss import OverlapLoss
from autoseg.losses.soft_counts import Counts, soft_counts


@LOSSES.register
class GeneralizedDice(OverlapLoss):
    """`1 - 2·Σ w·TP / Σ w·(Σp + Σy)` over all classes, w = 1 / volume² of the class in the sample.

    The background is included. A class that is absent from a sample is left out of both sums,
    because its weight would be infinite. The weights are normalised to a sum of 1, so that `smooth`
    is in voxels, as in the other losses. A sample without any region has the loss 0. Averaged over
    samples; in [0, 1].
    """

    with_background: ClassVar[bool] = True

    kind: Literal["generalized_dice"] = "generalized_dice"

    @override
    def of_probabilities(self, probabilities: ForegroundBatch, truth: ForegroundBatch) -> Scalar:
        counts = soft_counts(probabilities, truth, self.pool)
        weights = volume_weights(counts.true_positives + counts.false_negatives)
        overlap = (weights * counts.true_positives).sum(dim=1)
        errors = (weights * (counts.false_positives + counts.false_negatives)).sum(dim=1)
        return 1 - ((2 * overlap + self.smooth) / (2 * overlap + errors + self.smooth)).mean()


def volume_weights(volumes: Counts) -> Counts:
    """Return 1 / volume² per class, normalised to sum to 1 per sample; 0 for absent classes."""
    present = volumes.detach() >= MIN_VOLUME
    weights = torch.where(present, volumes.detach().clamp(min=MIN_VOLUME) ** -2, 0.0)
    return weights / weights.sum(dim=1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)


MIN_VOLUME = 0.5
"""Volume below which a class counts as absent, voxels; soft counts are not integers."""
