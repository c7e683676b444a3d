"""What of a plan says how cases are prepared, readable without loading any network.

torch takes a second to load, and a plan needs it, because it holds networks. Preparing cases does
not: it works by whatever has the properties of `PlannedPreparation` and `PlannedData`, which are
the plan with its configurations, or their outlines.
"""

from collections.abc import Sequence
from math import isfinite
from typing import Annotated, Literal, Protocol, TypeVar, runtime_checkable

from pydantic import ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from autoseg.core.errors import PlanError
from autoseg.core.frozen import Frozen
from autoseg.core.labels import LabelScheme
from autoseg.documents.workspace import names_a_folder
from autoseg.normalizers import AnyNormalizer, Normalizer


class Resampling(Frozen):
    """Spline orders of resampling; 0 = nearest, 1 = linear, 3 = cubic.

    Attributes:
        image_order: Of images, within a plane and in isotropic volumes.
        label_order: Of each label's mask, and of logits on the way back.
        separate_axis_order: Along the one coarse axis of anisotropic volumes, for both.
        anisotropy_threshold: Coarsest over finest spacing beyond which that axis goes separately.
    """

    image_order: Literal[0, 1, 3] = 3
    label_order: Literal[0, 1] = 1
    separate_axis_order: Literal[0, 1] = 0
    anisotropy_threshold: PositiveFloat = 3.0


@runtime_checkable
class PlannedPatch(Protocol):
    """What a topology says of the data that its network sees; see `Topology`."""

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Size of the network's input, voxels, planned axis order."""


@runtime_checkable
class PlannedData(Protocol):
    """What a configuration says of the data that its network sees; see `Configuration`."""

    @property
    def name(self) -> str:
        """E.g. `3d_fullres`."""

    @property
    def data_name(self) -> str:
        """Folder of prepared cases."""

    @property
    def topology(self) -> PlannedPatch:
        """Holds the patch."""

    @property
    def spacing(self) -> tuple[float, ...]:
        """Target voxel size, mm, planned axis order."""

    @property
    def normalizers(self) -> tuple[Normalizer, ...]:
        """One per image channel."""

    @property
    def resampling(self) -> Resampling:
        """Spline orders."""


@runtime_checkable
class PlannedPreparation(Protocol):
    """What a plan says of all cases; see `Plan`."""

    @property
    def num_axes(self) -> int:
        """2 or 3."""

    @property
    def channel_names(self) -> tuple[str, ...]:
        """One per image channel."""

    @property
    def labels(self) -> LabelScheme:
        """The classes."""

    @property
    def axis_order(self) -> tuple[int, ...]:
        """For each planned axis, the canonical image axis it is."""


C = TypeVar("C", bound=PlannedData)


def check_data(configuration: PlannedData) -> None:
    """Refuse names that no folder can have, and a spacing without a finite number per patch axis.

    Raises:
        ValueError: With what is expected.
    """
    for field in ("name", "data_name"):
        if not names_a_folder(getattr(configuration, field)):
            msg = (
                f"the {field} {getattr(configuration, field)!r} cannot be that of a folder. Choose "
                "one without slashes that does not begin with a dot."
            )
            raise ValueError(msg)
    axes = len(configuration.topology.patch_shape)
    if len(configuration.spacing) != axes:
        msg = (
            f"{configuration.name}: spacing needs {axes} entries, one per patch axis; found "
            f"{list(configuration.spacing)}."
        )
        raise ValueError(msg)
    if not all(map(isfinite, configuration.spacing)):
        msg = (
            f"{configuration.name}: found the spacing {list(configuration.spacing)}, expected "
            "finite numbers, mm. `autoseg plan` writes the file anew."
        )
        raise ValueError(msg)


def check_preparation(plan: PlannedPreparation, configurations: Sequence[PlannedData]) -> None:
    """Refuse an axis order that is none, and normalizers that do not fit the channels.

    Raises:
        ValueError: With what is expected.
    """
    if sorted(plan.axis_order) != list(range(plan.num_axes)):
        msg = f"axis_order must hold 0 … {plan.num_axes - 1} once each; found {plan.axis_order}."
        raise ValueError(msg)
    for configuration in configurations:
        if len(configuration.normalizers) != len(plan.channel_names):
            msg = (
                f"{configuration.name}: found {len(configuration.normalizers)} normalizers for "
                f"{len(plan.channel_names)} image channels {list(plan.channel_names)}; each "
                "channel needs one."
            )
            raise ValueError(msg)
        if len(configuration.spacing) > plan.num_axes:
            msg = f"{configuration.name}: a 3-D patch cannot be cut from 2-D images."
            raise ValueError(msg)


def check_default(default: str, configurations: Sequence[PlannedData]) -> None:
    """Refuse a default that is no configuration, and configurations of the same name.

    Raises:
        ValueError: With what is expected.
    """
    names = [configuration.name for configuration in configurations]
    if len(set(names)) != len(names) or default not in names:
        msg = (
            f"default_configuration {default!r} must be one of the configurations, each named "
            f"once; found {names}."
        )
        raise ValueError(msg)


def named(configurations: Sequence[C], name: str) -> C:
    """Return the configuration called `name`.

    Raises:
        PlanError: If there is none of that name.
    """
    for configuration in configurations:
        if configuration.name == name:
            return configuration
    known = ", ".join(configuration.name for configuration in configurations)
    msg = f"the plan has no configuration {name!r}. Choose one of: {known}."
    raise PlanError(msg)


class PreparationView(Frozen):
    """Part of a document: what else the file says is passed over."""

    model_config = ConfigDict(extra="ignore")


class TopologyPreparationView(PreparationView):
    """The patch alone."""

    patch_shape: Annotated[tuple[PositiveInt, ...], Field(min_length=2, max_length=3)]


class ArchitecturePreparationView(PreparationView):
    """Its topology alone."""

    topology: TopologyPreparationView


class ConfigurationPreparationView(PreparationView):
    """What a configuration says of its data; the fields are some of `Configuration`."""

    name: str
    data_name: str
    spacing: tuple[PositiveFloat, ...]
    normalizers: tuple[AnyNormalizer, ...]
    architecture: ArchitecturePreparationView
    resampling: Resampling = Resampling()

    @model_validator(mode="after")
    def _check(self) -> "ConfigurationPreparationView":
        check_data(self)
        return self

    @property
    def topology(self) -> TopologyPreparationView:
        """Holds the patch."""
        return self.architecture.topology


class PlanPreparationView(PreparationView):
    """What a plan says of preparation; the fields are some of `Plan`.

    Networks, losses and recipes in the file are not looked at: who trains checks the whole plan.
    """

    schema_version: Literal[1] = 1
    num_axes: Literal[2, 3]
    channel_names: tuple[str, ...]
    labels: LabelScheme
    axis_order: tuple[int, ...]
    default_configuration: str
    configurations: tuple[ConfigurationPreparationView, ...]

    @model_validator(mode="after")
    def _check(self) -> "PlanPreparationView":
        check_default(self.default_configuration, self.configurations)
        check_preparation(self, self.configurations)
        return self

    def configuration(self, name: str | None) -> ConfigurationPreparationView:
        """Return the configuration called `name`, or the default one for None.

        Raises:
            PlanError: If the plan has none of that name.
        """
        return named(self.configurations, name or self.default_configuration)
