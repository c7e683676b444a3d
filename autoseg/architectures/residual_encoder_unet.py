"""Residual-encoder U-Net: residual blocks in the encoder, single convolutions in the decoder.

Source: Isensee et al., "nnU-Net Revisited", MICCAI 2024, arXiv:2404.09556; the blocks are from He
et al., "Bag of Tricks", CVPR 2019, arXiv:1812.01187, figure 2c (ResNet-D), without a bottleneck.
"""

from collections.abc import Iterator
from itertools import pairwise
from math import inf, prod
from typing import ClassVar, Literal

from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.base import ARCHITECTURES, MemoryReference, Topology
from autoseg.architectures.convolutions import ConvolutionRun, stack_runs
from autoseg.architectures.layers import (
    ConvolutionStack,
    InstanceNorm,
    Stride,
    average_pooling,
    convolution,
    normalised_convolution,
    rectifier,
)
from autoseg.architectures.staged import StagedArchitecture
from autoseg.architectures.u_shape import UShapedNetwork, stage_voxels
from autoseg.core.limits import LayerCount

FIRST_BLOCKS = (1, 3, 4)
"""Residual blocks of the first three stages. Source: nnU-Net 2.8.1."""

FURTHER_BLOCKS = 6
"""Residual blocks of each further stage. Source: nnU-Net 2.8.1."""

MEDIUM_BELOW_GIB = 20.0
"""GPU memory at and above which preset L replaces M: a 24 GB GPU reports 22 to 24 GiB."""

LARGE_BELOW_GIB = 36.0
"""GPU memory at and above which preset XL replaces L: a 40 GB GPU reports 39 GiB."""


def _presets(
    batch_size: int, medium: float, large: float, extra_large: float
) -> tuple[MemoryReference, ...]:
    """Create the published presets for one number of axes from their activation counts."""
    return tuple(
        MemoryReference(
            activations=activations,
            batch_size=batch_size,
            memory_gib=memory_gib,
            below_gib=below_gib,
            smallest_batch=batch_size,
            largest_share=1.0,
            preset=preset,
        )
        for preset, activations, memory_gib, below_gib in (
            ("M", medium, 8.0, MEDIUM_BELOW_GIB),
            ("L", large, 24.0, LARGE_BELOW_GIB),
            ("XL", extra_large, 40.0, inf),
        )
    )


@ARCHITECTURES.register
class ResidualEncoderUNet(StagedArchitecture):
    """Configuration of the residual-encoder U-Net.

    Attributes:
        features: Features per stage, finest first.
        encoder_blocks: Residual blocks per encoder stage, finest first; the first block of each
            stage downsamples.
        decoder_convolutions: Convolutions per decoder stage, finest first.
        deep_supervision: Whether coarser decoder stages also predict logits during training.
    """

    memory_references: ClassVar[dict[int, tuple[MemoryReference, ...]]] = {
        2: _presets(12, 135e6, 380e6, 560e6),
        3: _presets(2, 680e6, 2.1e9, 3.6e9),
    }
    """Source: presets M, L and XL of nnU-Net 2.8.1. Unlike for its plain U-Net, the smallest batch
    size in 2-D is 12, and a batch may contain the whole dataset."""

    kept_values: ClassVar[dict[int, float] | None] = {2: 2.01, 3: 2.2}
    """Source: peak of all tensors of a training step, 256² and 64³ voxels (`step_memory`)."""

    encoder_settings = ("features", "encoder_blocks")
    decoder_settings = ("decoder_convolutions",)

    kind: Literal["residual_encoder_unet"] = "residual_encoder_unet"
    encoder_blocks: tuple[LayerCount, ...]
    decoder_convolutions: tuple[LayerCount, ...]
    deep_supervision: bool = True

    @classmethod
    @override
    def stage_settings(cls, topology: Topology) -> dict[str, tuple[int, ...]]:
        stages = len(topology.strides)
        return {
            **super().stage_settings(topology),
            "encoder_blocks": (*FIRST_BLOCKS, *(FURTHER_BLOCKS,) * stages)[:stages],
            "decoder_convolutions": (1,) * (stages - 1),
        }

    @override
    def convolutions(self) -> Iterator[ConvolutionRun]:
        """Yield all convolutions of one forward pass; of the heads, only the finest counts.

        A skip connection that is not the identity counts once: its convolution or, if only the
        resolution changes, its pooling, which has an output but no multiplications.

        Source: nnU-Net 2.8.1 counts the same values, so its memory references apply.
        """
        voxels, kernels = stage_voxels(self.topology), self.topology.kernels
        yield ConvolutionRun(self.in_channels, self.features[0], voxels[0], kernels[0])
        for stage, (below, width) in enumerate(self._stage_features):
            convolutions = (width,) * (2 * self.encoder_blocks[stage])
            yield from stack_runs((below, *convolutions), voxels[stage], kernels[stage])
            if below != width:
                yield ConvolutionRun(below, width, voxels[stage])
            elif prod(self.topology.strides[stage]) > 1:
                yield ConvolutionRun(0, width, voxels[stage])
        yield from self.decoder_runs(self.decoder_convolutions)

    @override
    def build(self) -> nn.Module:
        topology = self.topology
        stem = ConvolutionStack(
            (self.in_channels, self.features[0]),
            count=1,
            kernel=topology.kernels[0],
            stride=topology.strides[0],
        )
        stages = [
            ResidualStage(
                features,
                count=self.encoder_blocks[stage],
                kernel=topology.kernels[stage],
                stride=topology.strides[stage],
            )
            for stage, features in enumerate(self._stage_features)
        ]
        network = UShapedNetwork(
            nn.ModuleList([nn.Sequential(stem, stages[0]), *stages[1:]]),
            self.decoder_stages(self.decoder_convolutions),
            self.segmentation_heads(deep_supervision=self.deep_supervision),
        )
        network.apply(_zero_initialise_residual)
        return network

    @property
    def _stage_features(self) -> Iterator[tuple[int, int]]:
        """Input and output channels of each stage; the first receives the output of the stem."""
        return pairwise((self.features[0], *self.features))


class ResidualStage(nn.Sequential):
    """Sequence of residual blocks.

    Args:
        features: Input and output channels.
        count: Number of blocks.
        kernel: Kernel size, voxels.
        stride: Stride of the first block; the others have stride 1.
    """

    def __init__(
        self, features: tuple[int, int], *, count: int, kernel: Stride, stride: Stride
    ) -> None:
        width = features[1]
        same = (1,) * len(kernel)
        super().__init__(
            ResidualBlock(features, kernel=kernel, stride=stride),
            *(ResidualBlock((width, width), kernel=kernel, stride=same) for _ in range(count - 1)),
        )


class ResidualBlock(nn.Module):
    """Residual block of two convolutions.

    The skip connection applies average pooling if the resolution changes, and a 1 × 1 convolution
    without bias if the width changes.

    Args:
        features: Input and output channels.
        kernel: Kernel size of both convolutions, voxels.
        stride: Stride of the first convolution and of the average pooling.
    """

    def __init__(self, features: tuple[int, int], *, kernel: Stride, stride: Stride) -> None:
        super().__init__()
        width = features[1]
        same = (1,) * len(kernel)
        self.first = ConvolutionStack(features, count=1, kernel=kernel, stride=stride)
        self.second, self.norm = normalised_convolution((width, width), kernel=kernel, stride=same)
        self.skip = _skip(features, stride)
        self.rectifier = rectifier()

    @override
    def forward(self, maps: Tensor) -> Tensor:
        residual = self.norm(self.second(self.first(maps)))
        output: Tensor = self.rectifier(residual + self.skip(maps))
        return output


def _skip(features: tuple[int, int], stride: Stride) -> nn.Sequential:
    """Create the skip connection, which matches the resolution and width of the block's output."""
    inputs, width = features
    layers: list[nn.Module] = []
    if prod(stride) > 1:
        layers.append(average_pooling(len(stride))(stride, stride))
    if inputs != width:
        layers += [convolution(len(stride))(inputs, width, 1, bias=False), InstanceNorm(width)]
    return nn.Sequential(*layers)


def _zero_initialise_residual(module: nn.Module) -> None:
    """Zero the last normalisation scale of a residual block, so it starts as its skip connection.

    Source: Goyal et al., arXiv:1706.02677, section 5.1.
    """
    if isinstance(module, ResidualBlock):
        nn.init.zeros_(module.norm.weight)
