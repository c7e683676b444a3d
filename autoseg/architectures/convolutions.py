"""Architectures sized by listing their convolutions, and layers of networks from the literature.

Unlike nnU-Net's networks, the older networks use plain ReLU, max-pooling, batch normalisation or
none, and in some cases unpadded convolutions.
"""

from abc import abstractmethod
from collections.abc import Iterator
from itertools import pairwise
from math import prod
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.base import Architecture, MemoryReference
from autoseg.architectures.layers import InstanceNorm, Stride, convolution

Normalization = Literal["none", "instance", "batch"]
"""Normalisation after a convolution: none, per sample, or per batch."""

UNET_REFERENCES: dict[int, tuple[MemoryReference, ...]] = {
    2: (MemoryReference(activations=85e6, batch_size=12, memory_gib=8.0),),
    3: (MemoryReference(activations=560e6, batch_size=2, memory_gib=8.0),),
}
"""Memory references of the plain U-Net. Source: nnU-Net 2.8.1, measured by its authors on an 11 GiB
GPU."""

UNET_KEPT_VALUES = 1.98
"""Values per activation that a training step of the plain U-Net stores for the backward pass."""


def scaled_unet_references(
    *, two_axes: float, three_axes: float
) -> dict[int, tuple[MemoryReference, ...]]:
    """Scale the memory references of the plain U-Net to a network that stores more or fewer values.

    Both arguments are the number of values per activation that a training step stores for the
    backward pass. They were measured as the tensors saved by autograd, each counted once, for
    default networks from 256² to 512² and from 48³ to 128³ voxels. A contract test checks them.

    Args:
        two_axes: Values per activation in 2-D.
        three_axes: Values per activation in 3-D.
    """
    kept = {2: two_axes, 3: three_axes}
    return {
        num_axes: tuple(
            entry._replace(activations=entry.activations * UNET_KEPT_VALUES / kept[num_axes])
            for entry in references
        )
        for num_axes, references in UNET_REFERENCES.items()
    }


class ConvolutionRun(NamedTuple):
    """Size of one convolution applied to one patch.

    Attributes:
        inputs: Input channels.
        outputs: Output channels.
        voxels: Output voxels.
        kernel: Kernel size, voxels. Empty for 1 × 1 convolutions, and for transposed convolutions
            whose kernel equals their stride: both use one weight per pair of channels and output
            voxel.
    """

    inputs: int
    outputs: int
    voxels: int
    kernel: Stride = ()

    @property
    def activations(self) -> int:
        """Number of output values."""
        return self.outputs * self.voxels

    @property
    def multiplications(self) -> int:
        """Number of multiplications."""
        return self.inputs * self.outputs * self.voxels * prod(self.kernel)


class ConvolutionalArchitecture(Architecture):
    """Architecture whose memory and time are estimated from its convolutions."""

    @abstractmethod
    def convolutions(self) -> Iterator[ConvolutionRun]:
        """Yield all convolutions of one forward pass over the planned patch."""

    @override
    def activation_count(self) -> int:
        """Return the number of output values of all convolutions for the planned patch."""
        return sum(run.activations for run in self.convolutions())

    @override
    def multiplication_count(self) -> int:
        return sum(run.multiplications for run in self.convolutions())


def stack_runs(features: tuple[int, ...], voxels: int, kernel: Stride) -> Iterator[ConvolutionRun]:
    """Yield the convolutions of a padded `RectifiedConvolutions`.

    Args:
        features: Input channels, and output channels of each convolution.
        voxels: Voxels of the feature maps.
        kernel: Kernel size, voxels.
    """
    for inputs, outputs in pairwise(features):
        yield ConvolutionRun(inputs, outputs, voxels, kernel)


class RectifiedConvolutions(nn.Sequential):
    """Sequence of convolution, normalisation and ReLU.

    Args:
        features: Input channels, and output channels of each convolution.
        kernel: Kernel size, voxels.
        normalization: Normalisation after each convolution.
        padded: Whether zero padding preserves the size; without padding, each convolution reduces
            the size by `kernel` − 1 voxels per axis.
        bias: Whether convolutions have a bias.
    """

    def __init__(
        self,
        features: tuple[int, ...],
        *,
        kernel: Stride,
        normalization: Normalization,
        padded: bool = True,
        bias: bool = True,
    ) -> None:
        padding = tuple(size // 2 if padded else 0 for size in kernel)
        make = convolution(len(kernel))
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(features):
            layers.append(make(inputs, outputs, kernel, padding=padding, bias=bias))
            layers += normalizing_layers(normalization, outputs, num_axes=len(kernel))
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


def normalizing_layers(kind: Normalization, features: int, *, num_axes: int) -> list[nn.Module]:
    """Return a list with the normalisation layer; empty for "none".

    Args:
        kind: Normalisation.
        features: Channels.
        num_axes: Number of spatial axes, 2 or 3.
    """
    if kind == "none":
        return []
    if kind == "instance":
        return [InstanceNorm(features)]
    return [nn.BatchNorm2d(features) if num_axes == 2 else nn.BatchNorm3d(features)]


def max_pooling(stride: Stride) -> list[nn.Module]:
    """Return a list with the max-pooling layer; empty if the stride is 1 along all axes."""
    if prod(stride) == 1:
        return []
    return [nn.MaxPool2d(stride) if len(stride) == 2 else MaxPool3d(stride)]


class MaxPool3d(nn.MaxPool3d):
    """Max-pooling without autocast, which would needlessly convert to float32 on a CPU."""

    @override
    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):  # autocast does not affect it on other devices
            pooled: Tensor = super().forward(input)
        return pooled
