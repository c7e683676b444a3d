"""What all U-shaped networks share: widths that double on the way down, a decoder, and heads."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.base import NetworkOutput, Topology
from autoseg.architectures.layers import DecoderStage, initialise
from autoseg.architectures.segmentation_head import segmentation_head

BASE_FEATURES = 32
"""Features of the first stage; each further stage has twice as many."""

COMPACT_BASE_FEATURES = 16
"""Features of the first stage of a compact variant."""

MOST_FEATURES = {2: 512, 3: 320}
"""Features that no stage exceeds, by number of axes. Source: nnU-Net 2.8.1."""


def first_stages(topology: Topology, count: int) -> Topology:
    """Return the topology without the stages below the first `count`."""
    return topology.model_copy(
        update={"strides": topology.strides[:count], "kernels": topology.kernels[:count]}
    )


def doubling_features(base_features: int, topology: Topology) -> tuple[int, ...]:
    """Return the features of each stage: doubled from `base_features` up to the cap."""
    cap = MOST_FEATURES[topology.num_axes]
    return tuple(min(width, cap) for width in uncapped_features(base_features, topology))


def uncapped_features(base_features: int, topology: Topology) -> tuple[int, ...]:
    """Return the features of each stage: doubled from `base_features`, as far down as it goes."""
    return tuple(base_features * 2**stage for stage in range(len(topology.strides)))


def stage_voxels(topology: Topology) -> list[int]:
    """Return the number of voxels of each stage's feature maps at the planned patch."""
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
    """Check that every encoder setting has an entry per stage, and a decoder's one fewer.

    Raises:
        ValueError: If not; the message names all of them.
    """
    stages = len(topology.strides)
    needed = {**dict.fromkeys(encoder, stages), **dict.fromkeys(decoder, stages - 1)}
    found = {name: len(entries) for name, entries in {**encoder, **decoder}.items()}
    if found != needed:
        msg = f"a topology of {stages} stages needs {_listed(needed)}; found {_listed(found)}."
        raise ValueError(msg)


def _listed(counts: dict[str, int]) -> str:
    *firsts, last = [f"{count} {name}" for name, count in counts.items()]
    return f"{', '.join(firsts)} and {last}" if firsts else last


@dataclass(frozen=True)
class Decoder:
    """The way up again, of any U-shaped network.

    Attributes:
        topology: Patch, strides and kernels.
        num_classes: Classes, background included.
        features: Per stage, from the full resolution down.
        convolutions: Per stage but the lowest.
        deep_supervision: Whether coarser stages give scores too, in training.
    """

    topology: Topology
    num_classes: int
    features: tuple[int, ...]
    convolutions: tuple[int, ...]
    deep_supervision: bool

    def activation_count(self) -> int:
        """Return the number of values that its convolutions put out at the planned patch.

        Transposed convolutions count, and of the 1 × 1 heads only the one at full resolution.
        """
        voxels = stage_voxels(self.topology)
        count = self.num_classes * voxels[0]
        for stage, convolutions in enumerate(self.convolutions):
            # One more than the convolutions: the transposed one that comes up from below.
            count += (convolutions + 1) * self.features[stage] * voxels[stage]
        return count

    def multiplication_count(self) -> int:
        """Return the number of multiplications of the same convolutions."""
        voxels, features = stage_voxels(self.topology), self.features
        count = self.num_classes * features[0] * voxels[0]
        for stage, convolutions in enumerate(self.convolutions):
            width, size = features[stage], voxels[stage]
            count += features[stage + 1] * width * size
            inputs = (convolutions + 1) * width  # the first also takes the skip connection's maps
            count += inputs * width * size * prod(self.topology.kernels[stage])
        return count

    def stages(self) -> nn.ModuleList:
        """Return the module of each stage, from the full resolution down."""
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
        """Return the modules that turn maps into scores, from the full resolution down."""
        return supervised_heads(
            self.topology,
            self.features,
            self.num_classes,
            deep_supervision=self.deep_supervision,
        )


def supervised_heads(
    topology: Topology, features: tuple[int, ...], num_classes: int, *, deep_supervision: bool
) -> nn.ModuleList:
    """Return the modules that turn a decoder's maps into scores, from the full resolution down.

    The lowest stage has none: deep supervision would give it weight 0.

    Args:
        topology: Its number of axes and stages count.
        features: Of the maps, per stage.
        num_classes: Classes, background included.
        deep_supervision: Whether coarser stages have one too.
    """
    count = max(1, len(features) - 2) if deep_supervision else 1
    head = segmentation_head(topology.num_axes)
    return nn.ModuleList(head(features[stage], num_classes) for stage in range(count))


class UShapedNetwork(nn.Module):
    """An encoder, a decoder with skip connections, and a head per supervised stage.

    Args:
        encoder: One module per stage, from the full resolution down.
        decoder: One module per stage but the lowest, of the maps from below and the skip
            connection.
        heads: One module per stage that gives scores.
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
        return NetworkOutput(*self._scores(finest_first))

    def _scores(
        self, pairs: Iterator[tuple[nn.Module, Tensor]]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        head, maps = next(pairs)
        logits = head(maps)
        if not self.training:
            return logits, ()
        return logits, tuple(head(maps) for head, maps in pairs)
