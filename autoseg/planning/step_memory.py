"""How much accelerator memory a training step takes, as torch allocates it.

Patches are not sized by this: the reference method has a reckoning of its own (see `memory`), which
leaves room.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from math import prod
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from autoseg.architectures import ARCHITECTURES, Architecture
from autoseg.architectures.convolutions import UNET_KEPT_VALUES
from autoseg.core.formatting import number
from autoseg.documents.recipe import AdamW, Recipe
from autoseg.planning.planned_value import OWN, PlannedValue

BYTES_PER_KEPT_VALUE = 2.3
"""Of a value that is kept for the backward pass: 2 in half precision, and what gradients on their
way back add. Source: this and the next constant were fitted to the peak of all tensors of a
training step in bfloat16 (torch 2.13.0), of the plain U-Net from 32³ to 128³ and 128² to 512²
voxels; a test compares. What a GPU's convolutions need beside tensors was not measured."""

BYTES_PER_SCORE = 12.3
"""Of a score of a class in a voxel: the loss works in single precision. Source: as above."""

BYTES_PER_WEIGHT = 4
"""Of a weight, its gradient, and each value that the optimiser keeps of it."""

HALF_PRECISION_BYTES = 2
"""Of the copy of a weight that half precision computes with."""

BYTES_PER_GIB = 2**30


def predicted_memory(
    architecture: Architecture, batch_size: int, recipe: Recipe
) -> PlannedValue[float]:
    """Return the memory of a training step, GiB, and how it is made up."""
    weights = weight_count(architecture)
    reason = (
        f"{batch_size} × {architecture.activation_count() / 1e6:.0f} million activations at "
        f"{number(bytes_per_activation(architecture))} bytes, {number(weights / 1e6)} million "
        f"weights at {BYTES_PER_WEIGHT * _copies(recipe) + HALF_PRECISION_BYTES} and more, and "
        "the scores; patches are sized by the reference's reckoning, which leaves room"
    )
    value = step_memory_gib(architecture, batch_size, recipe)
    return PlannedValue(value, "step_memory_gib", reason, OWN)


def step_memory_gib(architecture: Architecture, batch_size: int, recipe: Recipe) -> float:
    """Return the most memory that a training step takes at any moment, GiB.

    That is at the end of the forward pass, when all activations are kept, or when the optimiser has
    the gradients of all weights.

    Args:
        architecture: The network.
        batch_size: Patches per step.
        recipe: How it is trained.
    """
    weights = weight_count(architecture)
    kept = architecture.activation_count() * bytes_per_activation(architecture)
    scores = architecture.num_classes * prod(architecture.topology.patch_shape) * BYTES_PER_SCORE
    lasting = weights * BYTES_PER_WEIGHT * _copies(recipe)
    forward = lasting + weights * HALF_PRECISION_BYTES + batch_size * (kept + scores)
    update = lasting + weights * BYTES_PER_WEIGHT
    return max(forward, update) / BYTES_PER_GIB


def bytes_per_activation(architecture: Architecture) -> float:
    """Return the bytes that a training step needs for each value of `activation_count`.

    Networks are compared with the plain U-Net by their memory references, unless they say
    themselves what they keep.
    """
    axes = architecture.topology.num_axes
    if architecture.kept_values is not None:
        return BYTES_PER_KEPT_VALUE * architecture.kept_values[axes]
    plain, own = (
        network.memory_references[axes][0] for network in (ARCHITECTURES["unet"], architecture)
    )
    return BYTES_PER_KEPT_VALUE * UNET_KEPT_VALUES * plain.activations / own.activations


@lru_cache(maxsize=64)
def weight_count(architecture: Architecture) -> int:
    """Return how many weights a network has; it is built without memory or values for them."""
    with torch.device("meta"), _Uninitialised():
        network = architecture.build()
    return sum(parameter.numel() for parameter in network.parameters())


class _Uninitialised(TorchFunctionMode):
    """Leaves out what changes a tensor without values; for that, torch would load a second more."""

    @override
    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        name = getattr(func, "__name__", "")
        is_in_place = name.endswith("_") and not name.endswith("__")
        if is_in_place and args and isinstance(args[0], torch.Tensor) and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


def _copies(recipe: Recipe) -> int:
    """Return how many values there are per weight between steps: itself and the optimiser's."""
    moments = 2 if isinstance(recipe.optimizer, AdamW) else 1
    return 1 + moments + bool(recipe.average_decay)
