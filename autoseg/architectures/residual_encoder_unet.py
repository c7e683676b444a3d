"""Residual-encoder U-Net: residual blocks in the encoder, single convolutions in the decoder.

Source: Isensee et al., "nnU-Net Revisited", MICCAI 2024, arXiv:2404.09556; the blocks are from He
et al., "Bag of Tricks", CVPR 2019, arXiv:1812.01187, figure 2c (ResNet-D), without a bottleneck.
"""

from math import inf, prod
from typing import ClassVar, Literal

from pydantic import PositiveInt, model_validator
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.base import ARCHITECTURES, Architecture, MemoryReference, Topology
from autoseg.architectures.layers import (
    ConvolutionStack,
    InstanceNorm,
    Stride,
    average_pooling,
    convolution,
    normalised_convolution,
    rectifier,
)
from autoseg.architectures.u_shape import (
    BASE_FEATURES,
    COMPACT_BASE_FEATURES,
    Decoder,
    UShapedNetwork,
    check_stages,
    doubling_features,
    stage_voxels,
)

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
class ResidualEncoderUNet(Architecture):
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

    kind: Literal["residual_encoder_unet"] = "residual_encoder_unet"
    features: tuple[PositiveInt, ...]
    encoder_blocks: tuple[PositiveInt, ...]
    decoder_convolutions: tuple[PositiveInt, ...]
    deep_supervision: bool = True

    @model_validator(mode="after")
    def _check(self) -> "ResidualEncoderUNet":
        check_stages(
            self.topology,
            encoder={"features": self.features, "encoder_blocks": self.encoder_blocks},
            decoder={"decoder_convolutions": self.decoder_convolutions},
        )
        return self

    @classmethod
    @override
    def for_topology(
        cls, topology: Topology, *, in_channels: int, num_classes: int
    ) -> "ResidualEncoderUNet":
        stages = len(topology.strides)
        blocks = (*FIRST_BLOCKS, *(FURTHER_BLOCKS,) * stages)[:stages]
        return cls(
            topology=topology,
            in_channels=in_channels,
            num_classes=num_classes,
            features=doubling_features(BASE_FEATURES, topology),
            encoder_blocks=blocks,
            decoder_convolutions=(1,) * (stages - 1),
        )

    @override
    def compact(self) -> "ResidualEncoderUNet":
        narrow = doubling_features(COMPACT_BASE_FEATURES, self.topology)
        return self.model_copy(update={"features": narrow})

    @override
    def activation_count(self) -> int:
        """Return the number of output values of all convolutions for the planned patch.

        A skip connection that is not the identity counts once: the output of its convolution or,
        if only the resolution changes, of its pooling. Of the segmentation heads, only the head at
        full resolution counts.

        Source: nnU-Net 2.8.1 counts the same values, so its memory references apply.
        """
        voxels = stage_voxels(self.topology)
        count = self._decoder.activation_count() + self.features[0] * voxels[0]  # the stem
        for stage, size in enumerate(voxels):
            maps = 2 * self.encoder_blocks[stage]
            if self._changes_width(stage) or prod(self.topology.strides[stage]) > 1:
                maps += 1
            count += maps * self.features[stage] * size
        return count

    @override
    def multiplication_count(self) -> int:
        voxels, features, kernels = (
            stage_voxels(self.topology),
            self.features,
            self.topology.kernels,
        )
        stem = self.in_channels * features[0] * voxels[0] * prod(kernels[0])
        count = self._decoder.multiplication_count() + stem
        for stage, size in enumerate(voxels):
            width, below = features[stage], self._inputs[stage]
            inputs = below + (2 * self.encoder_blocks[stage] - 1) * width
            count += inputs * width * size * prod(kernels[stage])
            if self._changes_width(stage):
                count += below * width * size
        return count

    @override
    def build(self) -> nn.Module:
        topology, features, decoder = self.topology, self.features, self._decoder
        stem = ConvolutionStack(
            (self.in_channels, features[0]),
            count=1,
            kernel=topology.kernels[0],
            stride=topology.strides[0],
        )
        stages = [
            ResidualStage(
                (self._inputs[stage], features[stage]),
                count=blocks,
                kernel=topology.kernels[stage],
                stride=topology.strides[stage],
            )
            for stage, blocks in enumerate(self.encoder_blocks)
        ]
        encoder = nn.ModuleList([nn.Sequential(stem, stages[0]), *stages[1:]])
        network = UShapedNetwork(encoder, decoder.stages(), decoder.heads())
        network.apply(_zero_initialise_residual)
        return network

    @property
    def _inputs(self) -> tuple[int, ...]:
        """Input features of each stage; the first stage receives the output of the stem."""
        return (self.features[0], *self.features)

    def _changes_width(self, stage: int) -> bool:
        return self._inputs[stage] != self.features[stage]

    @property
    def _decoder(self) -> Decoder:
        return Decoder(
            topology=self.topology,
            num_classes=self.num_classes,
            features=self.features,
            convolutions=self.decoder_convolutions,
            deep_supervision=self.deep_supervision,
        )


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
