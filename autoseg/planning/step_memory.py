"""Predict the accelerator memory that torch allocates in a training step.

Patches are not sized by this prediction, but by the estimate of the reference method (see
`memory`), which leaves some memory free.
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
from autoseg.core.formatting import format_number
from autoseg.documents.recipe import Recipe
from autoseg.planning.planned_value import OWN, PlannedValue

BYTES_PER_KEPT_VALUE = 2.3
"""Bytes per value kept for the backward pass: 2 in half precision, plus a share for gradients.
Source: this and the next constant were fitted to the peak of all tensors of a training step in
bfloat16 (torch 2.13.0), of the plain U-Net from 32³ to 128³ and 128² to 512² voxels; a test
compares them. The workspace of convolutions on a GPU was not measured."""

BYTES_PER_SCORE = 12.3
"""Bytes per logit: the loss is computed in float32. Source: as above."""

BYTES_PER_WEIGHT = 4
"""Bytes per weight, per gradient and per optimiser state of a weight."""

HALF_PRECISION_BYTES = 2
"""Bytes per weight of the copy in half precision."""

BYTES_PER_GIB = 2**30


def predicted_memory(
    architecture: Architecture, batch_size: int, recipe: Recipe
) -> PlannedValue[float]:
    """Return the predicted memory of a training step, GiB, with its composition as the reason.

    Args:
        architecture: The network.
        batch_size: Patches per step.
        recipe: Training recipe.
    """
    weights = weight_count(architecture)
    reason = (
        f"{batch_size} × {architecture.activation_count() / 1e6:.0f} million activations at "
        f"{format_number(bytes_per_activation(architecture))} bytes, "
        f"{format_number(weights / 1e6)} million weights at "
        f"{BYTES_PER_WEIGHT * _copies(recipe) + HALF_PRECISION_BYTES} or more, and the scores; "
        "patches are sized by the reference method's estimate, which leaves headroom"
    )
    value = step_memory_gib(architecture, batch_size, recipe)
    return PlannedValue(value, "step_memory_gib", reason, OWN)


def step_memory_gib(architecture: Architecture, batch_size: int, recipe: Recipe) -> float:
    """Return the predicted peak memory of a training step, GiB.

    The peak is at the end of the forward pass, when all activations are kept, or in the optimiser
    step, when the gradients of all weights are allocated.

    Args:
        architecture: The network.
        batch_size: Patches per step.
        recipe: Training recipe.
    """
    weights = weight_count(architecture)
    kept = architecture.activation_count() * bytes_per_activation(architecture)
    scores = architecture.num_classes * prod(architecture.topology.patch_shape) * BYTES_PER_SCORE
    lasting = weights * BYTES_PER_WEIGHT * _copies(recipe)
    forward = lasting + weights * HALF_PRECISION_BYTES + batch_size * (kept + scores)
    update = lasting + weights * BYTES_PER_WEIGHT
    return max(forward, update) / BYTES_PER_GIB


def bytes_per_activation(architecture: Architecture) -> float:
    """Return the bytes that a training step needs per value of `activation_count`.

    A network without `kept_values` is compared with the plain U-Net by their memory references.
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
    """Count the weights of a network, which is built on the meta device."""
    with torch.device("meta"), _Uninitialised():
        network = architecture.build()
    return sum(parameter.numel() for parameter in network.parameters())


class _Uninitialised(TorchFunctionMode):
    """Skips in-place operations on meta tensors, for which torch would import for a second."""

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
    """Return the values kept per weight between steps: the weight and its optimiser states."""
    return 1 + recipe.optimizer.states_per_weight + bool(recipe.average_decay)
