"""What `autoseg plan` decided, and why."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from autoseg.architectures import AnyArchitecture, Topology
from autoseg.augmentations.mirroring import Mirroring
from autoseg.core.frozen import Frozen
from autoseg.core.geometry import Orientation
from autoseg.core.labels import LabelScheme
from autoseg.documents.preparation import (
    Resampling,
    check_data,
    check_default,
    check_preparation,
    named,
)
from autoseg.documents.recipe import Recipe
from autoseg.losses import AnyLoss
from autoseg.normalizers import AnyNormalizer


class Decision(Frozen):
    """One planned value and the rule that chose it.

    Attributes:
        field: What was decided, e.g. `3d_fullres.patch_shape`.
        value: The value, as text.
        rule: Name of the function in `autoseg.planning` that chose it.
        reason: One sentence, with the numbers that mattered.
        source: Paper or method that the rule is taken from.
    """

    field: str
    value: str
    rule: str
    reason: str
    source: str


class Configuration(Frozen):
    """One way to segment the dataset: a 2-D or 3-D network with its data.

    Axes are in planned order (`Plan.axis_order`); a 2-D configuration has the last two of them.

    Attributes:
        name: E.g. `3d_fullres`.
        data_name: Folder of prepared cases; configurations with the same data share it.
        spacing: Target voxel size in mm; a 2-D configuration of a 3-D dataset keeps each case's
            own slice distance.
        median_shape: Median case size in voxels at that spacing.
        batch_size: Patches per optimiser step.
        normalizers: One per image channel.
        architecture: The network, already sized; holds the topology.
        loss: What is minimised.
        recipe: How it is trained.
        resampling: Spline orders.
        predicted_memory_gib: Accelerator memory that one training step is predicted to need.
        previous_stage: Name of the configuration whose prediction the network gets beside the
            image, one channel per foreground class; None for images alone.
        blending: How the scores of overlapping tiles are averaged: exactly, or as nnU-Net does it
            in half precision, for models that it trained; these also get labels, brought to their
            grid, and not resampled scores from a previous stage.
    """

    name: str
    data_name: str
    spacing: tuple[PositiveFloat, ...]
    median_shape: tuple[PositiveFloat, ...]
    batch_size: PositiveInt
    normalizers: tuple[AnyNormalizer, ...]
    architecture: AnyArchitecture
    loss: AnyLoss
    recipe: Recipe = Recipe()
    resampling: Resampling = Resampling()
    predicted_memory_gib: PositiveFloat
    previous_stage: str | None = None
    blending: Literal["exact", "nnunet"] = "exact"

    @model_validator(mode="after")
    def _check(self) -> "Configuration":
        check_data(self)
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
                f"{self.architecture.num_classes} classes; each class needs one, background first."
            )
            raise ValueError(msg)
        return self

    def _check_mirroring(self) -> None:
        axes = range(self.topology.num_axes)
        for entry in self.recipe.augmentations:
            if isinstance(entry, Mirroring) and not set(entry.axes or ()) <= set(axes):
                msg = (
                    f"{self.name}: the patch has axes 0 … {axes[-1]}; found mirroring along "
                    f"{list(entry.axes or ())}. Name some of these, [] for no mirroring, or null "
                    "for all."
                )
                raise ValueError(msg)

    @property
    def topology(self) -> Topology:
        """Patch, strides and kernels."""
        return self.architecture.topology

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """The patch axes that training mirrors, so that prediction averages over their flips."""
        entries = [part for part in self.recipe.augmentations if isinstance(part, Mirroring)]
        axes = {axis for part in entries for axis in part.allowed_axes(self.topology.num_axes)}
        return tuple(sorted(axes))


class TrainingBudget(Frozen):
    """How long a plan's trainings were meant to take.

    Attributes:
        seconds: Of one training.
        configurations: Names of those that were sized to it; they train so long unless another
            length is asked for.
    """

    seconds: PositiveFloat
    configurations: tuple[str, ...]


class Plan(Frozen):
    """A complete, editable description of how a dataset is prepared, trained on and predicted.

    Attributes:
        dataset_name: Name of the dataset.
        num_axes: 2 or 3: axes of the images.
        channel_names: One per image channel.
        labels: The classes.
        axis_order: For each planned axis, the canonical image axis it is; coarsest spacing first.
        orientation: How images are turned before that; only imported models have another one than
            the canonical.
        default_configuration: What `train` and `predict` take when none is named.
        configurations: All that can be trained.
        decisions: Why each of the above has its value.
        budget: The time that it was sized to; None for the reference's length.
    """

    schema_version: Literal[1] = 1
    dataset_name: str
    num_axes: Literal[2, 3]
    channel_names: tuple[str, ...]
    labels: LabelScheme
    axis_order: tuple[int, ...]
    orientation: Orientation = "SPL"
    default_configuration: str
    configurations: tuple[Configuration, ...]
    decisions: tuple[Decision, ...]
    budget: TrainingBudget | None = None

    @model_validator(mode="after")
    def _check(self) -> "Plan":
        check_default(self.default_configuration, self.configurations)
        check_preparation(self, self.configurations)
        for configuration in self.configurations:
            self._check_configuration(configuration)
            self._check_stages(configuration)
        self._check_shared_data()
        return self

    def _check_stages(self, configuration: Configuration) -> None:
        """Follow the previous stages, each of them 3-D, to a configuration that has none."""
        stages = [configuration]
        while (previous := stages[-1].previous_stage) is not None:
            named = [entry for entry in self.configurations if entry.name == previous]
            if not named or named[0] in stages:
                known = [entry.name for entry in self.configurations if entry not in stages]
                msg = (
                    f"{stages[-1].name}: the previous_stage {previous!r} is "
                    f"{'a stage that follows it' if named else 'no configuration of the plan'}; "
                    f"expected one of {known}, or null for none."
                )
                raise ValueError(msg)
            stages.append(named[0])
        flat = [stage.name for stage in stages if stage.topology.num_axes != 3]
        if len(stages) > 1 and flat:
            msg = (
                f"{configuration.name}: it and its previous stages "
                f"{[stage.name for stage in stages[1:]]} must be 3-D; {flat} have 2-D patches."
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
                        f"{other.data_name!r}, but their {field} differ. Make them equal, or give "
                        "one of them a data_name of its own."
                    )
                    raise ValueError(msg)

    def _check_configuration(self, configuration: Configuration) -> None:
        architecture = configuration.architecture
        cascade_input = self.num_cascade_channels(configuration)
        if architecture.in_channels != len(self.channel_names) + cascade_input:
            stage = f", and its previous stage gives {cascade_input}" if cascade_input else ""
            msg = (
                f"{configuration.name}: in_channels is {architecture.in_channels}, but the "
                f"dataset has {len(self.channel_names)} channels {list(self.channel_names)}"
                f"{stage}; expected "
                f"{len(self.channel_names) + cascade_input}."
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

    def agrees_with(self, other: "Plan", configuration: Configuration) -> bool:
        """Return whether networks of both see the same data and mean the same classes.

        Args:
            other: The other plan.
            configuration: What the networks are, which both plans must have.
        """
        same = all(
            getattr(self, field) == getattr(other, field)
            for field in ("labels", "channel_names", "axis_order", "orientation")
        )
        return same and all(configuration in plan.configurations for plan in (self, other))

    def training_seconds(self, configuration: Configuration) -> float | None:
        """Return how long a training was planned to take; None for the reference's length."""
        if self.budget is None or configuration.name not in self.budget.configurations:
            return None
        return self.budget.seconds

    def num_cascade_channels(self, configuration: Configuration) -> int:
        """Return how many channels the previous stage's prediction gives to a network.

        One per foreground class, also where regions are predicted; 0 without a previous stage.
        """
        return 0 if configuration.previous_stage is None else self.labels.num_classes - 1

    def configuration(self, name: str | None) -> Configuration:
        """Return the configuration called `name`, or the default one for None.

        Raises:
            PlanError: If the plan has none of that name.
        """
        return named(self.configurations, name or self.default_configuration)
