"""The residual-encoder U-Net: residual blocks down, single convolutions up.

Source: Isensee et al., "nnU-Net Revisited", MICCAI 2024, arXiv:2404.09556; its blocks are those of
He et al., "Bag of Tricks", CVPR 2019, arXiv:1812.01187, figure 2c (ResNet-D), without a bottleneck.
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
"""Residual blocks of every further stage. Source: nnU-Net 2.8.1."""

MEDIUM_BELOW_GIB = 20.0
"""Memory from which the preset L is scaled instead of M: a GPU sold with 24 GB reports 22 to
24 GiB."""

LARGE_BELOW_GIB = 36.0
"""Memory from which the preset XL is scaled instead of L: a GPU sold with 40 GB reports 39 GiB."""


def _presets(
    batch_size: int, medium: float, large: float, extra_large: float
) -> tuple[MemoryReference, ...]:
    """Return the published presets for one number of axes, given the activations of each."""
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
        features: Per stage, from the full resolution down.
        encoder_blocks: Residual blocks per stage, the first of which halves the resolution.
        decoder_convolutions: Per stage but the lowest, from the full resolution down.
        deep_supervision: Whether coarser decoder stages give scores too, in training.
    """

    memory_references: ClassVar[dict[int, tuple[MemoryReference, ...]]] = {
        2: _presets(12, 135e6, 380e6, 560e6),
        3: _presets(2, 680e6, 2.1e9, 3.6e9),
    }
    """Source: the presets M, L and XL of nnU-Net 2.8.1; unlike its plain U-Net, a 2-D patch must
    leave room for 12 patches, and a batch may hold the whole dataset."""

    kept_values: ClassVar[dict[int, float] | None] = {2: 2.01, 3: 2.2}
    """Source: the peak of all tensors of a training step, 256² and 64³ voxels (`step_memory`)."""

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
        """Return the number of values that all convolutions put out at the planned patch.

        A skip connection counts once where it changes the maps: the output of its convolution or,
        where only the resolution changes, of its pooling. Of the heads only the one at full
        resolution counts.

        Source: what nnU-Net 2.8.1 counts, so that its references hold.
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
        network.apply(_silence)
        return network

    @property
    def _inputs(self) -> tuple[int, ...]:
        """Features that each stage's first block receives; the first stage has the stem's."""
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
    """Residual blocks, `count` of them.

    Args:
        features: Channels in and out.
        count: Number of blocks.
        kernel: Size of their convolutions, voxels.
        stride: Of the first block; the others keep the resolution.
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
    """Two convolutions, added to what came in.

    Where the resolution changes, what came in is averaged down; where the width changes, a 1 × 1
    convolution without bias adapts it.

    Args:
        features: Channels in and out.
        kernel: Size of both convolutions, voxels.
        stride: Of the first convolution and of the average.
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
        changed = self.norm(self.second(self.first(maps)))
        added: Tensor = self.rectifier(changed + self.skip(maps))
        return added


def _skip(features: tuple[int, int], stride: Stride) -> nn.Sequential:
    """Return what brings a block's input to the resolution and width of its output."""
    inputs, width = features
    layers: list[nn.Module] = []
    if prod(stride) > 1:
        layers.append(average_pooling(len(stride))(stride, stride))
    if inputs != width:
        layers += [convolution(len(stride))(inputs, width, 1, bias=False), InstanceNorm(width)]
    return nn.Sequential(*layers)


def _silence(module: nn.Module) -> None:
    """Let a residual block start as its skip connection alone.

    Source: Goyal et al., arXiv:1706.02677, section 5.1.
    """
    if isinstance(module, ResidualBlock):
        nn.init.zeros_(module.norm.weight)
