"""Build networks and load their stored weights."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from autoseg.architectures import Architecture
from autoseg.core.device import move_to_device, replace_out_of_memory_error
from autoseg.core.errors import ModelError, first_line
from autoseg.core.memory import BYTES_PER_GIB, machine_bytes
from autoseg.documents.splits import FoldName
from autoseg.models.folder import StoredModel, unusable_weights_error
from autoseg.preprocessing.memory import FLOAT_BYTES

HEADER_BYTES_PER_TENSOR = 4096
"""Maximum size of a tensor's entry (name and shape) in the header of a weights file."""

RANDOM_FILLS = frozenset(
    {
        torch.Tensor.normal_,
        torch.Tensor.uniform_,
        nn.init.normal_,
        nn.init.uniform_,
        nn.init.kaiming_uniform_,
    }
)
"""Random initialisation functions. On meta tensors they compute nothing, but they import torch's
compiler: measured 1.6 s of 5.3 s CPU time to predict three small images."""


def load_network(
    architecture: Architecture, stored: StoredModel, fold: FoldName, device: torch.device
) -> nn.Module:
    """Load the trained network of a fold to a device, with float32 weights.

    Args:
        architecture: Architecture of the network.
        stored: The model on disk.
        fold: Fold to load.
        device: Target device.

    Raises:
        ModelError: If the weights are missing or damaged, do not match the architecture, or do not
            fit into the device's free memory.
    """
    _check_memory(architecture, stored)
    network = empty_network(architecture)
    tensors = stored.read_weights(fold, largest_bytes=largest_bytes(network))
    widened = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    try:
        network.load_state_dict(widened, assign=True)
    except RuntimeError as error:
        raise unusable_weights_error(stored.weights_name(fold), first_line(error)) from error
    issue = ModelError(
        f"{device} has too little free memory for the networks of {stored.path}. Close other "
        "programs that use it, load fewer networks with --fold, or predict with --device cpu."
    )
    with replace_out_of_memory_error(issue):
        return move_to_device(network, device)


def _check_memory(architecture: Architecture, stored: StoredModel) -> None:
    """Check that one tile with its scores, the least that a prediction needs, fits into memory."""
    values = (architecture.in_channels + architecture.num_classes) * prod(architecture.input_shape)
    needed, found = values * FLOAT_BYTES, machine_bytes()
    if found is not None and needed > found:
        raise ModelError(
            f"the plan of {stored.path} has the patch_shape "
            f"{list(architecture.topology.patch_shape)}, whose prediction needs at least "
            f"{needed / BYTES_PER_GIB:.1f} GiB; this machine has {found / BYTES_PER_GIB:.1f} GiB. "
            "Predict on a machine with more memory, or train with a smaller patch_shape."
        )


def empty_network(architecture: Architecture) -> nn.Module:
    """Build a network on the meta device: its weights have shapes but no memory.

    A plan that does not match its weights is therefore rejected before any memory is allocated.
    """
    with torch.device("meta"), SkipInitialization():
        return architecture.build()


class SkipInitialization(TorchFunctionMode):
    """Context in which random initialisation functions leave tensors unchanged."""

    @override
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        keywords = kwargs or {}
        if func in RANDOM_FILLS:
            return args[0] if args else keywords["tensor"]
        return func(*args, **keywords)


def largest_bytes(network: nn.Module) -> int:
    """Return the maximum size in bytes of a safetensors file with the network's weights."""
    tensors: list[torch.Tensor] = list(network.state_dict().values())
    header = HEADER_BYTES_PER_TENSOR * (1 + len(tensors))
    return header + sum(tensor.numel() * tensor.element_size() for tensor in tensors)
