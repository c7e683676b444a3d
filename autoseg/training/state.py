"""Everything that changes while a network trains, and nothing else."""

from dataclasses import dataclass, field

import torch
from torch import nn

from autoseg.architectures import Architecture
from autoseg.core.device import on_device
from autoseg.core.random import derived_seed
from autoseg.documents.recipe import AdamW, Recipe
from autoseg.documents.run import EpochRecord, Pretraining
from autoseg.training.learning_rate import Position

FUSED_DEVICES = ("cpu", "cuda")
"""Where torch's optimisers have a step that goes through the weights once."""


@dataclass
class TrainingState:
    """A training in progress; a checkpoint is exactly this.

    Attributes:
        network: In training mode.
        average: Moving average of the network's weights; None if the recipe keeps none.
        optimizer: Over the network's parameters.
        scaler: Gradient scaler of float16 training; disabled otherwise.
        epoch_steps: Steps between two validations.
        position: Steps and seconds so far.
        epoch_losses: Training losses since the last validation.
        history: Finished epochs.
        pretraining: What the network started from; None for a random start.
    """

    network: nn.Module
    average: nn.Module | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    epoch_steps: int
    position: Position = field(default_factory=lambda: Position(step=0, seconds=0.0))
    epoch_losses: list[float] = field(default_factory=list)
    history: list[EpochRecord] = field(default_factory=list)
    pretraining: Pretraining | None = None

    @property
    def result(self) -> nn.Module:
        """The network to keep: the average of the weights, if there is one."""
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
    """Return an untrained state; seeds torch's global generators, which belong to the network."""
    torch.manual_seed(derived_seed(seed, "network"))
    network = on_device(architecture.build(), device)
    architecture.load_start(network)
    average = None
    if recipe.average_decay:
        average = on_device(architecture.build(), device)
        average.load_state_dict(network.state_dict())
        average.requires_grad_(requires_grad=False)
    return TrainingState(
        network=network,
        average=average,
        optimizer=build_optimizer(network, recipe, dtype),
        scaler=torch.amp.GradScaler(device.type, enabled=dtype == torch.float16),
        epoch_steps=epoch_steps,
    )


def build_optimizer(
    network: nn.Module, recipe: Recipe, dtype: torch.dtype = torch.float32
) -> torch.optim.Optimizer:
    """Return the recipe's optimiser; the learning rate is set before every step.

    It goes once through all weights where torch can: a third of the time on a CPU. In float16 SGD
    does not: if the first step overflows, torch 2.13 leaves that one's momentum uninitialised.

    Args:
        network: Its weights are changed.
        recipe: Says which optimiser.
        dtype: What convolutions compute in.
    """
    chosen = recipe.optimizer
    fused = next(network.parameters()).device.type in FUSED_DEVICES
    if isinstance(chosen, AdamW):
        return torch.optim.AdamW(
            network.parameters(),
            lr=chosen.learning_rate,
            betas=chosen.betas,
            weight_decay=chosen.weight_decay,
            fused=fused,
        )
    return torch.optim.SGD(
        network.parameters(),
        lr=chosen.learning_rate,
        momentum=chosen.momentum,
        nesterov=True,
        weight_decay=chosen.weight_decay,
        fused=fused and dtype != torch.float16,
    )
