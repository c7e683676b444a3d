"""The parts of a plan that define preprocessing, loadable without torch.

Loading a whole plan imports torch, which takes a second, because a plan holds architectures.
Preprocessing does not need them: it accepts the base classes defined here.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field, PlainValidator, PositiveFloat, model_validator

from autoseg.core.errors import PlanError
from autoseg.core.frozen import Frozen
from autoseg.core.geometry import Orientation
from autoseg.core.labels import LabelScheme
from autoseg.core.limits import BatchSize, PatchEdge, Spacing
from autoseg.core.names import FileName
from autoseg.documents.document import Document
from autoseg.normalizers import AnyNormalizer


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


class PlannedPatch(Frozen, extra="ignore"):
    """Preprocessing part of `Topology`: the patch size, voxels, planned axis order."""

    patch_shape: Annotated[tuple[PatchEdge, ...], Field(min_length=2, max_length=3)]


class PlannedNetwork(Frozen, extra="ignore"):
    """Preprocessing part of `Architecture`: the topology."""

    topology: PlannedPatch


class PlannedData(Frozen, extra="ignore"):
    """Base of `Configuration`: what preprocessing needs, validated without torch.

    Attributes:
        name: Name of the configuration, e.g. `3d_fullres`.
        data_name: Folder of prepared cases; configurations with the same data share it.
        spacing: Target voxel size in mm; a 2-D configuration of a 3-D dataset keeps each case's
            own slice distance.
        median_shape: Median case size in voxels at that spacing.
        batch_size: Number of patches per optimiser step.
        normalizers: One per image channel.
        architecture: Architecture of the network with its sizes and topology.
        loss: Loss function.
        recipe: Training recipe.
        resampling: Spline orders.
    """

    name: FileName
    data_name: FileName
    spacing: tuple[Spacing, ...]
    median_shape: tuple[PositiveFloat, ...]
    batch_size: BatchSize
    normalizers: tuple[AnyNormalizer, ...]
    architecture: Annotated[Any, PlainValidator(PlannedNetwork.model_validate)]
    loss: Any
    recipe: Any = None
    resampling: Resampling = Resampling()

    @model_validator(mode="after")
    def _check_data(self) -> "PlannedData":
        """Check that there is one spacing per patch axis."""
        axes = len(self.patch_shape)
        if len(self.spacing) != axes:
            msg = (
                f"{self.name}: spacing needs {axes} entries, one per patch axis; found "
                f"{list(self.spacing)}."
            )
            raise ValueError(msg)
        return self

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Patch size, voxels, planned axis order."""
        shape: tuple[int, ...] = self.architecture.topology.patch_shape
        return shape


C = TypeVar("C", bound=PlannedData)


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


class PlannedPreparation(Document, extra="ignore"):
    """Base of `Plan`: what preprocessing needs.

    Architectures, losses and recipes are not validated here; training validates the whole plan.

    Attributes:
        dataset_name: Name of the dataset.
        num_axes: Number of image axes: 2 or 3.
        channel_names: One name per image channel.
        labels: The classes.
        axis_order: Canonical image axis of each planned axis; coarsest spacing first.
        orientation: Orientation of images before their axes are reordered; only imported models use
            another one than the canonical.
        default_configuration: Configuration that `train` and `predict` use by default.
        configurations: All configurations.
    """

    FILE_NAME: ClassVar[str] = "plan.json"
    MADE_BY: ClassVar[str] = "autoseg plan DATASET"
    schema_version: Literal[2] = 2
    dataset_name: str
    num_axes: Literal[2, 3]
    channel_names: tuple[str, ...]
    labels: LabelScheme
    axis_order: tuple[int, ...]
    orientation: Orientation = "SPL"
    default_configuration: str
    configurations: tuple[PlannedData, ...]

    @model_validator(mode="after")
    def _check_preparation(self) -> "PlannedPreparation":
        names = [configuration.name for configuration in self.configurations]
        if len(set(names)) != len(names) or self.default_configuration not in names:
            msg = (
                f"default_configuration {self.default_configuration!r} must be one of the "
                f"configurations, whose names must be unique; found {names}."
            )
            raise ValueError(msg)
        if sorted(self.axis_order) != list(range(self.num_axes)):
            msg = (
                f"axis_order must be a permutation of 0 … {self.num_axes - 1}; found "
                f"{self.axis_order}."
            )
            raise ValueError(msg)
        for configuration in self.configurations:
            if len(configuration.normalizers) != len(self.channel_names):
                msg = (
                    f"{configuration.name}: found {len(configuration.normalizers)} normalizers for "
                    f"{len(self.channel_names)} image channels {list(self.channel_names)}; "
                    "expected one per channel."
                )
                raise ValueError(msg)
            if len(configuration.spacing) > self.num_axes:
                msg = f"{configuration.name}: 3-D patches cannot be sampled from 2-D images."
                raise ValueError(msg)
        return self

    def configuration(self, name: str | None) -> PlannedData:
        """Return a configuration by its name, or the default one for None.

        Raises:
            PlanError: If the plan has no such configuration.
        """
        return find_configuration(self.configurations, name or self.default_configuration)
