"""R2U-Net: a U-Net with recurrent convolutions and residual connections.

Source: Alom et al., arXiv:1802.06955, sections III and IV.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.base import ARCHITECTURES
from autoseg.architectures.convolutions import ConvolutionRun, max_pooling, scaled_unet_references
from autoseg.architectures.layers import InstanceNorm, Stride, convolution, transposed_convolution
from autoseg.architectures.staged import StagedArchitecture
from autoseg.architectures.u_shape import UShapedNetwork, stage_voxels

RECURRENCES = 2
"""Number of recurrences. Source: t = 2, the smaller of the two values reported in the paper."""

CONVOLUTIONS_PER_UNIT = 2


@ARCHITECTURES.register
class R2UNet(StagedArchitecture):
    """Configuration of the recurrent residual U-Net.

    Differences between the planned and the published network: the planner chooses strides, kernels,
    widths and number of stages, normalisation is per sample, and deep supervision is used.

    Attributes:
        recurrences: Number of times that a recurrent convolution receives its own output (t in the
            paper); 0 gives an ordinary convolution.
        deep_supervision: Whether coarser decoder stages also predict logits during training.
    """

    memory_references = scaled_unet_references(two_axes=1.91, three_axes=1.88)

    kind: Literal["r2_unet"] = "r2_unet"
    recurrences: Annotated[int, Field(ge=0, le=64)] = RECURRENCES
    deep_supervision: bool = True

    @override
    def convolutions(self) -> Iterator[ConvolutionRun]:
        voxels, kernels = stage_voxels(self.topology), self.topology.kernels
        for stage, features in enumerate(self._encoder_features):
            yield from self._unit_runs(features, voxels[stage], kernels[stage])
        for stage, width in enumerate(self.features[:-1]):
            yield ConvolutionRun(self.features[stage + 1], width, voxels[stage])
            yield from self._unit_runs((2 * width, width), voxels[stage], kernels[stage])
        yield ConvolutionRun(self.features[0], self.num_classes, voxels[0])

    def _unit_runs(
        self, features: tuple[int, int], voxels: int, kernel: Stride
    ) -> Iterator[ConvolutionRun]:
        inputs, width = features
        if inputs != width:
            yield ConvolutionRun(inputs, width, voxels)
        yield ConvolutionRun(inputs, width, voxels, kernel)
        recurrent = CONVOLUTIONS_PER_UNIT * self.recurrences
        for _ in range(CONVOLUTIONS_PER_UNIT - 1 + recurrent):
            yield ConvolutionRun(width, width, voxels, kernel)

    @override
    def build(self) -> nn.Module:
        topology = self.topology
        encoder = nn.ModuleList(
            nn.Sequential(
                *max_pooling(topology.strides[stage]),
                RecurrentResidualUnit(
                    features, kernel=topology.kernels[stage], recurrences=self.recurrences
                ),
            )
            for stage, features in enumerate(self._encoder_features)
        )
        decoder = nn.ModuleList(
            RecurrentDecoderStage(
                (below, width),
                kernel=topology.kernels[stage],
                stride=topology.strides[stage + 1],
                recurrences=self.recurrences,
            )
            for stage, (width, below) in enumerate(pairwise(self.features))
        )
        heads = self.segmentation_heads(deep_supervision=self.deep_supervision)
        network = UShapedNetwork(encoder, decoder, heads)
        network.apply(_initialise_linear_skip)
        return network

    @property
    def _encoder_features(self) -> tuple[tuple[int, int], ...]:
        """Input and output channels of each encoder stage."""
        return tuple(zip((self.in_channels, *self.features), self.features, strict=False))


class RecurrentConvolution(nn.Module):
    """Recurrent convolution of the input and of the previous output.

    Input and output have separate kernels, which are shared by all recurrences.

    Args:
        features: Input and output channels.
        kernel: Kernel size of both convolutions, voxels.
        recurrences: Number of recurrences.

    Source: Alom et al., equations 1 and 2; Liang and Hu, CVPR 2015.
    """

    def __init__(self, features: tuple[int, int], *, kernel: Stride, recurrences: int) -> None:
        super().__init__()
        inputs, width = features
        padding = tuple(size // 2 for size in kernel)
        make = convolution(len(kernel))
        self.recurrences = recurrences
        self.feed_forward = make(inputs, width, kernel, padding=padding)
        if recurrences:
            self.recurrent = make(width, width, kernel, padding=padding, bias=False)
        self.norm = InstanceNorm(width)
        self.rectifier = nn.ReLU(inplace=True)

    @override
    def forward(self, maps: Tensor) -> Tensor:
        drive = self.feed_forward(maps)
        state: Tensor = self.rectifier(self.norm(drive))
        for _ in range(self.recurrences):
            state = self.rectifier(self.norm(drive + self.recurrent(state)))
        return state


class RecurrentResidualUnit(nn.Module):
    """Two recurrent convolutions with a residual connection.

    If the width changes, a 1 × 1 convolution adapts the residual connection; the recurrent
    convolutions receive the original input.

    Args:
        features: Input and output channels.
        kernel: Kernel size, voxels.
        recurrences: Number of recurrences of each convolution.
    """

    def __init__(self, features: tuple[int, int], *, kernel: Stride, recurrences: int) -> None:
        super().__init__()
        inputs, width = features
        pairs = pairwise((inputs, *(width,) * CONVOLUTIONS_PER_UNIT))
        self.convolutions = nn.Sequential(
            *(RecurrentConvolution(pair, kernel=kernel, recurrences=recurrences) for pair in pairs)
        )
        is_same = inputs == width
        self.skip = nn.Identity() if is_same else convolution(len(kernel))(inputs, width, 1)

    @override
    def forward(self, maps: Tensor) -> Tensor:
        output: Tensor = self.skip(maps) + self.convolutions(maps)
        return output


class RecurrentDecoderStage(nn.Module):
    """Decoder stage: upsample, concatenate the skip connection, and apply a recurrent unit.

    Args:
        features: Channels of the stage below and of this stage.
        kernel: Kernel size, voxels.
        stride: Stride between this stage and the stage below.
        recurrences: Number of recurrences of each recurrent convolution.
    """

    def __init__(
        self, features: tuple[int, int], *, kernel: Stride, stride: Stride, recurrences: int
    ) -> None:
        super().__init__()
        below, width = features
        self.up = transposed_convolution(len(stride))(below, width, stride, stride=stride)
        self.unit = RecurrentResidualUnit(
            (2 * width, width), kernel=kernel, recurrences=recurrences
        )

    @override
    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        output: Tensor = self.unit(torch.cat((skip, self.up(below)), dim=1))
        return output


def _initialise_linear_skip(module: nn.Module) -> None:
    """Initialise the skip convolution of a unit with the gain of a linear layer.

    The output of a unit is not normalised. With He initialisation, whose gain assumes a ReLU, it
    would grow from unit to unit.

    Source: He et al., ICCV 2015, equation 10, without the factor 2.
    """
    if isinstance(module, RecurrentResidualUnit) and isinstance(module.skip, nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(module.skip.weight, nonlinearity="linear")
