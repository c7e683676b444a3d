"""How long a training step takes, predicted from the size of the network alone."""

from dataclasses import dataclass

from autoseg.architectures import Architecture
from autoseg.documents.machine import MeasuredMachine
from autoseg.documents.recipe import Recipe

REFERENCE_STEPS = 250_000
"""Optimiser steps of a full training: 1000 epochs of 250. Source: nnU-Net 2.8.1."""

MULTIPLICATIONS_PER_CORE_SECOND = 65e9
"""Forward multiplications for which a core also does the backward pass in a second.

Source: measured with the plain U-Net under bfloat16 autocast on cores with AVX-512 BF16; fitted
together with the next constant on 2-D and 3-D patches at 16 and 32 features. Whole training steps,
loss and optimiser included, were predicted within 15 %. Other processors are not measured.
"""

ACTIVATIONS_PER_CORE_SECOND = 113e6
"""Activations that a core writes, normalises and reads back in a second. Source: as above."""

ACTIVATIONS_PER_ACCELERATOR_SECOND = 8.6e9
"""Source: nnU-Net's documentation, 9 hours for 250 000 steps of 2 × 560e6 activations, A100.
The 12, 35 and 66 hours that it gives for the residual encoder's presets M, L and XL are predicted
as 11, 34 and 58."""

SHORTEST_ACCELERATOR_STEP = 0.02
"""Seconds that a training step takes on an accelerator however small the network, until the machine
is measured: the kernels of the network have to be launched. Source: a choice."""

FORWARD_SHARE = 1 / 3
"""Share of a training step that its forward pass takes: the backward pass finds two gradients, of
what came in and of the weights, for each product of the forward pass."""


@dataclass(frozen=True)
class Machine:
    """What training will run on.

    Attributes:
        accelerator_gib: Memory of the graphics card, or none without one.
        cores: CPU cores.
        measured: Its speed; none goes by the constants above.
    """

    accelerator_gib: float | None
    cores: int
    measured: MeasuredMachine | None = None


def step_seconds(architecture: Architecture, batch_size: int, machine: Machine) -> float:
    """Return the predicted time of one optimiser step."""
    activations = architecture.activation_count() * batch_size
    multiplications = architecture.multiplication_count() * batch_size
    if machine.measured is not None:
        costs = machine.measured.costs(architecture.topology.num_axes)
        return costs.seconds(multiplications=multiplications, activations=activations)
    if machine.accelerator_gib is not None:
        return max(activations / ACTIVATIONS_PER_ACCELERATOR_SECOND, SHORTEST_ACCELERATOR_STEP)
    one_core = (
        multiplications / MULTIPLICATIONS_PER_CORE_SECOND
        + activations / ACTIVATIONS_PER_CORE_SECOND
    )
    return one_core / machine.cores


def training_hours(architecture: Architecture, batch_size: int, machine: Machine) -> float:
    """Return the predicted time of a full training of `REFERENCE_STEPS`."""
    return step_seconds(architecture, batch_size, machine) * REFERENCE_STEPS / 3600


def training_step_seconds(
    architecture: Architecture, batch_size: int, recipe: Recipe, machine: Machine
) -> float:
    """Return the predicted time per step of a training, online validation included.

    Validation takes a forward pass per batch.
    """
    validation = FORWARD_SHARE * recipe.validation_share
    return step_seconds(architecture, batch_size, machine) * (1 + validation)
