"""Base class of networks with one width per stage, with common planning, validation and parts.

A subclass sets class variables where it differs from the plain U-Net, lists its convolutions, and
builds its module.
"""

from collections.abc import Iterator
from typing import ClassVar, TypeVar

from pydantic import model_validator
from torch import nn
from typing_extensions import override

from autoseg.architectures.base import Topology
from autoseg.architectures.convolutions import ConvolutionalArchitecture, ConvolutionRun, stack_runs
from autoseg.architectures.layers import ConvolutionStack, DecoderStage
from autoseg.architectures.u_shape import (
    BASE_FEATURES,
    COMPACT_BASE_FEATURES,
    check_stages,
    doubling_features,
    first_stages,
    stage_voxels,
    supervised_heads,
    uncapped_features,
)
from autoseg.core.limits import Width

S = TypeVar("S", bound="StagedArchitecture")


class StagedArchitecture(ConvolutionalArchitecture):
    """Architecture with one width per stage, which doubles from stage to stage by default.

    Attributes:
        first_features: Features of the first stage, by number of axes.
        compact_first_features: Features of the first stage of the compact variant, for any number
            of axes.
        is_capped: Whether widths are capped as in the plain U-Net.
        max_stages: Largest number of planned stages to use; None means all.
        encoder_settings: Names of the settings with one entry per stage.
        decoder_settings: Names of the settings with one entry per stage except the lowest.
        features: Features per stage, finest first.
    """

    first_features: ClassVar[dict[int, int]] = {2: BASE_FEATURES, 3: BASE_FEATURES}
    compact_first_features: ClassVar[int] = COMPACT_BASE_FEATURES
    is_capped: ClassVar[bool] = True
    max_stages: ClassVar[int | None] = None
    encoder_settings: ClassVar[tuple[str, ...]] = ("features",)
    decoder_settings: ClassVar[tuple[str, ...]] = ()

    features: tuple[Width, ...]

    @model_validator(mode="after")
    def _check_stages(self) -> "StagedArchitecture":
        check_stages(self, encoder=self.encoder_settings, decoder=self.decoder_settings)
        return self

    @classmethod
    @override
    def for_topology(cls: type[S], topology: Topology, *, in_channels: int, num_classes: int) -> S:
        used = topology if cls.max_stages is None else first_stages(topology, cls.max_stages)
        return cls.model_validate(
            {
                "topology": used,
                "in_channels": in_channels,
                "num_classes": num_classes,
                **cls.stage_settings(used),
            }
        )

    @classmethod
    def stage_settings(cls, topology: Topology) -> dict[str, tuple[int, ...]]:
        """Return the default values of the encoder and decoder settings."""
        return {"features": cls._widths(cls.first_features[topology.num_axes], topology)}

    @override
    def compact(self: S) -> S:
        narrow = self._widths(self.compact_first_features, self.topology)
        return self.model_copy(update={"features": narrow})

    @classmethod
    def _widths(cls, first: int, topology: Topology) -> tuple[int, ...]:
        double = doubling_features if cls.is_capped else uncapped_features
        return double(first, topology)

    def encoder_runs(self, counts: tuple[int, ...]) -> Iterator[ConvolutionRun]:
        """Yield the padded convolutions of an encoder with `counts` convolutions per stage."""
        voxels, inputs = stage_voxels(self.topology), (self.in_channels, *self.features)
        for stage, count in enumerate(counts):
            features = (inputs[stage], *(self.features[stage],) * count)
            yield from stack_runs(features, voxels[stage], self.topology.kernels[stage])

    def decoder_runs(self, counts: tuple[int, ...]) -> Iterator[ConvolutionRun]:
        """Yield the convolutions of `decoder_stages` and of the head at full resolution."""
        voxels = stage_voxels(self.topology)
        for stage, count in enumerate(counts):
            width = self.features[stage]
            yield ConvolutionRun(self.features[stage + 1], width, voxels[stage])
            features = (2 * width, *(width,) * count)
            yield from stack_runs(features, voxels[stage], self.topology.kernels[stage])
        yield ConvolutionRun(self.features[0], self.num_classes, voxels[0])

    def encoder_stages(self, counts: tuple[int, ...]) -> list[ConvolutionStack]:
        """Create the plain U-Net's encoder with `counts` convolutions per stage, finest first."""
        inputs = (self.in_channels, *self.features)
        return [
            ConvolutionStack(
                (inputs[stage], self.features[stage]),
                count=count,
                kernel=self.topology.kernels[stage],
                stride=self.topology.strides[stage],
            )
            for stage, count in enumerate(counts)
        ]

    def decoder_stages(self, counts: tuple[int, ...]) -> nn.ModuleList:
        """Create the plain U-Net's decoder with `counts` convolutions per stage, finest first."""
        return nn.ModuleList(
            DecoderStage(
                (self.features[stage + 1], self.features[stage]),
                count=count,
                kernel=self.topology.kernels[stage],
                stride=self.topology.strides[stage + 1],
            )
            for stage, count in enumerate(counts)
        )

    def segmentation_heads(self, *, deep_supervision: bool) -> nn.ModuleList:
        """Create the segmentation heads of the supervised decoder stages, finest first."""
        return supervised_heads(
            self.topology, self.features, self.num_classes, deep_supervision=deep_supervision
        )
