"""Adam with decoupled weight decay.

Source: Loshchilov & Hutter, ICLR 2019.
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
class AdamW(Optimizer):
    """Adam with decoupled weight decay.

    A fine-tuning has a third of the learning rate. Source: nnU-Net's trainers for pretrained
    weights (development version of 2025), 0.0001 instead of 0.0003; see Wald et al., "An OpenMind
    for 3D medical vision self-supervised learning", ICCV 2025.

    Attributes:
        betas: Decay of the moving averages of the gradient and of its square.
        weight_decay: Share by which a step reduces the weights, relative to the learning rate.
    """

    states_per_weight: ClassVar[int] = 2
    fine_tuning_factor: ClassVar[float] = 1 / 3

    kind: Literal["adamw"] = "adamw"
    learning_rate: PositiveFloat = 1e-3
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    weight_decay: NonNegativeFloat = 1e-2

    @override
    def build(
        self, parameters: Sequence[nn.Parameter], dtype: torch.dtype = torch.float32
    ) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            parameters,
            lr=self.learning_rate,
            betas=self.betas,
            weight_decay=self.weight_decay,
            fused=can_be_fused(parameters),
        )
