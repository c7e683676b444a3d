"""UNet++: nested decoders of increasing depth, joined by dense skip connections.

Source: Zhou et al., DLMIA 2018, arXiv:1807.10165.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.base import ARCHITECTURES, NetworkOutput, Topology
from autoseg.architectures.convolutions import (
    ConvolutionRun,
    Normalization,
    RectifiedConvolutions,
    max_pooling,
    scaled_unet_references,
    stack_runs,
)
from autoseg.architectures.layers import Stride, initialise, transposed_convolution
from autoseg.architectures.segmentation_head import segmentation_head
from autoseg.architectures.staged import StagedArchitecture
from autoseg.architectures.u_shape import stage_voxels
from autoseg.core.limits import LayerCount


@ARCHITECTURES.register
class UNetPlusPlus(StagedArchitecture):
    """Configuration of the nested U-Net.

    Node (level, column) has the resolution of stage `level`. It receives all nodes of its level in
    previous columns, and the node (level + 1, column - 1). Column 0 is the encoder. With deep
    supervision, all nodes of level 0 except the encoder's predict logits at full resolution.

    Differences between the planned and the published network: the planner chooses strides, kernels
    and number of levels, and normalisation is per sample.

    Attributes:
        normalization: Normalisation after each convolution; "none" as published.
        deep_supervision: Whether all columns predict logits; if False, only the last column does.
        pruned_to: Column whose logits are used for prediction, without computing later columns
            ("fast" in the paper); None averages the logits of all columns ("accurate").
    """

    memory_references = scaled_unet_references(two_axes=2.55, three_axes=2.45)

    kind: Literal["unet_plus_plus"] = "unet_plus_plus"
    normalization: Normalization = "instance"
    deep_supervision: bool = True
    pruned_to: LayerCount | None = None

    @model_validator(mode="after")
    def _check(self) -> "UNetPlusPlus":
        if self.pruned_to is not None and self.pruned_to not in self._supervised:
            msg = (
                f"pruned_to is {self.pruned_to}, but only these columns predict logits: "
                f"{list(self._supervised)}. Set it to one of them, or to null to average them."
            )
            raise ValueError(msg)
        return self

    @classmethod
    def published(
        cls, *, in_channels: int = 3, num_classes: int = 1, deep_supervision: bool = False
    ) -> "UNetPlusPlus":
        """Return the network of the paper's tables: five levels in 2-D, 32 to 512 features.

        Args:
            in_channels: Image channels.
            num_classes: Classes, background included.
            deep_supervision: Whether all columns predict logits.
        """
        topology = Topology(
            patch_shape=(96, 96), strides=((1, 1), *((2, 2),) * 4), kernels=((3, 3),) * 5
        )
        network = cls.for_topology(topology, in_channels=in_channels, num_classes=num_classes)
        return network.model_copy(
            update={"normalization": "none", "deep_supervision": deep_supervision}
        )

    @override
    def convolutions(self) -> Iterator[ConvolutionRun]:
        voxels, kernels = stage_voxels(self.topology), self.topology.kernels
        yield from self.encoder_runs((2,) * len(self.features))
        for level, column in self._nodes:
            width = self.features[level]
            yield ConvolutionRun(self.features[level + 1], width, voxels[level])
            joined = ((column + 1) * width, width, width)
            yield from stack_runs(joined, voxels[level], kernels[level])
        for _ in self._supervised:
            yield ConvolutionRun(self.features[0], self.num_classes, voxels[0])

    @override
    def build(self) -> nn.Module:
        topology, features = self.topology, self.features
        encoder = nn.ModuleList(
            nn.Sequential(
                *max_pooling(topology.strides[level]),
                RectifiedConvolutions(
                    (inputs, features[level], features[level]),
                    kernel=topology.kernels[level],
                    normalization=self.normalization,
                ),
            )
            for level, inputs in enumerate((self.in_channels, *features[:-1]))
        )
        nodes = nn.ModuleDict(
            {
                _name(level, column): NestedNode(
                    (features[level + 1], features[level]),
                    column=column,
                    kernel=topology.kernels[level],
                    stride=topology.strides[level + 1],
                    normalization=self.normalization,
                )
                for level, column in self._nodes
            }
        )
        head = segmentation_head(topology.num_axes)
        heads = nn.ModuleList(head(features[0], self.num_classes) for _ in self._supervised)
        return NestedNetwork(
            encoder, nodes, heads, columns=self._supervised, pruned_to=self.pruned_to
        )

    @property
    def _nodes(self) -> list[tuple[int, int]]:
        """Level and column of all nodes outside the encoder, column by column."""
        levels = len(self.features)
        return [(level, column) for column in range(1, levels) for level in range(levels - column)]

    @property
    def _supervised(self) -> tuple[int, ...]:
        """Columns that predict logits."""
        last = len(self.features) - 1
        return tuple(range(min(1, last), last + 1)) if self.deep_supervision else (last,)


def _name(level: int, column: int) -> str:
    return f"level_{level}_column_{column}"


class NestedNode(nn.Module):
    """Node: concatenate all previous feature maps of the level and the upsampled maps, convolve.

    Args:
        features: Channels of the level below and of this level.
        column: Column of the node, which is the number of previous nodes of the level.
        kernel: Kernel size, voxels.
        stride: Stride between this level and the level below.
        normalization: Normalisation after each convolution.
    """

    def __init__(
        self,
        features: tuple[int, int],
        *,
        column: int,
        kernel: Stride,
        stride: Stride,
        normalization: Normalization,
    ) -> None:
        super().__init__()
        below, width = features
        self.up = transposed_convolution(len(stride))(below, width, stride, stride=stride)
        self.convolutions = RectifiedConvolutions(
            ((column + 1) * width, width, width), kernel=kernel, normalization=normalization
        )

    @override
    def forward(self, left: Sequence[Tensor], below: Tensor) -> Tensor:
        joined: Tensor = self.convolutions(torch.cat((*left, self.up(below)), dim=1))
        return joined


class NestedNetwork(nn.Module):
    """Encoder, nested nodes, and a segmentation head per supervised column.

    Args:
        encoder: One module per level, finest first.
        nodes: Nodes by level and column.
        heads: Segmentation heads, one per entry of `columns`.
        columns: Columns of level 0 that predict logits.
        pruned_to: See `UNetPlusPlus`.
    """

    def __init__(
        self,
        encoder: nn.ModuleList,
        nodes: nn.ModuleDict,
        heads: nn.ModuleList,
        *,
        columns: tuple[int, ...],
        pruned_to: int | None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.nodes = nodes
        self.heads = heads
        self.columns = columns
        self.pruned_to = pruned_to
        self.apply(initialise)

    @override
    def forward(self, images: Tensor) -> NetworkOutput:
        """Compute the logits.

        In training mode, the logits of the last column are the main output, and the logits of the
        other columns are auxiliary. In evaluation mode, the output is the mean over columns, or the
        logits of column `pruned_to`.
        """
        if not self.training and self.pruned_to is not None:
            maps = self._level_0(images, self.pruned_to)
            return NetworkOutput(self.heads[self.columns.index(self.pruned_to)](maps[-1]))
        maps = self._level_0(images, len(self.encoder) - 1)
        logits = [head(maps[at]) for head, at in zip(self.heads, self.columns, strict=True)]
        if self.training:
            return NetworkOutput(logits[-1], tuple(reversed(logits[:-1])))
        return NetworkOutput(torch.stack(logits).mean(dim=0))

    def _level_0(self, images: Tensor, last: int) -> list[Tensor]:
        """Compute the feature maps of level 0 up to column `last`, without unneeded levels."""
        maps = images
        levels: list[list[Tensor]] = []
        for depth in range(last + 1):
            maps = self.encoder[depth](maps)
            levels.append([maps])
            for level in reversed(range(depth)):
                node = self.nodes[_name(level, depth - level)]
                levels[level].append(node(levels[level], levels[level + 1][-1]))
        return levels[0]
