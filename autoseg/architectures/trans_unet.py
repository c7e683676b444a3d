"""TransUNet: residual encoder, vision transformer at the lowest resolution, and decoder.

Source: Chen et al., arXiv:2102.04306; details missing in the paper follow the authors'
implementation. The residual encoder is from Kolesnikov et al., ECCV 2020, arXiv:1912.11370.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.attention import (
    NORM_EPSILON,
    TransformerLayer,
    as_maps,
    as_tokens,
    attention_runs,
    initialise_attention,
)
from autoseg.architectures.attention_unet import resize_like
from autoseg.architectures.base import ARCHITECTURES, NetworkOutput, Topology
from autoseg.architectures.convolutions import (
    ConvolutionalArchitecture,
    ConvolutionRun,
    Normalization,
    RectifiedConvolutions,
    scaled_unet_references,
    stack_runs,
)
from autoseg.architectures.layers import convolution, initialise
from autoseg.architectures.standardized_residual import (
    overlapping_pooling,
    residual_runs,
    residual_stage,
    stem,
    stem_kernel,
)
from autoseg.architectures.u_shape import first_stages, stage_voxels
from autoseg.core.frozen import Fraction, Frozen
from autoseg.core.limits import LayerCount, Width

MAX_STAGES = 5
"""Largest number of stages, as in the published network, whose tokens are 16 × 16 pixels."""

ENCODER_FEATURES = (64, 256, 512, 1024)
"""Features of the first convolution and of the residual stages. Source: R50-ViT-B/16."""

BLOCKS = (3, 4, 9)
"""Residual blocks per stage. Source: R50-ViT-B/16."""

DECODER_FEATURES = (16, 64, 128, 256)
"""Features per decoder stage, finest first."""

COMPACT_SHARE = 4
"""Width of the published network divided by the width of the compact network."""

POSITION_DEVIATION = 0.02
"""Initial standard deviation of learnt position embeddings. Source: code of Dosovitskiy et al."""


class VisionTransformer(Frozen):
    """Size of a vision transformer; ViT-B by default.

    Attributes:
        width: Features of a token.
        layers: Number of transformer layers.
        heads: Number of attention heads; must divide `width`.
        hidden: Hidden features of the perceptron in each layer.
        dropout: Dropout rate.
    """

    width: Width = 768
    layers: LayerCount = 12
    heads: Width = 12
    hidden: Width = 3072
    dropout: Fraction = 0.1

    @model_validator(mode="after")
    def _check(self) -> "VisionTransformer":
        if self.width % self.heads:
            msg = (
                f"width must be divisible by heads; found {self.heads} heads and a width of "
                f"{self.width}."
            )
            raise ValueError(msg)
        return self


@ARCHITECTURES.register
class TransUNet(ConvolutionalArchitecture):
    """Configuration of TransUNet.

    Differences between the planned and the published network: the planner chooses strides and
    kernels, there are fewer stages if the plan has fewer than five, and normalisation in the
    decoder is per sample. In 3-D, all kernels have a third axis.

    Attributes:
        encoder_features: Features of the first convolution and of each residual stage; the encoder
            has no stage at full resolution.
        blocks: Residual blocks per residual stage.
        transformer: Size of the transformer.
        joined_features: Features of the decoder's input, computed from the tokens.
        decoder_features: Features per decoder stage, finest first.
        normalization: Normalisation after each convolution of the decoder; "batch" as published.
    """

    memory_references = scaled_unet_references(two_axes=2.32, three_axes=2.85)

    kind: Literal["trans_unet"] = "trans_unet"
    encoder_features: tuple[Width, ...]
    blocks: tuple[LayerCount, ...]
    transformer: VisionTransformer = VisionTransformer()
    joined_features: Width = 512
    decoder_features: tuple[Width, ...]
    normalization: Normalization = "instance"

    @model_validator(mode="after")
    def _check(self) -> "TransUNet":
        levels = len(self.topology.strides) - 1
        needed = {"encoder_features": max(1, levels), "blocks": max(0, levels - 1)}
        needed["decoder_features"] = levels
        found = {name: len(getattr(self, name)) for name in needed}
        if found != needed:
            msg = f"a topology of {levels + 1} stages needs {needed} entries; found {found}."
            raise ValueError(msg)
        return self

    @classmethod
    @override
    def for_topology(cls, topology: Topology, *, in_channels: int, num_classes: int) -> "TransUNet":
        used = first_stages(topology, MAX_STAGES)
        levels = len(used.strides) - 1
        return cls(
            topology=used,
            in_channels=in_channels,
            num_classes=num_classes,
            encoder_features=ENCODER_FEATURES[: max(1, levels)],
            blocks=BLOCKS[: max(0, levels - 1)],
            decoder_features=DECODER_FEATURES[:levels],
        )

    @classmethod
    def published(cls, *, in_channels: int = 3, num_classes: int = 9) -> "TransUNet":
        """Return the network of the paper's tables, R50-ViT-B/16 for 224 × 224 pixels."""
        topology = Topology(
            patch_shape=(224, 224), strides=((1, 1), *((2, 2),) * 4), kernels=((3, 3),) * 5
        )
        network = cls.for_topology(topology, in_channels=in_channels, num_classes=num_classes)
        return network.model_copy(update={"normalization": "batch"})

    @override
    def compact(self) -> "TransUNet":
        size = self.transformer
        small = {
            name: getattr(size, name) // COMPACT_SHARE for name in ("width", "heads", "hidden")
        }
        encoder = tuple(width // COMPACT_SHARE for width in self.encoder_features)
        decoder = tuple(max(16, width // COMPACT_SHARE) for width in self.decoder_features)
        return self.model_copy(
            update={
                "encoder_features": encoder,
                "transformer": size.model_copy(update=small),
                "joined_features": self.joined_features // COMPACT_SHARE,
                "decoder_features": decoder,
            }
        )

    @override
    def convolutions(self) -> Iterator[ConvolutionRun]:
        voxels, size = stage_voxels(self.topology), self.transformer
        yield from self._encoder_runs()
        tokens = voxels[-1]
        yield ConvolutionRun(self.encoder_features[-1], size.width, tokens)
        for _ in range(size.layers):
            yield from attention_runs((size.width,) * 2, size.width, queries=tokens, keys=tokens)
            yield ConvolutionRun(size.width, size.hidden, tokens)
            yield ConvolutionRun(size.hidden, size.width, tokens)
        yield ConvolutionRun(size.width, self.joined_features, tokens, self.topology.kernels[-1])
        for stage, (inputs, width) in enumerate(self._decoder_stages):
            kernel = self.topology.kernels[stage]
            yield from stack_runs((inputs, width, width), voxels[stage], kernel)
        last = self._head_features
        yield ConvolutionRun(last, self.num_classes, voxels[0], self.topology.kernels[0])

    def _encoder_runs(self) -> Iterator[ConvolutionRun]:
        voxels, kernels, at = stage_voxels(self.topology), self.topology.kernels, self._stem_stage
        wide = stem_kernel(kernels[at], self.topology.strides[at])
        yield ConvolutionRun(self.in_channels, self.encoder_features[0], voxels[at], wide)
        for stage, features in enumerate(pairwise(self.encoder_features), start=2):
            # Max-pooling comes before the first residual stage.
            entering = voxels[stage] if stage == 2 else voxels[stage - 1]
            yield from residual_runs(
                features,
                count=self.blocks[stage - 2],
                kernel=kernels[stage],
                voxels=(entering, voxels[stage]),
            )

    @property
    def _stem_stage(self) -> int:
        """Stage of the first convolution's output: the second stage, if there is one."""
        return min(1, len(self.topology.strides) - 1)

    @property
    def _decoder_stages(self) -> Iterator[tuple[int, int]]:
        """Input and output channels of each decoder stage."""
        skips = (0, *self.encoder_features[:-1])
        stages = pairwise((*self.decoder_features, self.joined_features))
        return ((below + skip, width) for (width, below), skip in zip(stages, skips, strict=False))

    @property
    def _head_features(self) -> int:
        return (*self.decoder_features, self.joined_features)[0]

    @override
    def build(self) -> nn.Module:
        topology = self.topology
        kernels, axes = topology.kernels, topology.num_axes
        grid = tuple(
            size // factor
            for size, factor in zip(topology.patch_shape, topology.divisors, strict=True)
        )
        tokens = TokenEncoder(self.encoder_features[-1], self.transformer, grid)
        decoder = nn.ModuleList(
            self._rectified((inputs, width, width), stage)
            for stage, (inputs, width) in enumerate(self._decoder_stages)
        )
        joined = self._rectified((self.transformer.width, self.joined_features), -1)
        head = convolution(axes)(
            self._head_features,
            self.num_classes,
            kernels[0],
            padding=tuple(size // 2 for size in kernels[0]),
        )
        network = TransformerNetwork(self._encoder(), nn.Sequential(tokens, joined), decoder, head)
        network.apply(initialise)
        network.apply(initialise_attention)
        return network

    def _encoder(self) -> nn.ModuleList:
        """Create the first convolution and the residual stages."""
        topology, at = self.topology, self._stem_stage
        channels = (self.in_channels, self.encoder_features[0])
        stages = [stem(channels, kernel=topology.kernels[at], stride=topology.strides[at])]
        for stage, features in enumerate(pairwise(self.encoder_features), start=2):
            stride = topology.strides[stage]
            is_pooled = stage == 2
            blocks = residual_stage(
                features,
                count=self.blocks[stage - 2],
                kernel=topology.kernels[stage],
                stride=(1,) * len(stride) if is_pooled else stride,
            )
            stages.append(
                nn.Sequential(overlapping_pooling(stride), blocks) if is_pooled else blocks
            )
        return nn.ModuleList(stages)

    def _rectified(self, features: tuple[int, ...], stage: int) -> RectifiedConvolutions:
        """Create convolutions of the decoder; normalised ones have no bias."""
        return RectifiedConvolutions(
            features,
            kernel=self.topology.kernels[stage],
            normalization=self.normalization,
            bias=self.normalization == "none",
        )


class TokenEncoder(nn.Module):
    """Transformer whose tokens are the voxels of the lowest feature maps.

    The position embeddings are learnt for the grid of the planned patch and interpolated linearly
    for other grids.

    Args:
        features: Channels of the feature maps.
        size: Size of the transformer.
        grid: Size of the feature maps for the planned patch, voxels.
    """

    def __init__(self, features: int, size: VisionTransformer, grid: tuple[int, ...]) -> None:
        super().__init__()
        self.embedding = convolution(len(grid))(features, size.width, 1)
        self.positions = nn.Parameter(POSITION_DEVIATION * torch.randn(1, size.width, *grid))
        self.dropout = nn.Dropout(size.dropout)
        self.layers = nn.Sequential(
            *(
                TransformerLayer(
                    size.width, heads=size.heads, hidden=size.hidden, dropout=size.dropout
                )
                for _ in range(size.layers)
            )
        )
        self.norm = nn.LayerNorm(size.width, eps=NORM_EPSILON)

    @override
    def forward(self, maps: Tensor) -> Tensor:
        embedded = self.embedding(maps)
        positioned = self.dropout(embedded + resize_like(self.positions, embedded))
        tokens = self.norm(self.layers(as_tokens(positioned)))
        return as_maps(tokens, tuple(maps.shape[2:]))


class TransformerNetwork(nn.Module):
    """Residual encoder, transformer, and a decoder that upsamples by interpolation.

    Args:
        encoder: One module per stage from the second stage down, finest first.
        transformer: Module applied to the lowest feature maps.
        decoder: One module per stage except the lowest, finest first. Its input is the upsampled
            output of the stage below, concatenated with the skip connection except at full
            resolution.
        head: Convolution that predicts the logits.
    """

    def __init__(
        self,
        encoder: nn.ModuleList,
        transformer: nn.Module,
        decoder: nn.ModuleList,
        head: nn.Module,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.transformer = transformer
        self.decoder = decoder
        self.heads = nn.ModuleList([head])

    @override
    def forward(self, images: Tensor) -> NetworkOutput:
        maps, skips = images, []
        for stage in self.encoder:
            maps = stage(maps)
            skips.append(maps)
        skips.pop()
        maps = self.transformer(maps)
        for stage in reversed(self.decoder):
            if skips:
                skip = skips.pop()
                maps = stage(torch.cat((resize_like(maps, skip), skip), dim=1))
            else:
                maps = stage(resize_like(maps, images))
        return NetworkOutput(self.heads[0](maps))
