"""Encoders by name, and their size for the planner.

The backbones of this package are used under their own names, all other names are models of timm.
A name that both have means the same layers with the same names of parameters (a test checks this),
so that weights and checkpoints of one load into the other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.architectures.encoders import backbones
from autoseg.architectures.encoders.base import Encoder
from autoseg.architectures.timm_encoders import MEASURED_EDGE, check_finest_stride, timm_encoder


@dataclass(frozen=True)
class EncoderSize:
    """Feature maps and cost of an encoder.

    Attributes:
        strides: Stride of each feature map relative to the image; powers of two, each twice the
            previous one.
        channels: Channels of each feature map.
        kept_values: Values that a training step stores for the backward pass, per image pixel.
        multiplications: Multiplications of a forward pass, per image pixel.
        pooled_multiplications: Multiplications on feature maps of a single pixel (global means),
            per image.
    """

    strides: tuple[int, ...]
    channels: tuple[int, ...]
    kept_values: float
    multiplications: float
    pooled_multiplications: int


@cache
def encoder_size(name: str, in_channels: int, coarsest: int) -> EncoderSize:
    """Measure an encoder; results are cached because the planner needs them for many patches.

    Args:
        name: Name of the encoder.
        in_channels: Image channels.
        coarsest: Stride of the coarsest feature map to use.

    Raises:
        MissingPackage: If the encoder is a model of timm, which is not installed.
        UnknownComponent: If there is no such encoder, or none of its feature maps can be used.
    """
    with torch.device("meta"):
        encoder = make_encoder(name, in_channels, coarsest)
        image = torch.zeros(1, in_channels, MEASURED_EDGE, MEASURED_EDGE)
        with _products(encoder) as products, _saved_tensors(encoder) as saved:
            maps = encoder(image)
    pixels = image[0, 0].numel()
    return EncoderSize(
        strides=tuple(MEASURED_EDGE // entry.shape[-1] for entry in maps),
        channels=tuple(entry.shape[1] for entry in maps),
        kept_values=sum(_num_values(tensor) for tensor in saved.values()) / pixels,
        multiplications=sum(count for count, size in products if size > 1) / pixels,
        pooled_multiplications=sum(count for count, size in products if size == 1),
    )


def make_encoder(name: str, in_channels: int, coarsest: int) -> nn.Module:
    """Create an encoder with random weights, which returns the list of its feature maps.

    The feature maps are ordered from finest to coarsest.

    Args:
        name: Name of the encoder.
        in_channels: Image channels.
        coarsest: Stride of the coarsest feature map to use; later layers are left out.

    Raises:
        MissingPackage: If the encoder is a model of timm, which is not installed.
        UnknownComponent: If there is no such encoder, or none of its feature maps can be used.
    """
    if name not in backbones():
        return timm_encoder(name, in_channels, coarsest)
    layers = backbones()[name](in_channels)
    first = next(layers)
    check_finest_stride(name, first.stride, coarsest)
    return Encoder((first, *takewhile(lambda layer: layer.stride <= coarsest, layers)))


@contextmanager
def _saved_tensors(encoder: nn.Module) -> Iterator[dict[int, Tensor]]:
    """Collect the tensors that autograd saves, one per storage, except for constants."""
    constants = {_storage(tensor) for tensor in (*encoder.parameters(), *encoder.buffers())}
    saved: dict[int, Tensor] = {}

    def record(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in constants:
            saved[_storage(tensor)] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        yield saved


def _storage(tensor: Tensor) -> int:
    """Return the identity of the memory of a tensor."""
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001


def _num_values(tensor: Tensor) -> int:
    """Return the number of values in the whole memory of a tensor."""
    return tensor.untyped_storage().nbytes() // tensor.element_size()


@contextmanager
def _products(encoder: nn.Module) -> Iterator[list[tuple[int, int]]]:
    """Collect the multiplications and output pixels of each convolution and linear layer."""
    counts: list[tuple[int, int]] = []

    def count(module: nn.Module, _inputs: object, output: Tensor) -> None:
        weight: Any = module.weight
        counts.append((weight[0].numel() * output.numel(), output[0, 0].numel()))

    layers = [entry for entry in encoder.modules() if isinstance(entry, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    yield counts
    for hook in hooks:
        hook.remove()
