"""What the user chose about training; the planner follows it instead of its rules."""

from dataclasses import dataclass

from autoseg.losses import Loss
from autoseg.planning.augmentation import AugmentationName
from autoseg.planning.weights import LossWeighting


@dataclass(frozen=True)
class TrainingChoices:
    """Choices about training; None leaves a choice to the planner.

    Attributes:
        loss: Loss to minimise; by default Dice plus cross-entropy.
        augmentation: Set of augmentations; by default chosen by the rule `augmentation`.
        weighting: Class weights of the loss, see `loss_weights`.
    """

    loss: type[Loss] | None = None
    augmentation: AugmentationName | None = None
    weighting: LossWeighting = "planned"


NO_CHOICES = TrainingChoices()
"""Leaves everything to the planner."""
