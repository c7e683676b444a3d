"""Networks of one width per stage: what is planned, checked and made compact is the same for all.

A subclass says by class variables where it differs from the plain U-Net, lists its convolutions,
and builds itself.
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
    """A network whose stages are as wide as `features` says, doubling on the way down.

    Attributes:
        first_features: By number of axes, features of the first stage.
        compact_first_features: The same of the compact variant, for any number of axes.
        is_capped: Whether the doubling ends where the plain U-Net's does.
        most_stages: How many of the planned stages are used at most; none means all.
        features: Per stage, from the full resolution down.
    """

    first_features: ClassVar[dict[int, int]] = {2: BASE_FEATURES, 3: BASE_FEATURES}
    compact_first_features: ClassVar[int] = COMPACT_BASE_FEATURES
    is_capped: ClassVar[bool] = True
    most_stages: ClassVar[int | None] = None

    features: tuple[PositiveInt, ...]

    @model_validator(mode="after")
    def _check_features(self) -> "StagedArchitecture":
        check_stages(self.topology, encoder={"features": self.features}, decoder={})
        return self

    @classmethod
    @override
    def for_topology(cls: type[S], topology: Topology, *, in_channels: int, num_classes: int) -> S:
        used = topology if cls.most_stages is None else first_stages(topology, cls.most_stages)
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
