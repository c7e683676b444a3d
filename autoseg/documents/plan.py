"""The plan: result of `autoseg plan`, with the reason for each decision."""

from typing import Literal

from pydantic import PositiveFloat, model_validator
from typing_extensions import override

from autoseg.architectures import AnyArchitecture, Topology
from autoseg.augmentations.mirroring import Mirroring
from autoseg.core.frozen import Frozen
from autoseg.core.geometry import LengthUnit, length_unit
from autoseg.core.names import FileName
from autoseg.documents.preparation import PlannedData, PlannedPreparation, find_configuration
from autoseg.documents.recipe import Recipe
from autoseg.losses import AnyLoss


class Decision(Frozen):
    """One planned value and the rule that chose it.

    Attributes:
        field: Name of the planned field, e.g. `3d_fullres.patch_shape`.
        value: The value, as text.
        rule: Name of the function in `autoseg.planning` that chose the value.
        reason: Reason for the value: one sentence with the relevant numbers.
        source: Paper or method that the rule is taken from.
    """

    field: str
    value: str
    rule: str
    reason: str
    source: str


class Configuration(PlannedData, extra="forbid"):
    """One way to segment the dataset: a 2-D or 3-D network with its data.

    Axes are in planned order (`Plan.axis_order`); a 2-D configuration has the last two of them.

    Attributes:
        architecture: Architecture of the network with its sizes and topology.
        loss: Loss function.
        recipe: Training recipe.
        predicted_memory_gib: Predicted GPU memory of one training step, GiB.
        previous_stage: Previous stage of a cascade: the configuration whose prediction is a further
            input of the network, one channel per foreground class. None without a cascade.
        blending: How the logits of overlapping tiles are averaged: exactly, or in half precision as
            in nnU-Net, for models trained by nnU-Net. With "nnunet", the cascade input is also the
            resampled label map of the previous stage instead of its resampled logits.
    """

    architecture: AnyArchitecture
    loss: AnyLoss
    recipe: Recipe = Recipe()
    predicted_memory_gib: PositiveFloat
    previous_stage: FileName | None = None
    blending: Literal["exact", "nnunet"] = "exact"

    @model_validator(mode="after")
    def _check(self) -> "Configuration":
        axes = self.topology.num_axes
        if len(self.median_shape) != axes:
            msg = (
                f"{self.name}: median_shape needs {axes} entries, one per patch axis; found "
                f"{list(self.median_shape)}."
            )
            raise ValueError(msg)
        self._check_mirroring()
        weights = getattr(self.loss, "class_weights", None)
        if weights is not None and len(weights) != self.architecture.num_classes:
            msg = (
                f"{self.name}: found {len(weights)} class_weights for "
                f"{self.architecture.num_classes} classes; expected one per class, background "
                "first."
            )
            raise ValueError(msg)
        return self

    def _check_mirroring(self) -> None:
        axes = range(self.topology.num_axes)
        for entry in self.recipe.augmentations:
            if isinstance(entry, Mirroring) and not set(entry.axes or ()) <= set(axes):
                msg = (
                    f"{self.name}: found mirroring along {list(entry.axes or ())}; expected patch "
                    f"axes from 0 to {axes[-1]}. List some of them, [] for no mirroring, or null "
                    "for all."
                )
                raise ValueError(msg)

    @property
    def topology(self) -> Topology:
        """Patch, strides and kernels."""
        return self.architecture.topology

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """Patch axes that are mirrored in training, and therefore in TTA."""
        entries = [part for part in self.recipe.augmentations if isinstance(part, Mirroring)]
        axes = {axis for part in entries for axis in part.allowed_axes(self.topology.num_axes)}
        return tuple(sorted(axes))


class TrainingBudget(Frozen):
    """Time budget that a plan's configurations were sized to.

    Attributes:
        seconds: Duration of one training.
        configurations: Names of the configurations that were sized to it; this is their default
            training duration.
    """

    seconds: PositiveFloat
    configurations: tuple[str, ...]


class Plan(PlannedPreparation, extra="forbid"):
    """A complete, editable description of preprocessing, training and prediction for a dataset.

    Attributes:
        decisions: Reason for each planned value.
        budget: Time budget of trainings; None for the number of steps of nnU-Net.
        length_unit: Unit of spacings; mm also if the files state none.
    """

    configurations: tuple[Configuration, ...]
    decisions: tuple[Decision, ...]
    budget: TrainingBudget | None = None
    length_unit: LengthUnit = "mm"

    @model_validator(mode="after")
    def _check(self) -> "Plan":
        for configuration in self.configurations:
            self._check_configuration(configuration)
            self._check_stages(configuration)
        self._check_shared_data()
        return self

    def _check_stages(self, configuration: Configuration) -> None:
        """Check that the chain of previous stages exists, is 3-D and is not circular."""
        stages = [configuration]
        while (previous := stages[-1].previous_stage) is not None:
            matches = [entry for entry in self.configurations if entry.name == previous]
            if not matches or matches[0] in stages:
                known = [entry.name for entry in self.configurations if entry not in stages]
                msg = (
                    f"{stages[-1].name}: the previous_stage {previous!r} is "
                    f"{'a later stage (circular cascade)' if matches else 'not in the plan'}; "
                    f"expected one of {known}, or null for none."
                )
                raise ValueError(msg)
            stages.append(matches[0])
        names_2d = [stage.name for stage in stages if stage.topology.num_axes != 3]
        if len(stages) > 1 and names_2d:
            msg = (
                f"{configuration.name}: all stages of a cascade must be 3-D; of its stages "
                f"{[stage.name for stage in stages]}, {names_2d} have 2-D patches."
            )
            raise ValueError(msg)

    def _check_shared_data(self) -> None:
        first: dict[str, Configuration] = {}
        for configuration in self.configurations:
            other = first.setdefault(configuration.data_name, configuration)
            for field in ("spacing", "normalizers", "resampling"):
                if getattr(configuration, field) != getattr(other, field):
                    msg = (
                        f"{other.name} and {configuration.name} share the prepared data "
                        f"{other.data_name!r}, but differ in {field}. Make them equal, or give one "
                        "of them its own data_name."
                    )
                    raise ValueError(msg)

    def _check_configuration(self, configuration: Configuration) -> None:
        architecture = configuration.architecture
        cascade_input = self.num_cascade_channels(configuration)
        expected_channels = len(self.channel_names) + cascade_input
        if architecture.in_channels != expected_channels:
            stage = f" and the cascade input has {cascade_input}" if cascade_input else ""
            msg = (
                f"{configuration.name}: in_channels is {architecture.in_channels}, but the "
                f"dataset has {len(self.channel_names)} channels {list(self.channel_names)}"
                f"{stage}; expected {expected_channels}."
            )
            raise ValueError(msg)
        if architecture.num_classes != self.labels.num_outputs:
            regions = [region.name for region in self.labels.regions]
            expected = f"regions {regions}" if regions else f"classes {list(self.labels.names)}"
            msg = (
                f"{configuration.name}: num_classes is {architecture.num_classes}, but the "
                f"dataset has {self.labels.num_outputs} {expected}."
            )
            raise ValueError(msg)

    def differing_field(self, other: "Plan") -> str | None:
        """Return a field of inputs or classes that differs in another plan; None if all agree."""
        fields = ("channel_names", "labels", "axis_order", "orientation")
        return next((name for name in fields if getattr(self, name) != getattr(other, name)), None)

    def is_compatible_with(self, other: "Plan", configuration: Configuration) -> bool:
        """Return True if networks of both plans have the same inputs and classes.

        Args:
            other: The other plan.
            configuration: Configuration of the networks, which both plans must have.
        """
        return self.differing_field(other) is None and all(
            configuration in plan.configurations for plan in (self, other)
        )

    @property
    def unit(self) -> LengthUnit:
        """Unit of spacings: px for 2-D images without a physical size."""
        edges = (edge for entry in self.configurations for edge in entry.spacing)
        return length_unit(self.num_axes, edges, self.length_unit)

    def training_seconds(self, configuration: Configuration) -> float | None:
        """Return the planned duration of a training; None for the number of steps of nnU-Net."""
        if self.budget is None or configuration.name not in self.budget.configurations:
            return None
        return self.budget.seconds

    def num_cascade_channels(self, configuration: Configuration) -> int:
        """Return the number of channels of the cascade input.

        One per foreground class, even if regions are predicted; 0 without a previous stage.
        """
        return 0 if configuration.previous_stage is None else self.labels.num_classes - 1

    @override
    def configuration(self, name: str | None) -> Configuration:
        """Return a configuration by its name, or the default one for None.

        Raises:
            PlanError: If the plan has no such configuration.
        """
        return find_configuration(self.configurations, name or self.default_configuration)
