"""How long a training step takes, predicted from the size of the network alone."""

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


Step = tuple[Architecture, int]
"""A network and its batch size, which decide how long a training step takes."""

StepTimer = Callable[[Sequence[Step]], Mapping[Step, float]]
"""Returns the seconds of training steps on a machine; those that cannot be timed are missing."""


@dataclass(frozen=True)
class Machine:
    """What training will run on.

    Attributes:
        accelerator_gib: Memory of the GPU, or none without one.
        cores: CPU cores.
        measured: Its speed; none goes by the constants above.
        timed: Seconds of training steps that were timed.
        time_steps: Times more of them; None goes by predictions.
    """

    accelerator_gib: float | None
    cores: int
    measured: MeasuredMachine | None = None
    timed: Mapping[Step, float] = field(default_factory=dict)
    time_steps: StepTimer | None = None

    @cached_property
    def corrections(self) -> dict[int, float]:
        """By what factor timed steps took longer than predicted, by the number of patch axes."""
        ratios: dict[int, list[float]] = {}
        for (architecture, batch_size), seconds in self.timed.items():
            predicted = _predicted_seconds(architecture, batch_size, self)
            ratios.setdefault(architecture.topology.num_axes, []).append(log(seconds / predicted))
        return {num_axes: exp(fmean(found)) for num_axes, found in ratios.items()}


def step_seconds(architecture: Architecture, batch_size: int, machine: Machine) -> float:
    """Return the time of one optimiser step: as it was timed, or else predicted.

    Predictions are corrected by what other networks of as many axes took that were timed.
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
