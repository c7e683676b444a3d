"""Soft Dice plus the boundary loss, whose weight grows during training.

Source: Kervadec et al., MIDL 2019 (Medical Image Analysis 67, 2021), section 2.3 ("rebalance"):
the weight of the region loss falls from 1 to 0.01 in equal steps.
"""

from typing import Literal

from typing_extensions import override

from autoseg.core.frozen import Fraction
from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Targets, Valid
from autoseg.losses.boundary import Boundary
from autoseg.losses.dice import CompoundLoss
from autoseg.losses.distance_loss import BatchGeometry, DistanceLoss
from autoseg.losses.distances import DistanceMaps, LabelMasks, signed_distances


@LOSSES.register
class DiceBoundary(DistanceLoss, CompoundLoss):
    """`a·(Dice loss) + (1 - a)·(boundary loss)`, where a decreases linearly during training.

    Unlike the published loss, it uses foreground Dice instead of generalised Dice, as the other
    compound losses do, and boundary distances in mm.

    Attributes:
        first_dice_weight: a at the start of the training.
        last_dice_weight: a at the end of the training.
        progress: Completed share of the training; the training loop sets it before each step.
    """

    kind: Literal["dice_boundary"] = "dice_boundary"
    first_dice_weight: Fraction = 1.0
    last_dice_weight: Fraction = 0.01
    progress: Fraction = 0.0

    @property
    def dice_weight(self) -> float:
        """Current value of the weight a."""
        decrease = self.progress * (self.first_dice_weight - self.last_dice_weight)
        return self.first_dice_weight - decrease

    @override
    def at(self, progress: Fraction) -> "DiceBoundary":
        return self.model_copy(update={"progress": progress})

    @override
    def reference_maps(self, masks: LabelMasks) -> DistanceMaps:
        return signed_distances(masks)

    @override
    def value(
        self, logits: LogitsBatch, labels: Targets, valid: Valid, geometry: BatchGeometry
    ) -> Scalar:
        dice = self.dice(logits, labels, valid)
        boundary = Boundary().value(logits, labels, valid, geometry)
        return self.dice_weight * dice + (1 - self.dice_weight) * boundary
