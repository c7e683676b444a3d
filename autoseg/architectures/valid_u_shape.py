"""U-Nets with unpadded convolutions, whose output is smaller than their input.

Each output voxel is computed from its complete neighbourhood, without zero padding. The input is
therefore the patch plus a margin of image voxels, mirrored beyond the image border (overlap-tile
strategy).

Source: Ronneberger et al., MICCAI 2015, arXiv:1505.04597, figure 2.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from math import prod
from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.base import NetworkOutput
from autoseg.architectures.convolutions import (
    ConvolutionRun,
    Normalization,
    RectifiedConvolutions,
    max_pooling,
)
from autoseg.architectures.layers import Stride, transposed_convolution
from autoseg.architectures.staged import StagedArchitecture
from autoseg.architectures.u_shape import UShapedNetwork

CONVOLUTIONS_PER_STAGE = 2

Shape = tuple[int, ...]


class ValidUShape(StagedArchitecture):
    """U-Net with two unpadded convolutions per stage."""

    is_capped: ClassVar[bool] = False

    @property
    @abstractmethod
    def inner_features(self) -> Shape:
        """Output features of the first convolution of each encoder stage."""

    @property
    @abstractmethod
    def up_features(self) -> Shape:
        """Output features of the transposed convolution of each decoder stage."""

    @property
    def rim(self) -> Shape:
        """Output voxels beyond the patch, per axis and side, which are trimmed.

        Strides and unpadded convolutions allow only some output sizes.
        """
        return tuple(
            _smallest_rim(self._shrinkage(axis, down=False), divisor)
            for axis, divisor in enumerate(self.topology.divisors)
        )

    @override
    def output_margin(self) -> Shape:
        return tuple(
            rim + (self._shrinkage(axis, down=True) + self._shrinkage(axis, down=False)) // 2
            for axis, rim in enumerate(self.rim)
        )

    @override
    def convolutions(self) -> Iterator[ConvolutionRun]:
        strides, kernels = self.topology.strides, self.topology.kernels
        shape = self.input_shape
        for stage, features in enumerate(self._down):
            shape = tuple(size // by for size, by in zip(shape, strides[stage], strict=True))
            yield from _valid_runs(features, shape, kernels[stage])
            shape = _shape_after(shape, kernels[stage])
        for stage in reversed(range(len(self.up_features))):
            shape = tuple(size * by for size, by in zip(shape, strides[stage + 1], strict=True))
            up = self.up_features[stage]
            yield ConvolutionRun(self.features[stage + 1], up, prod(shape))
            yield from _valid_runs(self._joined(stage), shape, kernels[stage])
            shape = _shape_after(shape, kernels[stage])
        yield ConvolutionRun(self.features[0], self.num_classes, prod(shape))

    def build_network(
        self, normalization: Normalization, *, dropout: float, trimmed: bool
    ) -> nn.Module:
        """Build the network.

        Args:
            normalization: Normalisation after each convolution.
            dropout: Dropout rate in the lowest stage.
            trimmed: Whether the output is cropped to the patch.
        """
        encoder = [
            nn.Sequential(
                *max_pooling(self.topology.strides[stage]),
                RectifiedConvolutions(
                    features,
                    kernel=self.topology.kernels[stage],
                    normalization=normalization,
                    padded=False,
                ),
            )
            for stage, features in enumerate(self._down)
        ]
        if dropout:
            encoder[-1].append(nn.Dropout(dropout))
        decoder = nn.ModuleList(
            ValidDecoderStage(
                (self.features[stage + 1], self.up_features[stage]),
                self._joined(stage),
                kernel=self.topology.kernels[stage],
                stride=self.topology.strides[stage + 1],
                normalization=normalization,
            )
            for stage in range(len(self.up_features))
        )
        heads = self.segmentation_heads(deep_supervision=False)
        network = UShapedNetwork(nn.ModuleList(encoder), decoder, heads)
        return TrimmedNetwork(network, self.rim) if trimmed else network

    @property
    def _down(self) -> tuple[Shape, ...]:
        """Channels of each encoder stage: input, first and second convolution."""
        inputs = (self.in_channels, *self.features)
        return tuple(zip(inputs, self.inner_features, self.features, strict=False))

    def _joined(self, stage: int) -> Shape:
        """Channels of a decoder stage: input, first and second convolution."""
        width = self.features[stage]
        return (width + self.up_features[stage], width, width)

    def _shrinkage(self, axis: int, *, down: bool) -> int:
        """Return the voxels by which the encoder or decoder shrinks an axis, at full resolution."""
        stages = len(self.features) if down else len(self.features) - 1
        shrinkage, factor = 0, 1
        for stage in range(stages):
            factor *= self.topology.strides[stage][axis]
            shrinkage += CONVOLUTIONS_PER_STAGE * (self.topology.kernels[stage][axis] - 1) * factor
        return shrinkage


class ValidDecoderStage(nn.Module):
    """Decoder stage: upsample, concatenate the cropped skip connection, and convolve.

    Args:
        up: Input and output channels of the transposed convolution.
        features: Input channels, and output channels of each convolution.
        kernel: Kernel size, voxels.
        stride: Stride between this stage and the stage below.
        normalization: Normalisation after each convolution.
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
        cropped = center_crop(skip, tuple(up.shape[2:]))
        output: Tensor = self.convolutions(torch.cat((cropped, up), dim=1))
        return output


class TrimmedNetwork(nn.Module):
    """Network whose output is cropped to the patch.

    Args:
        network: Network without auxiliary outputs.
        rim: Voxels to trim per axis and side.
    """

    def __init__(self, network: UShapedNetwork, rim: Shape) -> None:
        super().__init__()
        self.network = network
        self.rim = rim

    @property
    def heads(self) -> nn.ModuleList:
        """Segmentation heads."""
        return self.network.heads

    @override
    def forward(self, images: Tensor) -> NetworkOutput:
        logits = self.network(images).logits
        shape = [size - 2 * rim for size, rim in zip(logits.shape[2:], self.rim, strict=True)]
        return NetworkOutput(center_crop(logits, shape))


def center_crop(maps: Tensor, shape: Sequence[int]) -> Tensor:
    """Crop the spatial axes of feature maps centrally to `shape`."""
    for dim, size in enumerate(shape, start=2):
        maps = maps.narrow(dim, (maps.shape[dim] - size) // 2, size)
    return maps


def _smallest_rim(shrinkage: int, divisor: int) -> int:
    """Return the smallest rim for which patch + 2 × rim + shrinkage is divisible."""
    excess = -shrinkage % divisor
    return (excess + divisor if excess % 2 else excess) // 2


def _valid_runs(features: Shape, shape: Shape, kernel: Stride) -> Iterator[ConvolutionRun]:
    """Yield the two convolutions of a stage."""
    inputs, first, second = features
    middle = tuple(size - edge + 1 for size, edge in zip(shape, kernel, strict=True))
    yield ConvolutionRun(inputs, first, prod(middle), kernel)
    yield ConvolutionRun(first, second, prod(_shape_after(shape, kernel)), kernel)


def _shape_after(shape: Shape, kernel: Stride) -> Shape:
    """Return the shape after the convolutions of a stage."""
    return tuple(
        size - CONVOLUTIONS_PER_STAGE * (edge - 1) for size, edge in zip(shape, kernel, strict=True)
    )
