"""Base class of the optimisers, which update weights from their gradients."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import BeforeValidator, PositiveFloat, SerializeAsAny
from torch import nn

from autoseg.core.registry import Component, Family

FUSED_DEVICES = ("cpu", "cuda")
"""Devices with fused optimisers, which update all weights in one pass."""


class Optimizer(Component):
    """Configuration of an optimiser.

    Attributes:
        states_per_weight: Values that the optimiser keeps per weight between two steps.
        fine_tuning_factor: Learning rate of a fine-tuning, relative to `learning_rate`.
        learning_rate: Peak learning rate.
    """

    states_per_weight: ClassVar[int]
    fine_tuning_factor: ClassVar[float]

    learning_rate: PositiveFloat

    @abstractmethod
    def build(
        self, parameters: Sequence[nn.Parameter], dtype: torch.dtype = torch.float32
    ) -> torch.optim.Optimizer:
        """Build the optimiser; the `lr` of its parameter groups is set before every step.

        Its state between two steps must consist of tensors, which are saved in checkpoints.

        Args:
            parameters: Weights to optimise, on their device.
            dtype: Data type of convolutions.
        """


def can_be_fused(parameters: Sequence[nn.Parameter]) -> bool:
    """Return True if the device has fused optimisers; on a CPU, they take a third of the time."""
    return parameters[0].device.type in FUSED_DEVICES


OPTIMIZERS: Family[Optimizer] = Family("optimizer")
AnyOptimizer = Annotated[SerializeAsAny[Optimizer], BeforeValidator(OPTIMIZERS.parse)]
