"""Generalised Dice: one overlap of all classes, in which small classes count as much as large ones.

Source: Sudre et al., DLMIA 2017, section 2.1.
"""

from functools import partial
from typing import Literal

import torch
from pydantic import PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Loss, LossFunction, Targets
from autoseg.losses.soft_counts import Counts, Pool, predicted_and_true, soft_counts


@LOSSES.register
class GeneralizedDice(Loss):
    """`1 - 2·Σ w·TP / Σ w·(Σp + Σy)` over all classes, w = 1 / volume² of the class in the sample.

    The background takes part. A class that is absent from a sample leaves both sums: its weight
    would be infinite. The weights are scaled to a sum of 1, which changes nothing but makes
    `smooth` a number of voxels here too. Where no region is in a sample, it costs nothing.

    Attributes:
        pool: Over what volumes are counted.
        smooth: Added to both halves of the ratio, in voxels.
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
    """Return 1 - generalised Dice, averaged over samples; in [0, 1]."""
    probabilities, truth = predicted_and_true(logits, labels, with_background=True)
    counts = soft_counts(probabilities, truth, valid, pool)
    weights = volume_weights(counts.true_positives + counts.false_negatives)
    found = (weights * counts.true_positives).sum(dim=1)
    failed = (weights * (counts.false_positives + counts.false_negatives)).sum(dim=1)
    return 1 - ((2 * found + smooth) / (2 * found + failed + smooth)).mean()


def volume_weights(volumes: Counts) -> Counts:
    """Return 1 / volume², scaled to sum to 1 in every sample; 0 for what is absent."""
    present = volumes.detach() >= SMALLEST_VOLUME
    weights = torch.where(present, volumes.detach().clamp(min=SMALLEST_VOLUME) ** -2, 0.0)
    return weights / weights.sum(dim=1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)


SMALLEST_VOLUME = 0.5
"""Voxels below which a class is absent; soft counts are not whole numbers."""
