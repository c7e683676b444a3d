"""U-Nets whose convolutions do not pad: what comes out is smaller than what goes in.

Every voxel that is scored has been seen with its whole surroundings. So the image around a patch,
mirrored where it ends, goes in as well: the overlap-tile strategy.

Source: Ronneberger et al., MICCAI 2015, arXiv:1505.04597, figure 2.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.base import NetworkOutput, Topology
from autoseg.architectures.convolutions import (
    ConvolutionRun,
    Normalization,
    RectifiedConvolutions,
    max_pooling,
)
from autoseg.architectures.layers import Stride, transposed_convolution
from autoseg.architectures.u_shape import UShapedNetwork, supervised_heads

CONVOLUTIONS_PER_STAGE = 2

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ValidUShape:
    """A U-Net of two valid convolutions per stage.

    Attributes:
        topology: Patch, strides and kernels.
        in_channels: Image channels.
        num_classes: Classes, background included.
        features: Per stage, what its second convolution puts out, and those of the way up.
        first_features: Per stage of the way down, what its first convolution puts out.
        up_features: Per stage but the lowest, what comes up from the stage below.
        normalization: What follows each convolution.
        dropout: Share of the lowest stage's values that training sets to 0.
    """

    topology: Topology
    in_channels: int
    num_classes: int
    features: Shape
    first_features: Shape
    up_features: Shape
    normalization: Normalization
    dropout: float = 0.0

    @property
    def rim(self) -> Shape:
        """Voxels per axis and side that are scored beyond the patch, and trimmed.

        Strides and valid convolutions make only some output sizes possible.
        """
        return tuple(
            _rim(self._shrinkage(axis, down=False), divisor)
            for axis, divisor in enumerate(self.topology.divisors)
        )

    @property
    def margin(self) -> Shape:
        """Voxels per axis and side that the patch is smaller than the input."""
        return tuple(
            rim + (self._shrinkage(axis, down=True) + self._shrinkage(axis, down=False)) // 2
            for axis, rim in enumerate(self.rim)
        )

    def convolutions(self) -> Iterator[ConvolutionRun]:
        """Yield every convolution of one forward pass over the planned patch."""
        strides, kernels = self.topology.strides, self.topology.kernels
        shape = tuple(
            size + 2 * margin
            for size, margin in zip(self.topology.patch_shape, self.margin, strict=True)
        )
        for stage, features in enumerate(self._down):
            shape = tuple(size // by for size, by in zip(shape, strides[stage], strict=True))
            yield from _valid_runs(features, shape, kernels[stage])
            shape = _after(shape, kernels[stage])
        for stage in reversed(range(len(self.up_features))):
            shape = tuple(size * by for size, by in zip(shape, strides[stage + 1], strict=True))
            up = self.up_features[stage]
            yield ConvolutionRun(self.features[stage + 1], up, prod(shape))
            yield from _valid_runs(self._joined(stage), shape, kernels[stage])
            shape = _after(shape, kernels[stage])
        yield ConvolutionRun(self.features[0], self.num_classes, prod(shape))

    def build(self, *, trimmed: bool) -> nn.Module:
        """Return the network.

        Args:
            trimmed: Whether its output is cut to the patch.
        """
        encoder = nn.ModuleList(self._encoder_stages())
        decoder = nn.ModuleList(
            ValidDecoderStage(
                (self.features[stage + 1], self.up_features[stage]),
                self._joined(stage),
                kernel=self.topology.kernels[stage],
                stride=self.topology.strides[stage + 1],
                normalization=self.normalization,
            )
            for stage in range(len(self.up_features))
        )
        heads = supervised_heads(
            self.topology, self.features, self.num_classes, deep_supervision=False
        )
        network = UShapedNetwork(encoder, decoder, heads)
        return TrimmedNetwork(network, self.rim) if trimmed else network

    def _encoder_stages(self) -> Iterator[nn.Sequential]:
        for stage, features in enumerate(self._down):
            is_lowest = stage == len(self._down) - 1
            yield nn.Sequential(
                *max_pooling(self.topology.strides[stage]),
                RectifiedConvolutions(
                    features,
                    kernel=self.topology.kernels[stage],
                    normalization=self.normalization,
                    padded=False,
                ),
                *([nn.Dropout(self.dropout)] if is_lowest and self.dropout else []),
            )

    @property
    def _down(self) -> tuple[Shape, ...]:
        """Channels of each stage on the way down: in, first and second convolution."""
        inputs = (self.in_channels, *self.features)
        return tuple(zip(inputs, self.first_features, self.features, strict=False))

    def _joined(self, stage: int) -> Shape:
        """Channels of each stage on the way up: in, first and second convolution."""
        width = self.features[stage]
        return (width + self.up_features[stage], width, width)

    def _shrinkage(self, axis: int, *, down: bool) -> int:
        """Return the voxels of full resolution that one way's convolutions take from an axis."""
        stages = len(self.features) if down else len(self.features) - 1
        lost, factor = 0, 1
        for stage in range(stages):
            factor *= self.topology.strides[stage][axis]
            lost += CONVOLUTIONS_PER_STAGE * (self.topology.kernels[stage][axis] - 1) * factor
        return lost


class ValidDecoderStage(nn.Module):
    """Bring the maps from below up, join the middle of the skip connection, and convolve.

    Args:
        up: Channels of the stage below, and of what comes up from it.
        features: Channels in, and of each convolution.
        kernel: Size of the convolutions, voxels.
        stride: Between this stage and the one below.
        normalization: What follows each convolution.
    """

    def __init__(
        self,
        up: tuple[int, int],
        features: Shape,
        *,
        kernel: Stride,
        stride: Stride,
        normalization: Normalization,
    ) -> None:
        super().__init__()
        self.up = transposed_convolution(len(stride))(*up, stride, stride=stride)
        self.convolutions = RectifiedConvolutions(
            features, kernel=kernel, normalization=normalization, padded=False
        )

    @override
    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        up = self.up(below)
        middle = central(skip, tuple(up.shape[2:]))
        joined: Tensor = self.convolutions(torch.cat((middle, up), dim=1))
        return joined


class TrimmedNetwork(nn.Module):
    """A network whose scores lose a rim, so that what is left is the patch.

    Args:
        network: Gives scores alone, no auxiliary ones.
        rim: Voxels per axis and side.
    """

    def __init__(self, network: UShapedNetwork, rim: Shape) -> None:
        super().__init__()
        self.network = network
        self.rim = rim

    @property
    def heads(self) -> nn.ModuleList:
        """The modules that turn maps into scores."""
        return self.network.heads

    @override
    def forward(self, images: Tensor) -> NetworkOutput:
        logits = self.network(images).logits
        kept = [size - 2 * rim for size, rim in zip(logits.shape[2:], self.rim, strict=True)]
        return NetworkOutput(central(logits, kept))


def central(maps: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the middle of maps, of the given size along their spatial axes."""
    for dim, size in enumerate(shape, start=2):
        maps = maps.narrow(dim, (maps.shape[dim] - size) // 2, size)
    return maps


def _rim(shrinkage: int, divisor: int) -> int:
    """Return the fewest voxels per side that make patch + 2 × rim + shrinkage divisible."""
    excess = -shrinkage % divisor
    return (excess + divisor if excess % 2 else excess) // 2


def _valid_runs(features: Shape, shape: Shape, kernel: Stride) -> Iterator[ConvolutionRun]:
    """Yield the two convolutions of a stage, for channels in and of each."""
    inputs, first, second = features
    middle = tuple(size - edge + 1 for size, edge in zip(shape, kernel, strict=True))
    yield ConvolutionRun(inputs, first, prod(middle), kernel)
    yield ConvolutionRun(first, second, prod(_after(shape, kernel)), kernel)


def _after(shape: Shape, kernel: Stride) -> Shape:
    """Return what a stage's convolutions leave of a shape."""
    return tuple(
        size - CONVOLUTIONS_PER_STAGE * (edge - 1) for size, edge in zip(shape, kernel, strict=True)
    )
