"""R2U-Net: a U-Net of recurrent convolutions with residual connections.

Source: Alom et al., arXiv:1802.06955, sections III and IV.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from pydantic import NonNegativeInt
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.base import ARCHITECTURES, MemoryReference
from autoseg.architectures.convolutions import ConvolutionRun, max_pooling, references_beside_unet
from autoseg.architectures.layers import InstanceNorm, Stride, convolution, transposed_convolution
from autoseg.architectures.staged import StagedArchitecture
from autoseg.architectures.u_shape import UShapedNetwork, stage_voxels, supervised_heads

RECURRENCES = 2
"""Source: t = 2 is the smaller of the two that the paper reports."""

CONVOLUTIONS_PER_UNIT = 2


@ARCHITECTURES.register
class R2UNet(StagedArchitecture):
    """Configuration of the recurrent residual U-Net.

    The planned form differs from the published one in its strides, kernels, widths and number of
    stages, all the planner's; in that it normalises each sample by itself; and in deep supervision.

    Attributes:
        recurrences: How often a recurrent convolution sees its own output again, t in the paper;
            0 makes it an ordinary convolution.
        deep_supervision: Whether coarser decoder stages give scores too, in training.
    """

    memory_references: ClassVar[dict[int, tuple[MemoryReference, ...]]] = references_beside_unet(
        two_axes=1.91, three_axes=1.88
    )

    kind: Literal["r2_unet"] = "r2_unet"
    recurrences: NonNegativeInt = RECURRENCES
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
        heads = supervised_heads(
            topology, self.features, self.num_classes, deep_supervision=self.deep_supervision
        )
        network = UShapedNetwork(encoder, decoder, heads)
        network.apply(_keep_variance)
        return network

    @property
    def _encoder_features(self) -> tuple[tuple[int, int], ...]:
        """Channels in and out of each encoder stage."""
        return tuple(zip((self.in_channels, *self.features), self.features, strict=False))


class RecurrentConvolution(nn.Module):
    """A convolution that sees, a few times over, its input and its own last output.

    Input and output have kernels of their own, the same each time.

    Args:
        features: Channels in and out.
        kernel: Size of both convolutions, voxels.
        recurrences: How often it sees its output.

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
    """Two recurrent convolutions, added to what came in.

    Where the width changes, a 1 × 1 convolution adapts what came in for the sum alone: the
    recurrent convolutions see it as it is.

    Args:
        features: Channels in and out.
        kernel: Size of the convolutions, voxels.
        recurrences: How often each sees its output.
    """

    def __init__(self, features: tuple[int, int], *, kernel: Stride, recurrences: int) -> None:
        super().__init__()
        inputs, width = features
        pairs = [(inputs, width), *((width, width),) * (CONVOLUTIONS_PER_UNIT - 1)]
        self.convolutions = nn.Sequential(
            *(RecurrentConvolution(pair, kernel=kernel, recurrences=recurrences) for pair in pairs)
        )
        is_same = inputs == width
        self.skip = nn.Identity() if is_same else convolution(len(kernel))(inputs, width, 1)

    @override
    def forward(self, maps: Tensor) -> Tensor:
        added: Tensor = self.skip(maps) + self.convolutions(maps)
        return added


class RecurrentDecoderStage(nn.Module):
    """Bring the maps from below up, join the skip connection, and pass both through a unit.

    Args:
        features: Channels of the stage below and of this one.
        kernel: Size of the convolutions, voxels.
        stride: Between this stage and the one below.
        recurrences: How often each recurrent convolution sees its output.
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
        joined: Tensor = self.unit(torch.cat((skip, self.up(below)), dim=1))
        return joined


def _keep_variance(module: nn.Module) -> None:
    """Draw the weights around a unit for what no rectifier follows.

    Nothing normalises the sums of units; by He's rule, made for rectifiers, they would grow from
    unit to unit.

    Source: He et al., ICCV 2015, equation 10, without the factor 2.
    """
    if isinstance(module, RecurrentResidualUnit) and isinstance(module.skip, nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(module.skip.weight, nonlinearity="linear")
