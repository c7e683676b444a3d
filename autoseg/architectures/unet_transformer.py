"""U-Net Transformer: a U-Net with attention in the lowest stage and the skip connections.

Source: Petit et al., MLMI 2021, arXiv:2103.06104.
"""

from collections.abc import Iterator
from itertools import pairwise
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.attention import (
    MultiHeadAttention,
    as_maps,
    as_tokens,
    attention_runs,
    initialise_attention,
    sinusoidal_encoding,
)
from autoseg.architectures.attention_unet import resize_like
from autoseg.architectures.base import ARCHITECTURES
from autoseg.architectures.convolutions import ConvolutionRun, scaled_unet_references, stack_runs
from autoseg.architectures.layers import (
    DecoderStage,
    InstanceNorm,
    Stride,
    average_pooling,
    convolution,
)
from autoseg.architectures.staged import StagedArchitecture
from autoseg.architectures.u_shape import UShapedNetwork, stage_voxels
from autoseg.core.frozen import PositiveInt
from autoseg.core.limits import Width

HEAD_FEATURES = 32
"""Features per attention head; the paper does not report them."""

MAX_TOKENS = 4096
"""Largest number of tokens in the attention of a skip connection: 64² or 16³. Its time grows
quadratically: for the skip connection at full resolution of 512² pixels, attention on the next
lower stage (256²) would compare 4 billion pairs."""

CONVOLUTIONS_PER_STAGE = 2


@ARCHITECTURES.register
class UNetTransformer(StagedArchitecture):
    """Configuration of the U-Net Transformer.

    The convolutions are the same as in the plain U-Net, so that the two differ only in attention.

    Differences between the planned and the published network: the planner chooses strides, kernels,
    widths and number of stages, normalisation is per sample, deep supervision is used, and the
    attention of a skip connection uses the finest lower stage with at most `most_tokens` voxels,
    whereas the paper always uses the next lower stage.

    Attributes:
        head_features: Features per attention head; wider stages have more heads.
        most_tokens: Largest number of voxels of the stage that the attention of a skip connection
            uses; the lowest stage may exceed it.
        deep_supervision: Whether coarser decoder stages also predict logits during training.
    """

    memory_references = scaled_unet_references(two_axes=2.14, three_axes=2.16)

    kind: Literal["unet_transformer"] = "unet_transformer"
    head_features: Width = HEAD_FEATURES
    most_tokens: PositiveInt = MAX_TOKENS
    deep_supervision: bool = True

    @override
    def convolutions(self) -> Iterator[ConvolutionRun]:
        voxels, kernels = stage_voxels(self.topology), self.topology.kernels
        features = self.features
        yield from self.encoder_runs((CONVOLUTIONS_PER_STAGE,) * len(features))
        yield from self._attention_runs((features[-1], features[-1]), voxels[-1])
        for stage, (width, below) in enumerate(pairwise(features)):
            tokens = voxels[self.attended_stage(stage)]
            yield from self._attention_runs((below, width), tokens)
            yield ConvolutionRun(width, width, tokens)
            yield ConvolutionRun(below, width, voxels[stage])
            yield from stack_runs((2 * width, width, width), voxels[stage], kernels[stage])
        yield ConvolutionRun(features[0], self.num_classes, voxels[0])

    def _attention_runs(self, features: tuple[int, int], tokens: int) -> Iterator[ConvolutionRun]:
        width = self._heads(features) * self.head_features
        return attention_runs(features, width, queries=tokens, keys=tokens)

    def attended_stage(self, stage: int) -> int:
        """Return the lower stage whose grid the attention of a skip connection uses."""
        voxels = stage_voxels(self.topology)
        below = range(stage + 1, len(voxels))
        return next((lower for lower in below if voxels[lower] <= self.most_tokens), below[-1])

    @override
    def build(self) -> nn.Module:
        stages, lowest = len(self.features), self.features[-1]
        encoder = self.encoder_stages((CONVOLUTIONS_PER_STAGE,) * stages)
        encoder[-1].append(SelfAttention(lowest, self._attention((lowest, lowest))))
        decoder = nn.ModuleList(self._decoder_stage(stage) for stage in range(stages - 1))
        heads = self.segmentation_heads(deep_supervision=self.deep_supervision)
        network = UShapedNetwork(nn.ModuleList(encoder), decoder, heads)
        network.apply(initialise_attention)
        return network

    def _decoder_stage(self, stage: int) -> "AttentiveDecoderStage":
        topology = self.topology
        width, below = self.features[stage : stage + 2]
        strides = topology.strides[stage + 2 : self.attended_stage(stage) + 1]
        attention = CrossAttention(
            (below, width),
            self._attention((below, width)),
            stride=topology.strides[stage + 1],
            reduction=tuple(prod(column) for column in zip(*strides, strict=True))
            or (1,) * topology.num_axes,
        )
        convolutions = DecoderStage(
            (below, width),
            count=CONVOLUTIONS_PER_STAGE,
            kernel=topology.kernels[stage],
            stride=topology.strides[stage + 1],
        )
        return AttentiveDecoderStage(attention, convolutions)

    def _attention(self, features: tuple[int, int]) -> MultiHeadAttention:
        return MultiHeadAttention(
            features, heads=self._heads(features), head_features=self.head_features
        )

    def _heads(self, features: tuple[int, int]) -> int:
        """Return the number of heads: the value features divided by `head_features`, at least 1."""
        return max(1, features[1] // self.head_features)


class SelfAttention(nn.Module):
    """Residual self-attention over all voxels.

    Args:
        features: Channels of the feature maps.
        attention: Attention module.

    Source: Petit et al., section 2.1.
    """

    def __init__(self, features: int, attention: MultiHeadAttention) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.attention = attention

    @override
    def forward(self, maps: Tensor) -> Tensor:
        tokens = self.norm(as_tokens(maps))
        positioned = add_position_encoding(tokens, maps)
        attended = self.attention(positioned, positioned, tokens)
        return maps + as_maps(attended, tuple(maps.shape[2:]))


class CrossAttention(nn.Module):
    """Multiply a skip connection by a mask between 0 and 1, computed by cross-attention.

    Queries and keys are the voxels of the stage below, and values are the voxels of the skip
    connection, both pooled to the grid of the attention. A convolution, normalisation and a sigmoid
    turn the result into a mask with one value per feature, which is upsampled to the resolution of
    the skip connection.

    Args:
        features: Channels of the stage below and of the skip connection.
        attention: Attention module.
        stride: Stride between the two.
        reduction: Pooling factors from the stage below to the grid of the attention.

    Source: Petit et al., section 2.2.
    """

    def __init__(
        self,
        features: tuple[int, int],
        attention: MultiHeadAttention,
        *,
        stride: Stride,
        reduction: Stride,
    ) -> None:
        super().__init__()
        below, width = features
        factors = tuple(a * b for a, b in zip(stride, reduction, strict=True))
        pooling = average_pooling(len(stride))
        self.reduce_below = pooling(reduction) if prod(reduction) > 1 else nn.Identity()
        self.reduce_skip = pooling(factors)
        self.norm_below = nn.LayerNorm(below)
        self.norm_skip = nn.LayerNorm(width)
        self.attention = attention
        self.mask_features = convolution(len(stride))(width, width, 1)
        self.mask_norm = InstanceNorm(width)

    def mask(self, below: Tensor, skip: Tensor) -> Tensor:
        """Compute the mask at the resolution of the attention grid."""
        coarse = self.reduce_below(below)
        tokens = self.norm_below(as_tokens(coarse))
        positioned = add_position_encoding(tokens, coarse)
        values = self.norm_skip(as_tokens(self.reduce_skip(skip)))
        attended = self.attention(positioned, positioned, values)
        maps = as_maps(attended, tuple(coarse.shape[2:]))
        return torch.sigmoid(self.mask_norm(self.mask_features(maps)))

    @override
    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        return resize_like(self.mask(below, skip), skip) * skip


class AttentiveDecoderStage(nn.Module):
    """Decoder stage with cross-attention on the skip connection.

    Args:
        attention: Cross-attention applied to the skip connection.
        convolutions: Decoder stage that receives the masked skip connection.
    """

    def __init__(self, attention: CrossAttention, convolutions: DecoderStage) -> None:
        super().__init__()
        self.attention = attention
        self.convolutions = convolutions

    @override
    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        joined: Tensor = self.convolutions(below, self.attention(below, skip))
        return joined


def add_position_encoding(tokens: Tensor, maps: Tensor) -> Tensor:
    """Add the sinusoidal position encoding of the grid of `maps` to tokens."""
    encoding = sinusoidal_encoding(tuple(maps.shape[2:]), tokens.shape[-1], device=maps.device)
    return tokens + encoding.to(tokens)
