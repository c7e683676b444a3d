"""U-Net Transformer: a U-Net whose lowest stage and skip connections look at the whole patch.

Source: Petit et al., MLMI 2021, arXiv:2103.06104.
"""

from collections.abc import Iterator
from itertools import pairwise
from math import prod
from typing import ClassVar, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.attention import (
    MultiHeadAttention,
    as_maps,
    as_tokens,
    attention_runs,
    initialise_attention,
    sinusoidal_codes,
)
from autoseg.architectures.attention_unet import resized
from autoseg.architectures.base import ARCHITECTURES, MemoryReference
from autoseg.architectures.convolutions import ConvolutionRun, references_beside_unet, stack_runs
from autoseg.architectures.layers import (
    ConvolutionStack,
    DecoderStage,
    InstanceNorm,
    Stride,
    average_pooling,
    convolution,
)
from autoseg.architectures.staged import StagedArchitecture
from autoseg.architectures.u_shape import UShapedNetwork, stage_voxels, supervised_heads

HEAD_FEATURES = 32
"""Features per attention head; the paper does not state them."""

MOST_TOKENS = 4096
"""Voxels that a skip connection's attention looks at, at most: 64² or 16³. Its time grows with
their square; at the full resolution of 512² pixels it would compare 4 billion pairs."""

CONVOLUTIONS_PER_STAGE = 2


@ARCHITECTURES.register
class UNetTransformer(StagedArchitecture):
    """Configuration of the U-Net Transformer.

    Its convolutions are those of the plain U-Net, so that the two differ by attention alone.

    The planned form differs from the published one in its strides, kernels, widths and number of
    stages, all the planner's; in that it normalises each sample by itself; in deep supervision; and
    in that a skip connection's attention works on the finest stage below it of no more than
    `most_tokens` voxels, where the paper always takes the next.

    Attributes:
        head_features: Features of an attention head; wider stages have more heads.
        most_tokens: Voxels of the stage on which a skip connection's attention works, at most,
            unless even the lowest has more.
        deep_supervision: Whether coarser decoder stages give scores too, in training.
    """

    memory_references: ClassVar[dict[int, tuple[MemoryReference, ...]]] = references_beside_unet(
        two_axes=2.14, three_axes=2.16
    )

    kind: Literal["unet_transformer"] = "unet_transformer"
    head_features: PositiveInt = HEAD_FEATURES
    most_tokens: PositiveInt = MOST_TOKENS
    deep_supervision: bool = True

    @override
    def convolutions(self) -> Iterator[ConvolutionRun]:
        voxels, kernels, features = (
            stage_voxels(self.topology),
            self.topology.kernels,
            self.features,
        )
        for stage, inputs in enumerate((self.in_channels, *features[:-1])):
            width = features[stage]
            yield from stack_runs((inputs, width, width), voxels[stage], kernels[stage])
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
        """Return the stage below this one on which its skip connection's attention works."""
        voxels = stage_voxels(self.topology)
        below = range(stage + 1, len(voxels))
        return next((at for at in below if voxels[at] <= self.most_tokens), below[-1])

    @override
    def build(self) -> nn.Module:
        topology, features = self.topology, self.features
        encoder = [
            ConvolutionStack(
                (inputs, features[stage]),
                count=CONVOLUTIONS_PER_STAGE,
                kernel=topology.kernels[stage],
                stride=topology.strides[stage],
            )
            for stage, inputs in enumerate((self.in_channels, *features[:-1]))
        ]
        encoder[-1].append(SelfAttention(features[-1], self._attention((features[-1],) * 2)))
        decoder = nn.ModuleList(self._decoder_stage(stage) for stage in range(len(features) - 1))
        heads = supervised_heads(
            topology, features, self.num_classes, deep_supervision=self.deep_supervision
        )
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
        """Return as many heads as the maps that are looked at have features for."""
        return max(1, features[1] // self.head_features)


class SelfAttention(nn.Module):
    """Add to each voxel what it finds in all others.

    Args:
        features: Of the maps.
        attention: How it looks.

    Source: Petit et al., section 2.1.
    """

    def __init__(self, features: int, attention: MultiHeadAttention) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.attention = attention

    @override
    def forward(self, maps: Tensor) -> Tensor:
        tokens = self.norm(as_tokens(maps))
        placed = with_positions(tokens, maps)
        found = self.attention(placed, placed, tokens)
        return maps + as_maps(found, tuple(maps.shape[2:]))


class CrossAttention(nn.Module):
    """Multiply a skip connection by what the stage below makes of it, between 0 and 1.

    Queries and keys are the voxels of the stage below, values those of the skip connection, both
    brought to the grid of the attention. A convolution, normalisation and the logistic function
    make a mask of the result, one value per feature; it is brought up to the skip connection.

    Args:
        features: Of the stage below and of the skip connection.
        attention: How it looks.
        stride: Between the two.
        reduction: From the stage below to the grid of the attention.

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
        """Return the share of each value that is let through, at the attention's grid."""
        coarse = self.reduce_below(below)
        tokens = self.norm_below(as_tokens(coarse))
        placed = with_positions(tokens, coarse)
        values = self.norm_skip(as_tokens(self.reduce_skip(skip)))
        found = as_maps(self.attention(placed, placed, values), tuple(coarse.shape[2:]))
        return torch.sigmoid(self.mask_norm(self.mask_features(found)))

    @override
    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        return resized(self.mask(below, skip), skip) * skip


class AttentiveDecoderStage(nn.Module):
    """Filter the skip connection, then join it with the maps from below and convolve.

    Args:
        attention: The filter.
        convolutions: The rest.
    """

    def __init__(self, attention: CrossAttention, convolutions: DecoderStage) -> None:
        super().__init__()
        self.attention = attention
        self.convolutions = convolutions

    @override
    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        joined: Tensor = self.convolutions(below, self.attention(below, skip))
        return joined


def with_positions(tokens: Tensor, maps: Tensor) -> Tensor:
    """Return tokens with the codes of their places in the maps that they come from."""
    codes = sinusoidal_codes(tuple(maps.shape[2:]), tokens.shape[-1], device=maps.device)
    return tokens + codes.to(tokens)
