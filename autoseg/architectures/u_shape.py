"""Parts shared by U-shaped networks: stage widths, decoder and segmentation heads."""

from math import prod

from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.base import Architecture, NetworkOutput, Topology
from autoseg.architectures.layers import initialise
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
    architecture: Architecture, *, encoder: tuple[str, ...], decoder: tuple[str, ...]
) -> None:
    """Check that encoder settings have one entry per stage, and decoder settings one fewer.

    Args:
        architecture: Architecture with the settings.
        encoder: Names of the encoder settings.
        decoder: Names of the decoder settings.

    Raises:
        ValueError: If the number of entries is wrong; the message lists all settings.
    """
    stages = len(architecture.topology.strides)
    needed = [f"{stages} {name}" for name in encoder] + [f"{stages - 1} {name}" for name in decoder]
    found = [f"{len(getattr(architecture, name))} {name}" for name in (*encoder, *decoder)]
    if found != needed:
        msg = f"a topology of {stages} stages needs {', '.join(needed)}; found {', '.join(found)}."
        raise ValueError(msg)


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
        return decode(skips, self.decoder, self.heads if self.training else self.heads[:1])


def decode(skips: list[Tensor], decoder: nn.ModuleList, heads: nn.ModuleList) -> NetworkOutput:
    """Apply the decoder and the segmentation heads of a U-shaped network.

    Args:
        skips: Feature maps of all stages, finest first; the list is emptied.
        decoder: One module per stage except the lowest, finest first; see `UShapedNetwork`.
        heads: Segmentation heads of the stages whose logits are returned, finest first.
    """
    decoded = [skips.pop()]
    for stage in reversed(decoder):
        decoded.append(stage(decoded[-1], skips.pop()))
    finest_first = zip(heads, reversed(decoded), strict=False)
    logits, *auxiliary = [head(maps) for head, maps in finest_first]
    return NetworkOutput(logits, tuple(auxiliary))
