"""Stochastic gradient descent with Nesterov momentum.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Training schedule".
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import nn
from typing_extensions import override

from autoseg.core.frozen import Fraction
from autoseg.optimizers.base import OPTIMIZERS, Optimizer, can_be_fused


@OPTIMIZERS.register
class StochasticGradientDescent(Optimizer):
    """SGD with Nesterov momentum, whose weight decay is part of the gradient.

    A fine-tuning has a tenth of the learning rate. Source: nnU-Net's trainers for pretrained
    weights (development version of 2025), 0.001 instead of 0.01.

    Attributes:
        momentum: Decay of the moving sum of gradients.
        weight_decay: Multiple of the weights that is added to their gradients.
    """

    states_per_weight: ClassVar[int] = 1
    fine_tuning_factor: ClassVar[float] = 0.1

    kind: Literal["sgd"] = "sgd"
    learning_rate: PositiveFloat = 0.01
    momentum: Fraction = 0.99
    weight_decay: NonNegativeFloat = 3e-5

    @override
    def build(
        self, parameters: Sequence[nn.Parameter], dtype: torch.dtype = torch.float32
    ) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            parameters,
            lr=self.learning_rate,
            momentum=self.momentum,
            nesterov=True,
            weight_decay=self.weight_decay,
            # if the first step in float16 overflows, torch 2.13 leaves fused momentum uninitialised
            fused=can_be_fused(parameters) and dtype != torch.float16,
        )
