"""The parts of a plan that define preprocessing, loadable without torch.

Loading a whole plan imports torch, which takes a second, because a plan holds architectures.
Preprocessing does not need them: it accepts any object with the properties of `PlannedPreparation`
and `PlannedData`, which are a plan and its configurations, or their views defined here.
"""

from collections.abc import Sequence
from math import isfinite
from typing import Annotated, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

from pydantic import ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from autoseg.core.errors import PlanError
from autoseg.core.frozen import Frozen
from autoseg.core.labels import LabelScheme
from autoseg.documents.dataset import is_valid_folder_name
from autoseg.documents.document import Document
from autoseg.normalizers import AnyNormalizer, Normalizer


class Resampling(Frozen):
    """Spline orders of resampling; 0 = nearest, 1 = linear, 3 = cubic.

    Attributes:
        image_order: Order for images, within a plane and in isotropic volumes.
        label_order: Order for the mask of each label, and for logits when exporting predictions.
        separate_axis_order: Order along the coarse axis of anisotropic volumes, for images and
            labels.
        anisotropy_threshold: Ratio of coarsest to finest spacing above which the coarse axis is
            resampled separately.
    """

    image_order: Literal[0, 1, 3] = 3
    label_order: Literal[0, 1] = 1
    separate_axis_order: Literal[0, 1] = 0
    anisotropy_threshold: PositiveFloat = 3.0


@runtime_checkable
class PlannedPatch(Protocol):
    """Preprocessing part of a topology; see `Topology`."""

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Patch size, voxels, planned axis order."""


@runtime_checkable
class PlannedData(Protocol):
    """Preprocessing part of a configuration; see `Configuration`."""

    @property
    def name(self) -> str:
        """Name of the configuration, e.g. `3d_fullres`."""

    @property
    def data_name(self) -> str:
        """Folder of prepared cases."""

    @property
    def topology(self) -> PlannedPatch:
        """Topology with the patch size."""

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
    """Preprocessing part of a plan; see `Plan`."""

    @property
    def num_axes(self) -> int:
        """Number of image axes: 2 or 3."""

    @property
    def channel_names(self) -> tuple[str, ...]:
        """One name per image channel."""

    @property
    def labels(self) -> LabelScheme:
        """The classes."""

    @property
    def axis_order(self) -> tuple[int, ...]:
        """Canonical image axis of each planned axis."""

    def configuration(self, name: str | None) -> PlannedData:
        """Return a configuration by its name, or the default one for None."""


C = TypeVar("C", bound=PlannedData)


def check_data(configuration: PlannedData) -> None:
    """Check that the names are valid folder names, and the spacing is finite for each patch axis.

    Raises:
        ValueError: If a check fails.
    """
    for field in ("name", "data_name"):
        if not is_valid_folder_name(getattr(configuration, field)):
            msg = (
                f"the {field} {getattr(configuration, field)!r} is not a valid folder name. Choose "
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
            "finite numbers in mm. Correct it, or run `autoseg plan` to write the plan again."
        )
        raise ValueError(msg)


def check_preparation(plan: PlannedPreparation, configurations: Sequence[PlannedData]) -> None:
    """Check that the axis order is a permutation, and that each channel has one normalizer.

    Raises:
        ValueError: If a check fails.
    """
    if sorted(plan.axis_order) != list(range(plan.num_axes)):
        msg = (
            f"axis_order must be a permutation of 0 … {plan.num_axes - 1}; found {plan.axis_order}."
        )
        raise ValueError(msg)
    for configuration in configurations:
        if len(configuration.normalizers) != len(plan.channel_names):
            msg = (
                f"{configuration.name}: found {len(configuration.normalizers)} normalizers for "
                f"{len(plan.channel_names)} image channels {list(plan.channel_names)}; expected "
                "one per channel."
            )
            raise ValueError(msg)
        if len(configuration.spacing) > plan.num_axes:
            msg = f"{configuration.name}: 3-D patches cannot be sampled from 2-D images."
            raise ValueError(msg)


def check_default(default: str, configurations: Sequence[PlannedData]) -> None:
    """Check that the default configuration exists, and that names are unique.

    Raises:
        ValueError: If a check fails.
    """
    names = [configuration.name for configuration in configurations]
    if len(set(names)) != len(names) or default not in names:
        msg = (
            f"default_configuration {default!r} must be one of the configurations, whose names "
            f"must be unique; found {names}."
        )
        raise ValueError(msg)


def find_configuration(configurations: Sequence[C], name: str) -> C:
    """Return a configuration by its name.

    Raises:
        PlanError: If there is no such configuration.
    """
    for configuration in configurations:
        if configuration.name == name:
            return configuration
    known = ", ".join(configuration.name for configuration in configurations)
    msg = f"the plan has no configuration {name!r}. Choose one of: {known}."
    raise PlanError(msg)


class PreparationView(Frozen):
    """A view of part of a document: other fields in the file are ignored."""

    model_config = ConfigDict(extra="ignore")


class TopologyPreparationView(PreparationView):
    """View of a topology: only the patch size."""

    patch_shape: Annotated[tuple[PositiveInt, ...], Field(min_length=2, max_length=3)]


class ArchitecturePreparationView(PreparationView):
    """View of an architecture: only the topology."""

    topology: TopologyPreparationView


class ConfigurationPreparationView(PreparationView):
    """View of a configuration: only the fields of `Configuration` that preprocessing needs."""

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
        """Topology with the patch size."""
        return self.architecture.topology


class PlanPreparationView(Document, PreparationView):
    """View of a plan: only the fields of `Plan` that preprocessing needs.

    Architectures, losses and recipes are not validated here; training validates the whole plan.
    """

    FILE_NAME: ClassVar[str] = "plan.json"
    MADE_BY: ClassVar[str] = "autoseg plan DATASET"
    schema_version: Literal[2] = 2
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
        """Return a configuration by its name, or the default one for None.

        Raises:
            PlanError: If the plan has no such configuration.
        """
        return find_configuration(self.configurations, name or self.default_configuration)
