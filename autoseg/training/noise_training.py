"""Run training steps on noise to time them."""

from collections.abc import Sequence
from time import perf_counter

import torch

from autoseg.architectures import Architecture
from autoseg.core.device import memory_layout
from autoseg.documents.recipe import SHORT_RECIPE
from autoseg.losses.dice_ce import DiceCrossEntropy
from autoseg.training.state import initial_state
from autoseg.training.step import training_step


class NoiseTraining:
    """Training of a network on noise with the recipe for short trainings.

    Args:
        architecture: The network.
        batch_size: Patches per step.
        device: Device to train on.
        dtype: Data type of convolutions.
    """

    def __init__(
        self, architecture: Architecture, batch_size: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._dtype = dtype
        self._state = initial_state(
            architecture, SHORT_RECIPE, device=device, dtype=dtype, seed=0, epoch_steps=1
        )
        shape = (batch_size, architecture.in_channels, *architecture.input_shape)
        layout = memory_layout(device, architecture.topology.num_axes)
        drawn = torch.Generator().manual_seed(0)
        images = torch.randn(shape, generator=drawn)
        labels = (images[:, 0] > 1).long().clamp(max=architecture.num_classes - 1)
        margin = (slice(edge, -edge or None) for edge in architecture.output_margin())
        self._batch = (
            images.to(device).contiguous(memory_format=layout),
            labels[(slice(None), *margin)].to(device),
        )

    def step(self) -> float:
        """Run one training step and return its time in seconds."""
        before = perf_counter()
        loss = training_step(
            self._state,
            self._batch,
            DiceCrossEntropy(),
            rate=SHORT_RECIPE.optimizer.learning_rate,
            gradient_clip=SHORT_RECIPE.gradient_clip,
            dtype=self._dtype,
        )
        float(loss)  # waits until an accelerator is finished
        return perf_counter() - before


def step_times(
    trainings: Sequence[NoiseTraining], rounds: int, most_seconds: float
) -> list[list[float]]:
    """Time steps of several trainings in turns, in seconds.

    The first step of each training is a warm-up and not timed.

    Args:
        trainings: Trainings to time.
        rounds: Maximum number of timed steps per training, at least 1.
        most_seconds: Time after which no further round starts.
    """
    started = perf_counter()
    for training in trainings:
        training.step()
    seconds = [[training.step()] for training in trainings]
    for _ in range(rounds - 1):
        if perf_counter() - started > most_seconds:
            break
        for training, times in zip(trainings, seconds, strict=True):
            times.append(training.step())
    return seconds
