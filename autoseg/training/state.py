"""Mutable state of a training."""

from dataclasses import dataclass, field

import torch
from torch import nn

from autoseg.architectures import Architecture
from autoseg.core.device import move_to_device
from autoseg.core.random import derived_seed
from autoseg.documents.recipe import Recipe
from autoseg.documents.run import EpochRecord, Pretraining
from autoseg.training.position import Position


@dataclass
class TrainingState:
    """State of a training, as saved in a checkpoint.

    Attributes:
        network: The network in training mode.
        average: Network with the moving average of the weights; None if the recipe uses none.
        optimizer: Optimiser of the network's parameters.
        scaler: Gradient scaler of float16 training; disabled for other dtypes.
        epoch_steps: Steps per epoch, after which the network is validated.
        position: Completed steps and seconds.
        epoch_losses: Training losses since the last validation.
        history: Records of completed epochs.
        rate_factor: Factor of the learning rate; less than 1 once the loss was not finite.
        skipped_steps: Consecutive last steps of float16 training without a finite loss; not saved.
        pretraining: Record of the pretrained weights; None for a random initialisation.
    """

    network: nn.Module
    average: nn.Module | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    epoch_steps: int
    position: Position = field(default_factory=lambda: Position(step=0, seconds=0.0))
    epoch_losses: list[float] = field(default_factory=list)
    history: list[EpochRecord] = field(default_factory=list)
    rate_factor: float = 1.0
    skipped_steps: int = 0
    pretraining: Pretraining | None = None

    @property
    def result(self) -> nn.Module:
        """The network to validate and save: the average of the weights if there is one."""
        return self.network if self.average is None else self.average


def initial_state(
    architecture: Architecture,
    recipe: Recipe,
    *,
    device: torch.device,
    dtype: torch.dtype,
    seed: int,
    epoch_steps: int,
) -> TrainingState:
    """Build the initial state; this seeds torch's global random generators.

    Args:
        architecture: The network.
        recipe: Training recipe.
        device: Device to train on.
        dtype: Data type of convolutions.
        seed: Random seed of the initial weights.
        epoch_steps: Steps per epoch.
    """
    torch.manual_seed(derived_seed(seed, "network"))
    network = architecture.build()
    architecture.load_pretrained(network)
    network = move_to_device(network, device)
    average = None
    if recipe.average_decay:
        average = move_to_device(architecture.build(), device)
        average.load_state_dict(network.state_dict())
        average.requires_grad_(requires_grad=False)
    return TrainingState(
        network=network,
        average=average,
        optimizer=recipe.optimizer.build(tuple(network.parameters()), dtype),
        scaler=torch.amp.GradScaler(device.type, enabled=dtype == torch.float16),
        epoch_steps=epoch_steps,
    )
