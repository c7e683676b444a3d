"""Networks for weights that are stored."""

import torch
from torch import nn

from autoseg.architectures import Architecture
from autoseg.core.device import naming_lack_of_memory, on_device
from autoseg.core.errors import ModelError, first_line
from autoseg.documents.splits import FoldName
from autoseg.inference.skip_init import SkipInitialization
from autoseg.inference.stored import StoredModel, unusable

HEADER_BYTES_PER_TENSOR = 4096
"""What a weights file may hold beside the weights: names and shapes."""


def load_network(
    architecture: Architecture, stored: StoredModel, fold: FoldName, device: torch.device
) -> nn.Module:
    """Return the trained network of a fold on a device, with float32 weights.

    Raises:
        ModelError: If the weights are missing or damaged, or do not fit the architecture or the
            device's free memory.
    """
    network = empty_network(architecture)
    tensors = stored.read_weights(fold, largest_bytes=largest_bytes(network))
    widened = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    try:
        network.load_state_dict(widened, assign=True)
    except RuntimeError as error:
        raise unusable(stored.weights_name(fold), first_line(error)) from error
    issue = ModelError(
        f"{device} has too little free memory for the networks of {stored.path}. Close what else "
        "uses it, take fewer of them with --fold, or predict with --device cpu."
    )
    with naming_lack_of_memory(issue):
        return on_device(network, device)


def empty_network(architecture: Architecture) -> nn.Module:
    """Return a network whose weights have shapes but no memory.

    A plan that does not match its weights is so refused before it can ask for any.
    """
    with torch.device("meta"), SkipInitialization():
        return architecture.build()


def largest_bytes(network: nn.Module) -> int:
    """Return how large a safetensors file of the network's weights can be."""
    tensors: list[torch.Tensor] = list(network.state_dict().values())
    header = HEADER_BYTES_PER_TENSOR * (1 + len(tensors))
    return header + sum(tensor.numel() * tensor.element_size() for tensor in tensors)
