"""Plan one configuration: its patch, network, batch and loss, each with its reason."""

from dataclasses import dataclass, replace
from functools import cached_property

from autoseg.architectures import Architecture
from autoseg.core.formatting import format_duration, format_number
from autoseg.core.geometry import LengthUnit
from autoseg.documents.plan import Configuration, Decision
from autoseg.documents.recipe import CASCADE_INPUT_AUGMENTATIONS, Recipe
from autoseg.losses import Loss
from autoseg.planning import rules
from autoseg.planning.augmentation import AugmentationName, augmentations_of
from autoseg.planning.dataset_traits import DatasetTraits
from autoseg.planning.forecast import REFERENCE_STEPS, Machine, training_hours
from autoseg.planning.lowres import low_resolution
from autoseg.planning.memory import Grid, MemoryBudget, batch_size, largest_network, network_values
from autoseg.planning.planned_value import OWN, PlannedValue, PlannedValues
from autoseg.planning.resolution import Resolution, coarser, full_resolution
from autoseg.planning.step_memory import predicted_memory
from autoseg.planning.values import FORECASTS, PLANNED_LOSS_FIELDS, configuration_values
from autoseg.planning.weights import LossWeighting, loss_weights

DEFAULT_LOSS = "dice_ce"
"""Loss that is used by default."""

STANDARD = PlannedValue[AugmentationName]("standard", "augmentation", "the default", OWN)
"""The augmentations of the reference method."""


@dataclass(frozen=True)
class ConfigurationDraft:
    """A configuration as planned values with their reasons.

    Attributes:
        name: Name of the configuration.
        data_name: Name of the configuration whose prepared data it uses.
        choices: The planned values, and the predictions for the time budget as text, by field.
    """

    name: str
    data_name: str
    choices: PlannedValues

    @cached_property
    def configuration(self) -> Configuration:
        """The configuration that consists of the planned values."""
        values = {field: choice.value for field, choice in self.choices.items()}
        return Configuration(
            name=self.name,
            data_name=self.data_name,
            normalizers=tuple(
                value for field, value in values.items() if field.startswith("normalizers.")
            ),
            predicted_memory_gib=self._memory.value,
            **{field: values[field] for field in Configuration.model_fields if field in values},
        )

    @property
    def grid(self) -> Grid:
        """Voxel grid that its patches are cut from."""
        return Grid(self.choices["spacing"].value, self.choices["median_shape"].value)

    @cached_property
    def _memory(self) -> PlannedValue[float]:
        fields = ("architecture", "batch_size", "recipe")
        return predicted_memory(*(self.choices[field].value for field in fields))

    def varied(self, name: str, changes: PlannedValues) -> "ConfigurationDraft":
        """Return a configuration for the same prepared data in which some values differ."""
        return replace(self, name=name, choices={**self.choices, **changes})

    def decisions(self, machine: Machine, unit: LengthUnit) -> list[Decision]:
        """Return one decision per value, followed by the predicted time and other predictions."""
        choices: PlannedValues = {
            **self.choices,
            "predicted_memory": self._memory,
            "predicted_time": predicted_time(self.configuration, machine),
        }
        forecasts = {field: choices[field].value for field in FORECASTS if field in choices}
        texts = configuration_values(self.configuration, unit) | forecasts
        return [
            choices[field].decision(f"{self.name}.{field}", text) for field, text in texts.items()
        ]


@dataclass(frozen=True)
class ReferenceMethod:
    """Plans the configurations of the reference method.

    Attributes:
        traits: Traits of the dataset.
        memory: Memory budget.
        loss: Loss to minimise.
        augmentation: Set of augmentations.
        weighting: Class weights of the loss.
    """

    traits: DatasetTraits
    memory: MemoryBudget
    loss: type[Loss]
    augmentation: PlannedValue[AugmentationName] = STANDARD
    weighting: LossWeighting = "planned"

    @cached_property
    def drafts(self) -> dict[str, ConfigurationDraft]:
        """The configurations by name.

        The 2-D one works on the two finest axes. For volumes, the full resolution follows. If cases
        are much larger than its patches, the low resolution and the cascade, which refines the
        low-resolution prediction at full resolution, follow as well.
        """
        plane = full_resolution(self.traits, 2)
        drafts = [self._draft("2d", plane, largest_network(self.memory, plane.grid))]
        if self.traits.has_volumes and 3 in self.memory.network.memory_references:
            full, measured = full_resolution(self.traits, 3), self.traits.fingerprint
            network = largest_network(self.memory, full.grid)
            low = low_resolution(network, self.memory, full, measured.unit)
            drafts.append(self._draft("3d_fullres", full, network, has_lowres=low is not None))
            if low is not None:
                drafts.append(self._draft("3d_lowres", *low))
                drafts.append(self.cascade(*drafts[-2:]))
        return {draft.name: draft for draft in drafts}

    def coarse_variant(self, parent: ConfigurationDraft, factor: float) -> ConfigurationDraft:
        """Return a variant of `2d` or `3d_fullres` whose finest axes are coarser by a factor."""
        low = coarser(full_resolution(self.traits, parent.configuration.topology.num_axes), factor)
        network = largest_network(self.memory, low.grid)
        return self._draft(f"{parent.name}_x{factor:g}", low, network)

    def cascade(
        self, fullres: ConfigurationDraft, lowres: ConfigurationDraft
    ) -> ConfigurationDraft:
        """Return the full resolution with the low-resolution prediction as additional input.

        Apart from the effect of the additional channels, it equals the full resolution and shares
        its prepared data.
        """
        architecture, recipe = fullres.choices["architecture"], fullres.choices["recipe"]
        num_classes = self.traits.fingerprint.labels.num_classes
        channels = architecture.value.in_channels + num_classes - 1
        added = () if self.augmentation.value == "none" else CASCADE_INPUT_AUGMENTATIONS
        augmentations = (*recipe.value.augmentations, *added)
        reason = (
            f"{fullres.name} sees small parts of a case in detail, {lowres.name} large parts "
            f"coarsely, so the prediction of {lowres.name} is added to the image, one channel per "
            f"foreground class; all other values equal {fullres.name}"
        )
        changes: PlannedValues = {
            "previous_stage": PlannedValue(lowres.name, "cascade", reason),
            "architecture": architecture.with_value(
                architecture.value.model_copy(update={"in_channels": channels})
            ),
            "recipe": recipe.with_value(
                recipe.value.model_copy(update={"augmentations": augmentations})
            ),
        }
        return fullres.varied("3d_cascade_fullres", changes)

    def _draft(
        self,
        name: str,
        resolution: Resolution,
        network: PlannedValue[Architecture],
        *,
        has_lowres: bool = False,
    ) -> ConfigurationDraft:
        """Plan the remaining values for the largest network that fits at a resolution."""
        traits, num_axes = self.traits, network.value.topology.num_axes
        mirroring = traits.mirrored_patch_axes(num_axes)
        if self.augmentation.value == "none":
            mirroring = PlannedValue((), "augmentation", "no augmentation, so no mirroring", OWN)
        measured = traits.fingerprint
        weights = loss_weights(
            measured.class_frequencies,
            self.loss,
            self.weighting,
            has_regions=bool(measured.labels.regions),
        )
        choices: PlannedValues = {
            "spacing": resolution.spacing,
            "median_shape": resolution.median_shape,
            **{f"normalizers.{at}": choice for at, choice in enumerate(traits.normalizers)},
            "resampling": rules.resampling(),
            **network_values(network, self.memory),
            "batch_size": batch_size(network.value, self.memory, resolution.dataset_voxels),
            "loss.pool": rules.dice_pool(is_2d=num_axes == 2, has_lowres=has_lowres),
            "loss.class_weights": weights,
            "loss.class_frequencies": traits.class_frequencies,
            "recipe": reference_recipe(mirroring.value, self.augmentation.value),
            "augmentation": self.augmentation,
            "mirroring": mirroring,
        }
        choices["loss"] = planned_loss(self.loss, choices)
        return ConfigurationDraft(name=name, data_name=name, choices=choices)


def reference_recipe(
    mirror_axes: tuple[int, ...], augmentation: AugmentationName
) -> PlannedValue[Recipe]:
    """Return the reference recipe, mirroring only along some patch axes."""
    recipe = Recipe(augmentations=augmentations_of(augmentation, mirror_axes))
    return PlannedValue(recipe, "reference_recipe", "the reference recipe")


def planned_loss(loss: type[Loss], settings: PlannedValues) -> PlannedValue[Loss]:
    """Return the loss with those of the settings, prefixed with `loss.`, that it supports."""
    is_default = loss.model_fields["kind"].default == DEFAULT_LOSS
    reason = "the default: Dice plus cross-entropy" if is_default else "requested"
    supported = {
        field: settings[f"loss.{field}"].value
        for field in PLANNED_LOSS_FIELDS
        if field in loss.model_fields
    }
    return PlannedValue(loss.model_validate(supported), "planned_loss", reason)


def predicted_time(configuration: Configuration, machine: Machine) -> PlannedValue[str]:
    """Return the predicted time of a full training, as text."""
    hours = training_hours(configuration.architecture, configuration.batch_size, machine)
    where = (
        f"{machine.cores} CPU cores"
        if machine.accelerator_gib is None
        else f"an accelerator of {format_number(machine.accelerator_gib)} GiB"
    )
    reason = (
        f"{REFERENCE_STEPS} steps of {3600 * hours / REFERENCE_STEPS:.2g} seconds on {where}; "
        f"{'measured on this machine' if machine.measured else 'measured again before training'}"
    )
    return PlannedValue(format_duration(3600 * hours), "training_hours", reason, OWN)
