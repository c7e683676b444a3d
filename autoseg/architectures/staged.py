"""Base class of networks with one width per stage, with common planning and validation.

A subclass sets class variables where it differs from the plain U-Net, lists its convolutions, and
builds its module.
"""

from typing import ClassVar, TypeVar

from pydantic import PositiveInt, model_validator
from typing_extensions import override

from autoseg.architectures.base import Topology
from autoseg.architectures.convolutions import ConvolutionalArchitecture
from autoseg.architectures.u_shape import (
    BASE_FEATURES,
    COMPACT_BASE_FEATURES,
    check_stages,
    doubling_features,
    first_stages,
    uncapped_features,
)

S = TypeVar("S", bound="StagedArchitecture")


class StagedArchitecture(ConvolutionalArchitecture):
    """Architecture with one width per stage, which doubles from stage to stage by default.

    Attributes:
        first_features: Features of the first stage, by number of axes.
        compact_first_features: Features of the first stage of the compact variant, for any number
            of axes.
        is_capped: Whether widths are capped as in the plain U-Net.
        max_stages: Largest number of planned stages to use; None means all.
        features: Features per stage, finest first.
    """

    first_features: ClassVar[dict[int, int]] = {2: BASE_FEATURES, 3: BASE_FEATURES}
    compact_first_features: ClassVar[int] = COMPACT_BASE_FEATURES
    is_capped: ClassVar[bool] = True
    max_stages: ClassVar[int | None] = None

    features: tuple[PositiveInt, ...]

    @model_validator(mode="after")
    def _check_features(self) -> "StagedArchitecture":
        check_stages(self.topology, encoder={"features": self.features}, decoder={})
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
                "features": cls._widths(cls.first_features[used.num_axes], used),
            }
        )

    @override
    def compact(self: S) -> S:
        narrow = self._widths(self.compact_first_features, self.topology)
        return self.model_copy(update={"features": narrow})

    @classmethod
    def _widths(cls, first: int, topology: Topology) -> tuple[int, ...]:
        double = doubling_features if cls.is_capped else uncapped_features
        return double(first, topology)
