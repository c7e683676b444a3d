"""Architectures that are sized by listing their convolutions, and the layers of the literature.

The older networks differ from nnU-Net's in the same few ways: plain rectifiers, max-pooling, other
normalisation or none, and convolutions that do not pad.
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
from autoseg.architectures.unet import UNet

Normalization = Literal["none", "instance", "batch"]
"""What follows a convolution: nothing, or zero mean and unit variance per sample or per batch."""


UNET_KEPT_VALUES = 1.98
"""What `references_beside_unet` takes, of the plain U-Net."""


def references_beside_unet(
    *, two_axes: float, three_axes: float
) -> dict[int, tuple[MemoryReference, ...]]:
    """Return the plain U-Net's memory references, scaled to a network that keeps more or less.

    The numbers say how many values per activation a training step keeps for the backward pass:
    counted as the tensors that autograd saves, once each, of default networks from 256² to 512² and
    from 48³ to 128³ voxels. A contract test checks them.

    Args:
        two_axes: In 2-D.
        three_axes: In 3-D.
    """
    kept = {2: two_axes, 3: three_axes}
    return {
        num_axes: tuple(
            entry._replace(activations=entry.activations * UNET_KEPT_VALUES / kept[num_axes])
            for entry in references
        )
        for num_axes, references in UNet.memory_references.items()
    }


class ConvolutionRun(NamedTuple):
    """One pass of a convolution over one patch.

    Attributes:
        inputs: Channels in.
        outputs: Channels out.
        voxels: Voxels that go out.
        kernel: Size, voxels; empty for 1 × 1, and for transposed convolutions whose kernel is their
            stride: they also use one weight per pair of channels and voxel that goes out.
    """

    inputs: int
    outputs: int
    voxels: int
    kernel: Stride = ()

    @property
    def activations(self) -> int:
        """Values that it puts out."""
        return self.outputs * self.voxels

    @property
    def multiplications(self) -> int:
        """Multiplications that it takes."""
        return self.inputs * self.outputs * self.voxels * prod(self.kernel)


class ConvolutionalArchitecture(Architecture):
    """A network whose memory and time are those of its convolutions."""

    @abstractmethod
    def convolutions(self) -> Iterator[ConvolutionRun]:
        """Yield every convolution of one forward pass over the planned patch."""

    @override
    def activation_count(self) -> int:
        """Return the number of values that all convolutions put out at the planned patch."""
        return sum(run.activations for run in self.convolutions())

    @override
    def multiplication_count(self) -> int:
        return sum(run.multiplications for run in self.convolutions())


def stack_runs(features: tuple[int, ...], voxels: int, kernel: Stride) -> Iterator[ConvolutionRun]:
    """Yield the convolutions of a `RectifiedConvolutions` that pads."""
    for inputs, outputs in pairwise(features):
        yield ConvolutionRun(inputs, outputs, voxels, kernel)


class RectifiedConvolutions(nn.Sequential):
    """Convolution, normalisation and rectifier, one after another.

    Args:
        features: Channels in, and those that each convolution puts out.
        kernel: Size of each, voxels.
        normalization: What follows each convolution.
        padded: Whether zeros around the maps keep their size; else each convolution takes away
            `kernel` − 1 voxels per axis.
    """

    def __init__(
        self,
        features: tuple[int, ...],
        *,
        kernel: Stride,
        normalization: Normalization,
        padded: bool = True,
    ) -> None:
        padding = tuple(size // 2 if padded else 0 for size in kernel)
        make = convolution(len(kernel))
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(features):
            layers.append(make(inputs, outputs, kernel, padding=padding))
            layers += normalizing_layers(normalization, outputs, num_axes=len(kernel))
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


def normalizing_layers(kind: Normalization, features: int, *, num_axes: int) -> list[nn.Module]:
    """Return the normalising layer as a list, which is empty for "none"."""
    if kind == "none":
        return []
    if kind == "instance":
        return [InstanceNorm(features)]
    return [nn.BatchNorm2d(features) if num_axes == 2 else nn.BatchNorm3d(features)]


def max_pooling(stride: Stride) -> list[nn.Module]:
    """Return the layer that takes the largest of each block, or nothing where blocks are voxels."""
    if prod(stride) == 1:
        return []
    return [nn.MaxPool2d(stride) if len(stride) == 2 else MaxPool3d(stride)]


class MaxPool3d(nn.MaxPool3d):
    """torch's max-pooling, which on a CPU autocast would widen to float32 for no gain."""

    @override
    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):  # on other devices, autocast leaves it alone
            pooled: Tensor = super().forward(input)
        return pooled
