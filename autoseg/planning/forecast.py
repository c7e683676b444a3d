"""Predict the time of a training step from the size of the network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import exp, log
from statistics import fmean

from autoseg.architectures import Architecture
from autoseg.documents.machine import MeasuredMachine
from autoseg.documents.recipe import Recipe

REFERENCE_STEPS = 250_000
"""Optimiser steps of a full training: 1000 epochs of 250. Source: nnU-Net 2.8.1."""

MULTIPLICATIONS_PER_CORE_SECOND = 65e9
"""Forward multiplications per core and second, with the time of their backward pass included.

Source: measured with the plain U-Net under bfloat16 autocast on cores with AVX-512 BF16; fitted
together with the next constant on 2-D and 3-D patches at 16 and 32 features. Whole training steps,
loss and optimiser included, were predicted within 15 %. Other processors were not measured.
"""

ACTIVATIONS_PER_CORE_SECOND = 113e6
"""Activations that a core writes, normalises and reads again per second. Source: as above."""

ACTIVATIONS_PER_ACCELERATOR_SECOND = 8.6e9
"""Activations per second of a GPU. Source: nnU-Net's documentation, 9 hours for 250 000 steps of
2 × 560e6 activations on an A100. For the residual encoder's presets M, L and XL, it gives 12, 35
and 66 hours; the predictions are 11, 34 and 58."""

SHORTEST_ACCELERATOR_STEP = 0.02
"""Minimum seconds of a training step on an accelerator that was not measured: launching kernels
takes time even for a small network. Source: a choice."""

FORWARD_SHARE = 1 / 3
"""Share of the forward pass in a training step: the backward pass computes two gradients, of the
input and of the weights, for each product of the forward pass."""


Step = tuple[Architecture, int]
"""A network and its batch size, which determine the time of a training step."""

StepTimer = Callable[[Sequence[Step]], Mapping[Step, float]]
"""Times training steps on a machine, in seconds; steps that cannot be timed are missing."""


@dataclass(frozen=True)
class Machine:
    """The machine to train on.

    Attributes:
        accelerator_gib: Memory of the GPU; None without a GPU.
        cores: Number of CPU cores.
        measured: Measured speed; None uses the constants of this module.
        timed: Seconds of the training steps that were timed.
        time_steps: Function that times more steps; None uses predictions only.
    """

    accelerator_gib: float | None
    cores: int
    measured: MeasuredMachine | None = None
    timed: Mapping[Step, float] = field(default_factory=dict)
    time_steps: StepTimer | None = None

    @cached_property
    def corrections(self) -> dict[int, float]:
        """Mean ratio of timed to predicted step times, by number of patch axes."""
        ratios: dict[int, list[float]] = {}
        for (architecture, batch_size), seconds in self.timed.items():
            predicted = _predicted_seconds(architecture, batch_size, self)
            ratios.setdefault(architecture.topology.num_axes, []).append(log(seconds / predicted))
        return {num_axes: exp(fmean(logs)) for num_axes, logs in ratios.items()}


def step_seconds(architecture: Architecture, batch_size: int, machine: Machine) -> float:
    """Return the time of one optimiser step in seconds, timed or else predicted.

    Predictions are corrected by the timed steps of other networks with the same number of axes.

    Args:
        architecture: The network.
        batch_size: Patches per step.
        machine: The machine to train on.
    """
    timed = machine.timed.get((architecture, batch_size))
    if timed is not None:
        return timed
    correction = machine.corrections.get(architecture.topology.num_axes, 1.0)
    return correction * _predicted_seconds(architecture, batch_size, machine)


def _predicted_seconds(architecture: Architecture, batch_size: int, machine: Machine) -> float:
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
    """Return the predicted hours of a full training of `REFERENCE_STEPS` steps.

    Args:
        architecture: The network.
        batch_size: Patches per step.
        machine: The machine to train on.
    """
    return step_seconds(architecture, batch_size, machine) * REFERENCE_STEPS / 3600


def training_step_seconds(
    architecture: Architecture, batch_size: int, recipe: Recipe, machine: Machine
) -> float:
    """Return the predicted seconds per training step, including online validation.

    Validation takes one forward pass per batch.

    Args:
        architecture: The network.
        batch_size: Patches per step.
        recipe: Training recipe; its `validation_share` is the number of validation batches per
            training step.
        machine: The machine to train on.
    """
    validation = FORWARD_SHARE * recipe.validation_share
    return step_seconds(architecture, batch_size, machine) * (1 + validation)
