"""Adam with Nesterov momentum and decoupled weight decay.

Source: Dozat, ICLR 2016 workshop (NAdam); Loshchilov & Hutter, ICLR 2019 (weight decay).
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import nn
from typing_extensions import override

from autoseg.core.frozen import Fraction
from autoseg.optimizers.base import OPTIMIZERS, Optimizer


@OPTIMIZERS.register
class NAdam(Optimizer):
    """Adam with Nesterov momentum, which rises in the first steps, and decoupled weight decay.

    A fine-tuning has a third of the learning rate, as with AdamW.

    Attributes:
        betas: Decay of the moving averages of the gradient and of its square.
        weight_decay: Share by which a step reduces the weights, relative to the learning rate.
        momentum_decay: Speed at which the momentum rises from half of `betas[0]`.
    """

    states_per_weight: ClassVar[int] = 2
    fine_tuning_factor: ClassVar[float] = 1 / 3

    kind: Literal["nadam"] = "nadam"
    learning_rate: PositiveFloat = 2e-3
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    weight_decay: NonNegativeFloat = 1e-2
    momentum_decay: NonNegativeFloat = 4e-3

    @override
    def build(
        self, parameters: Sequence[nn.Parameter], dtype: torch.dtype = torch.float32
    ) -> torch.optim.Optimizer:
        return torch.optim.NAdam(
            parameters,
            lr=self.learning_rate,
            betas=self.betas,
            weight_decay=self.weight_decay,
            momentum_decay=self.momentum_decay,
            decoupled_weight_decay=True,
        )
