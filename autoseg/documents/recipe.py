"""Training recipe: optimiser, learning rate schedule, sampling and augmentation, as values."""

from collections.abc import Callable
from math import inf
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, model_serializer

from autoseg.augmentations import AnyAugmentation
from autoseg.augmentations.brightness import Brightness
from autoseg.augmentations.cascade_components import CascadeComponents
from autoseg.augmentations.cascade_morphology import CascadeMorphology
from autoseg.augmentations.contrast import Contrast
from autoseg.augmentations.gamma import Gamma
from autoseg.augmentations.gaussian_blur import GaussianBlur
from autoseg.augmentations.gaussian_noise import GaussianNoise
from autoseg.augmentations.low_resolution import LowResolution
from autoseg.augmentations.mirroring import Mirroring
from autoseg.augmentations.spatial import Spatial
from autoseg.core.frozen import Fraction, Frozen, NonNegativeInt, PositiveInt
from autoseg.optimizers import AnyOptimizer
from autoseg.optimizers.adamw import AdamW
from autoseg.optimizers.sgd import StochasticGradientDescent
from autoseg.schedules import AnySchedule
from autoseg.schedules.polynomial import Polynomial

REFERENCE_AUGMENTATIONS = (
    Spatial(),
    GaussianNoise(),
    GaussianBlur(),
    Brightness(),
    Contrast(),
    LowResolution(),
    Gamma(probability=0.1, inverted=True),
    Gamma(probability=0.3),
    Mirroring(),
)
"""Augmentations of nnU-Net, in its order. Source: Isensee et al. 2021, Supplementary Note 4."""

CASCADE_INPUT_AUGMENTATIONS = (CascadeMorphology(), CascadeComponents())
"""Augmentations of the cascade input, applied after the others. Source: nnU-Net 2.8.1."""


class Iterations(Frozen):
    """Train for a fixed number of optimiser steps."""

    kind: Literal["iterations"] = "iterations"
    total: PositiveInt


class Budget(Frozen):
    """Train for a wall-clock time; the learning rate reaches zero at its end.

    The time includes training steps, online validation and checkpoints, summed over interruptions.
    It does not include preprocessing and the final prediction of the held-out cases.

    Attributes:
        seconds: Training time.
        most_steps: Maximum number of steps, after which training ends early; None for no limit.
    """

    kind: Literal["budget"] = "budget"
    seconds: PositiveFloat
    most_steps: PositiveInt | None = None

    def steps(self, seconds_per_step: float) -> float:
        """Return the expected number of steps for a time per step."""
        return min(self.seconds / seconds_per_step, float(self.most_steps or inf))


AnyLength = Annotated[Iterations | Budget, Field(discriminator="kind")]


class Recipe(Frozen):
    """All training settings except data, network and loss.

    Attributes:
        optimizer: Optimiser with its peak learning rate.
        schedule: Learning rate schedule, with the warm-up.
        gradient_clip: Maximum gradient norm over all parameters.
        foreground_fraction: Fraction of each batch whose patches are centred on foreground.
        rare_class_power: Power p of the choice of the class or region that such a patch is centred
            on: among those of the case, with a probability proportional to frequency^-p; 0 chooses
            each equally often.
        head_prior: Whether to initialise the biases of the output layers to the logarithm of the
            class frequencies.
        average_decay: Decay per step of the exponential moving average of the weights, which is the
            final model; 0 keeps the last weights.
        iterations_per_epoch: Steps between two online validations; fewer in short trainings.
        validation_share: Online validation batches per training step of an epoch.
        augmentations: Augmentations, applied in this order.
    """

    optimizer: AnyOptimizer = StochasticGradientDescent()
    schedule: AnySchedule = Polynomial()
    gradient_clip: PositiveFloat = 12.0
    foreground_fraction: Fraction = 0.33
    rare_class_power: Fraction = 0.0
    head_prior: bool = False
    average_decay: Fraction = 0.0
    iterations_per_epoch: PositiveInt = 250
    validation_share: Fraction = 0.2
    augmentations: tuple[AnyAugmentation, ...] = REFERENCE_AUGMENTATIONS

    def learning_rate(self, progress: Fraction) -> float:
        """Return the learning rate at a completed share of the training, in [0, 1]."""
        return self.schedule.learning_rate(self.optimizer.learning_rate, progress)

    @model_serializer(mode="wrap")
    def _written(self, dump: Callable[[object], dict[str, object]]) -> dict[str, object]:
        """Leave out `rare_class_power` at 0: the JSON text identifies a training."""
        fields = dump(self)
        if not self.rare_class_power:
            fields.pop("rare_class_power", None)
        return fields


SHORT_RECIPE = Recipe(
    optimizer=AdamW(learning_rate=1e-3, weight_decay=1e-2),
    schedule=Polynomial(warm_up=0.02),
    head_prior=True,
    validation_share=0.1,
)
"""Recipe for trainings of minutes. On hippocampus, after 200 steps it reaches a pseudo-Dice of
0.75, whereas nnU-Net's recipe predicts only background (docs/pages/experiments.md)."""


class TrainingOptions(Frozen):
    """Options of one training run.

    Attributes:
        length: Duration of the training.
        seed: Seed of weights, sampling and augmentation.
        precision: Data type of convolutions.
    """

    length: AnyLength
    seed: NonNegativeInt = 0
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
