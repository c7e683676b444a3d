"""Parts shared by U-shaped networks: stage widths, decoder and segmentation heads."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.base import NetworkOutput, Topology
from autoseg.architectures.layers import DecoderStage, initialise
from autoseg.architectures.segmentation_head import segmentation_head

BASE_FEATURES = 32
"""Features of the first stage; they double at each further stage."""

COMPACT_BASE_FEATURES = 16
"""Features of the first stage of a compact variant."""

MAX_FEATURES = {2: 512, 3: 320}
"""Largest number of features per stage, by number of axes. Source: nnU-Net 2.8.1."""


def first_stages(topology: Topology, count: int) -> Topology:
    """Return the topology with only the first `count` stages."""
    return topology.model_copy(
        update={"strides": topology.strides[:count], "kernels": topology.kernels[:count]}
    )


def doubling_features(base_features: int, topology: Topology) -> tuple[int, ...]:
    """Return the features of each stage: doubling from `base_features`, up to the cap."""
    cap = MAX_FEATURES[topology.num_axes]
    return tuple(min(width, cap) for width in uncapped_features(base_features, topology))


def uncapped_features(base_features: int, topology: Topology) -> tuple[int, ...]:
    """Return the features of each stage: doubling from `base_features`, without a cap."""
    return tuple(base_features * 2**stage for stage in range(len(topology.strides)))


def stage_voxels(topology: Topology) -> list[int]:
    """Return the number of voxels of each stage's feature maps for the planned patch."""
    sizes = [prod(topology.patch_shape)]
    for stride in topology.strides[1:]:
        sizes.append(sizes[-1] // prod(stride))
    return sizes


def check_stages(
    topology: Topology,
    *,
    encoder: dict[str, tuple[int, ...]],
    decoder: dict[str, tuple[int, ...]],
) -> None:
    """Check that encoder settings have one entry per stage, and decoder settings one fewer.

    Args:
        topology: Topology that determines the number of stages.
        encoder: Encoder settings by name.
        decoder: Decoder settings by name.

    Raises:
        ValueError: If the number of entries is wrong; the message lists all settings.
    """
    stages = len(topology.strides)
    needed = [f"{stages} {name}" for name in encoder] + [f"{stages - 1} {name}" for name in decoder]
    found = [f"{len(entries)} {name}" for name, entries in {**encoder, **decoder}.items()]
    if found != needed:
        msg = f"a topology of {stages} stages needs {', '.join(needed)}; found {', '.join(found)}."
        raise ValueError(msg)


@dataclass(frozen=True)
class Decoder:
    """Decoder of a U-shaped network.

    Attributes:
        topology: Patch, strides and kernels.
        num_classes: Classes, background included.
        features: Features per stage, finest first.
        convolutions: Convolutions per decoder stage, finest first.
        deep_supervision: Whether coarser stages also predict logits during training.
    """

    topology: Topology
    num_classes: int
    features: tuple[int, ...]
    convolutions: tuple[int, ...]
    deep_supervision: bool

    def activation_count(self) -> int:
        """Return the number of output values of the decoder's convolutions for the planned patch.

        Transposed convolutions are included; of the heads, only the one at full resolution.
        """
        voxels = stage_voxels(self.topology)
        count = self.num_classes * voxels[0]
        for stage, convolutions in enumerate(self.convolutions):
            # One more for the transposed convolution.
            count += (convolutions + 1) * self.features[stage] * voxels[stage]
        return count

    def multiplication_count(self) -> int:
        """Return the number of multiplications of the decoder's convolutions."""
        voxels, features = stage_voxels(self.topology), self.features
        count = self.num_classes * features[0] * voxels[0]
        for stage, convolutions in enumerate(self.convolutions):
            width, size = features[stage], voxels[stage]
            count += features[stage + 1] * width * size
            inputs = (convolutions + 1) * width  # the first also receives the skip connection
            count += inputs * width * size * prod(self.topology.kernels[stage])
        return count

    def stages(self) -> nn.ModuleList:
        """Create the module of each decoder stage, finest first."""
        return nn.ModuleList(
            DecoderStage(
                (self.features[stage + 1], self.features[stage]),
                count=count,
                kernel=self.topology.kernels[stage],
                stride=self.topology.strides[stage + 1],
            )
            for stage, count in enumerate(self.convolutions)
        )

    def heads(self) -> nn.ModuleList:
        """Create the segmentation heads, finest first."""
        return supervised_heads(
            self.topology,
            self.features,
            self.num_classes,
            deep_supervision=self.deep_supervision,
        )


def supervised_heads(
    topology: Topology, features: tuple[int, ...], num_classes: int, *, deep_supervision: bool
) -> nn.ModuleList:
    """Create the segmentation heads of the supervised decoder stages, finest first.

    The coarsest decoder stage has no head, because deep supervision would give it the weight 0.

    Args:
        topology: Topology that determines the number of axes.
        features: Features per stage, finest first.
        num_classes: Classes, background included.
        deep_supervision: Whether coarser stages also have a head.
    """
    count = max(1, len(features) - 2) if deep_supervision else 1
    head = segmentation_head(topology.num_axes)
    return nn.ModuleList(head(features[stage], num_classes) for stage in range(count))


class UShapedNetwork(nn.Module):
    """Encoder, decoder with skip connections, and a segmentation head per supervised stage.

    Args:
        encoder: One module per stage, finest first.
        decoder: One module per stage except the lowest, finest first. Its inputs are the feature
            maps of the stage below and the skip connection.
        heads: Segmentation heads of the supervised stages, finest first.
    """

    def __init__(
        self, encoder: nn.ModuleList, decoder: nn.ModuleList, heads: nn.ModuleList
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.heads = heads
        self.apply(initialise)

    @override
    def forward(self, images: Tensor) -> NetworkOutput:
        maps = images
        skips = []
        for stage in self.encoder:
            maps = stage(maps)
            skips.append(maps)
        skips.pop()
        decoded = [maps]
        for stage in reversed(self.decoder):
            decoded.append(stage(decoded[-1], skips.pop()))
        finest_first = zip(self.heads, reversed(decoded), strict=False)
        return NetworkOutput(*self._logits(finest_first))

    def _logits(
        self, pairs: Iterator[tuple[nn.Module, Tensor]]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        head, maps = next(pairs)
        logits = head(maps)
        if not self.training:
            return logits, ()
        return logits, tuple(head(maps) for head, maps in pairs)
