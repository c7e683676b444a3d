"""How to train: optimiser, schedule, sampling, augmentation. A variant is a value, no subclass."""

from math import inf
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

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
from autoseg.core.frozen import Fraction, Frozen

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
"""nnU-Net's list, in its order. Source: Isensee et al. 2021, Supplementary Note 4."""

CASCADE_INPUT_AUGMENTATIONS = (CascadeMorphology(), CascadeComponents())
"""What a cascade adds: changes of the previous stage's prediction, after the others.
Source: nnU-Net 2.8.1."""


class StochasticGradientDescent(Frozen):
    """SGD with Nesterov momentum. Source: Isensee et al. 2021, Methods, "Training schedule"."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: PositiveFloat = 0.01
    momentum: Fraction = 0.99
    weight_decay: NonNegativeFloat = 3e-5


class AdamW(Frozen):
    """Adam with decoupled weight decay. Source: Loshchilov & Hutter, ICLR 2019."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: PositiveFloat = 1e-3
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    weight_decay: NonNegativeFloat = 1e-2


AnyOptimizer = Annotated[StochasticGradientDescent | AdamW, Field(discriminator="kind")]


class Iterations(Frozen):
    """Train for a fixed number of optimiser steps."""

    kind: Literal["iterations"] = "iterations"
    total: PositiveInt


class Budget(Frozen):
    """Train for a wall-clock time; the learning rate reaches zero when it is spent.

    The clock counts training steps, online validation and checkpoints, over all interruptions. It
    does not count preprocessing before and the prediction of the held-out cases afterwards.

    Attributes:
        seconds: The time.
        most_steps: Where a training ends that is through with so many steps before; None for no
            such limit.
    """

    kind: Literal["budget"] = "budget"
    seconds: PositiveFloat
    most_steps: PositiveInt | None = None

    def steps(self, seconds_per_step: float) -> float:
        """Return how many steps will be done at a pace."""
        return min(self.seconds / seconds_per_step, float(self.most_steps or inf))


AnyLength = Annotated[Iterations | Budget, Field(discriminator="kind")]


class Recipe(Frozen):
    """Everything about training that is neither the data nor the network.

    Attributes:
        optimizer: And its peak learning rate.
        decay_exponent: The learning rate falls as `(1 - progress) ** exponent`.
        warm_up: Share of the training in which the learning rate rises linearly from zero.
        gradient_clip: Largest norm of the gradient of all parameters together.
        foreground_fraction: Share of each batch whose patches are centred on foreground.
        head_prior: Whether the heads' biases start at the logarithm of the class frequencies.
        average_decay: Decay per step of the exponential moving average of the weights that is kept
            as the result; 0 keeps the last weights.
        iterations_per_epoch: Steps between two online validations; short trainings take fewer.
        validation_share: Online validation batches per training step of an epoch.
        augmentations: Applied in this order.
    """

    optimizer: AnyOptimizer = StochasticGradientDescent()
    decay_exponent: PositiveFloat = 0.9
    warm_up: Fraction = 0.0
    gradient_clip: PositiveFloat = 12.0
    foreground_fraction: Fraction = 0.33
    head_prior: bool = False
    average_decay: Fraction = 0.0
    iterations_per_epoch: PositiveInt = 250
    validation_share: Fraction = 0.2
    augmentations: tuple[AnyAugmentation, ...] = REFERENCE_AUGMENTATIONS


SHORT_RECIPE = Recipe(
    optimizer=AdamW(learning_rate=1e-3, weight_decay=1e-2),
    warm_up=0.02,
    head_prior=True,
    validation_share=0.1,
)
"""For trainings of minutes: on hippocampus, 200 steps of the reference recipe predict background
alone, and of this one reach a pseudo-Dice of 0.75 (docs/pages/experiments.md)."""


class TrainingOptions(Frozen):
    """What the user asked of one training run.

    Attributes:
        length: When it ends.
        seed: Of weights, sampling and augmentation.
        precision: Type that convolutions compute in.
    """

    length: AnyLength
    seed: NonNegativeInt = 0
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
