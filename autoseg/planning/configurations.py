"""Plan one configuration: its patch, network, batch and loss, each with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

from autoseg.architectures import Architecture, Topology
from autoseg.augmentations.mirroring import Mirroring
from autoseg.core.formatting import duration, number, numbers
from autoseg.core.geometry import LengthUnit
from autoseg.documents.plan import Configuration, Decision
from autoseg.documents.recipe import (
    CASCADE_INPUT_AUGMENTATIONS,
    REFERENCE_AUGMENTATIONS,
    Recipe,
)
from autoseg.losses import Loss
from autoseg.planning import rules
from autoseg.planning.dataset_traits import DatasetTraits
from autoseg.planning.forecast import REFERENCE_STEPS, Machine, training_hours
from autoseg.planning.lowres import low_resolution
from autoseg.planning.memory import (
    Grid,
    MemoryBudget,
    batch_size,
    largest_network,
)
from autoseg.planning.planned_value import OWN, PlannedValue
from autoseg.planning.resolution import Resolution, coarser, full_resolution, plane_resolution
from autoseg.planning.step_memory import predicted_memory
from autoseg.planning.topology import topology_for
from autoseg.planning.values import PLANNED_LOSS_FIELDS, configuration_values
from autoseg.planning.weights import equal_weights

DEFAULT_LOSS = "dice_ce"
"""Loss that is used by default."""

PlannedValues = dict[str, PlannedValue[object]]
"""Planned values with their reasons, by field of the configuration."""


@dataclass(frozen=True)
class ConfigurationDraft:
    """A configuration with the reasons of its values.

    Attributes:
        configuration: The configuration.
        grid: Voxel grid that its patches are cut from.
        choices: The reasons, by field.
        forecasts: Predictions for the time budget as text, by field.
    """

    configuration: Configuration
    grid: Grid
    choices: PlannedValues
    forecasts: Mapping[str, PlannedValue[str]] = field(default_factory=dict)

    def decisions(self, machine: Machine, unit: LengthUnit) -> list[Decision]:
        """Return one decision per value, followed by the predicted time and the forecasts.

        Args:
            machine: The machine to train on.
            unit: Unit of spacings.
        """
        name = self.configuration.name
        values = configuration_values(self.configuration, unit)
        decisions = [
            self.choices[field].decision(f"{name}.{field}", text) for field, text in values.items()
        ]
        time = predicted_time(self.configuration, machine)
        decisions.append(time.decision(f"{name}.predicted_time", time.value))
        decisions += [
            forecast.decision(f"{name}.{field}", forecast.value)
            for field, forecast in self.forecasts.items()
        ]
        return decisions


def reference_2d(
    traits: DatasetTraits, budget: MemoryBudget, loss: type[Loss]
) -> ConfigurationDraft:
    """Return the 2-D configuration of the reference method, on the two finest axes.

    Args:
        traits: Traits of the dataset.
        budget: Memory budget.
        loss: Loss to minimise.
    """
    plane = plane_resolution(traits)
    sized = SizedNetwork("2d", plane, budget, largest_network(budget, plane.grid))
    pool = rules.dice_pool(is_2d=True, has_lowres=False)
    return _reference(traits, sized, loss, pool)


def references_3d(
    traits: DatasetTraits, budget: MemoryBudget, loss: type[Loss]
) -> list[ConfigurationDraft]:
    """Return the 3-D configurations of the reference method.

    The full resolution comes first. If cases are much larger than its patches, the low resolution
    follows, then the cascade that refines the low-resolution prediction at full resolution.

    Args:
        traits: Traits of the dataset.
        budget: Memory budget.
        loss: Loss to minimise.
    """
    full = full_resolution(traits)
    fullres = SizedNetwork("3d_fullres", full, budget, largest_network(budget, full.grid))
    low = low_resolution(fullres.architecture, budget, full)
    pool = rules.dice_pool(is_2d=False, has_lowres=low is not None)
    drafts = [_reference(traits, fullres, loss, pool)]
    if low is not None:
        lowres = SizedNetwork("3d_lowres", low.resolution, budget, low.architecture)
        pool = rules.dice_pool(is_2d=False, has_lowres=False)
        drafts.append(_reference(traits, lowres, loss, pool))
        drafts.append(_cascade(traits, *drafts))
    return drafts


def coarse_variant(
    traits: DatasetTraits,
    budget: MemoryBudget,
    loss: type[Loss],
    parent: ConfigurationDraft,
    factor: float,
) -> ConfigurationDraft:
    """Return a configuration of the reference method with coarser voxels.

    Args:
        traits: Traits of the dataset.
        budget: Memory budget.
        loss: Loss to minimise.
        parent: The configuration at full resolution, `2d` or `3d_fullres`.
        factor: Factor by which the spacing of the finest axes grows, at least 1.
    """
    is_2d = parent.configuration.topology.num_axes == 2
    full = plane_resolution(traits) if is_2d else full_resolution(traits)
    low = coarser(full, factor)
    name = f"{parent.configuration.name}_x{factor:g}"
    pool = rules.dice_pool(is_2d=is_2d, has_lowres=False)
    network = largest_network(budget, low.grid)
    return _reference(traits, SizedNetwork(name, low, budget, network), loss, pool)


@dataclass(frozen=True)
class SizedNetwork:
    """A network that fits into memory, with the resolution and budget that it was sized for.

    Attributes:
        name: Name of the configuration.
        resolution: Resolution that patches are cut from.
        budget: Memory budget.
        architecture: The network.
    """

    name: str
    resolution: Resolution
    budget: MemoryBudget
    architecture: Architecture


def _reference(
    traits: DatasetTraits, sized: SizedNetwork, loss: type[Loss], pool: PlannedValue[str]
) -> ConfigurationDraft:
    """Build a reference configuration with the reasons of its values."""
    architecture, budget, grid = sized.architecture, sized.budget, sized.resolution.grid
    batch = batch_size(architecture, budget, sized.resolution.dataset_voxels)
    resampling = rules.resampling()
    recipe = _recipe(traits, grid)
    memory = predicted_memory(architecture, batch.value, recipe)
    weights = traits.class_weights if loss.needs_class_weights else equal_weights()
    return ConfigurationDraft(
        configuration=Configuration(
            name=sized.name,
            data_name=sized.name,
            spacing=grid.spacing,
            median_shape=grid.median_shape,
            batch_size=batch.value,
            normalizers=tuple(choice.value for choice in traits.normalizers),
            architecture=architecture,
            loss=planned_loss(
                loss,
                pool=pool.value,
                class_weights=weights.value,
                class_frequencies=traits.class_frequencies.value,
            ),
            recipe=recipe,
            resampling=resampling.value,
            predicted_memory_gib=memory.value,
        ),
        grid=grid,
        choices={
            "spacing": sized.resolution.spacing,
            "median_shape": sized.resolution.median_shape,
            **{f"normalizers.{at}": choice for at, choice in enumerate(traits.normalizers)},
            "resampling": resampling,
            **_network_choices(grid, budget, architecture.topology),
            "batch_size": batch,
            "loss": _loss_choice(loss),
            "loss.pool": pool,
            "loss.class_weights": weights,
            "loss.class_frequencies": traits.class_frequencies,
            "recipe": PlannedValue(None, "make_plan", "the reference recipe"),
            "mirroring": traits.mirror_axes,
            "predicted_memory": memory,
        },
    )


def _loss_choice(loss: type[Loss]) -> PlannedValue[object]:
    is_default = loss.model_fields["kind"].default == DEFAULT_LOSS
    reason = "the default: Dice plus cross-entropy" if is_default else "requested"
    return PlannedValue(None, "make_plan", reason)


def _cascade(
    traits: DatasetTraits, fullres: ConfigurationDraft, lowres: ConfigurationDraft
) -> ConfigurationDraft:
    """Return the full resolution with the low-resolution prediction as additional input.

    Apart from the effect of the additional channels, it equals the full resolution and shares its
    prepared data.
    """
    full, low = fullres.configuration, lowres.configuration
    channels = len(full.normalizers) + traits.fingerprint.labels.num_classes - 1
    architecture = full.architecture.model_copy(update={"in_channels": channels})
    recipe = full.recipe.model_copy(
        update={"augmentations": (*full.recipe.augmentations, *CASCADE_INPUT_AUGMENTATIONS)}
    )
    memory = predicted_memory(architecture, full.batch_size, recipe)
    configuration = full.model_copy(
        update={
            "name": "3d_cascade_fullres",
            "previous_stage": low.name,
            "architecture": architecture,
            "recipe": recipe,
            "predicted_memory_gib": memory.value,
        }
    )
    reason = (
        f"{full.name} sees small parts of a case in detail, {low.name} large parts coarsely, so "
        f"the prediction of {low.name} is added to the image, one channel per foreground class; "
        f"all other values equal {full.name}"
    )
    choices = {
        **fullres.choices,
        "previous_stage": PlannedValue(low.name, "references_3d", reason),
        "predicted_memory": memory,
    }
    return ConfigurationDraft(configuration=configuration, grid=fullres.grid, choices=choices)


def _recipe(traits: DatasetTraits, grid: Grid) -> Recipe:
    """Return the reference recipe, mirroring only along the axes that the traits allow."""
    axes = traits.mirrored_patch_axes(len(grid.spacing))
    return Recipe(
        augmentations=tuple(
            entry.model_copy(update={"axes": axes}) if isinstance(entry, Mirroring) else entry
            for entry in REFERENCE_AUGMENTATIONS
        )
    )


def predicted_time(configuration: Configuration, machine: Machine) -> PlannedValue[str]:
    """Return the predicted time of a full training, as text."""
    hours = training_hours(configuration.architecture, configuration.batch_size, machine)
    where = (
        f"{machine.cores} CPU cores"
        if machine.accelerator_gib is None
        else f"an accelerator of {number(machine.accelerator_gib)} GiB"
    )
    reason = (
        f"{REFERENCE_STEPS} steps of {3600 * hours / REFERENCE_STEPS:.2g} seconds on {where}; "
        f"{'measured on this machine' if machine.measured else 'measured again before training'}"
    )
    return PlannedValue(duration(hours), "training_hours", reason, OWN)


def planned_loss(
    loss: type[Loss], *, pool: str, class_weights: object, class_frequencies: object
) -> Loss:
    """Build the loss with the planned settings that it supports.

    Args:
        loss: Class of the loss.
        pool: Dice pool, "batch" or "sample".
        class_weights: Weight per class, or None.
        class_frequencies: Share of each class among all annotated voxels, or None.
    """
    planned = {
        "pool": pool,
        "class_weights": class_weights,
        "class_frequencies": class_frequencies,
    }
    return loss.model_validate(
        {field: planned[field] for field in PLANNED_LOSS_FIELDS if field in loss.model_fields}
    )


def _network_choices(grid: Grid, budget: MemoryBudget, chosen: Topology) -> PlannedValues:
    start = rules.initial_patch(grid.spacing, grid.median_shape)
    patches = budget.reference(len(grid.spacing)).smallest_batch
    is_shrunk = topology_for(grid.spacing, start).patch_shape != chosen.patch_shape
    patch = (
        f"starts at {numbers(start)} voxels{' and shrinks until' if is_shrunk else ', of which'} "
        f"{patches} patches fit {number(budget.memory_gib)} GiB; rounded up to a multiple of the "
        "strides"
    )
    stages = "axes of at least 8 voxels are halved, the finest first, down to at least 4 voxels"
    kernels = "1 along axes at least 2 times coarser than the finest, 3 along the others"
    return {
        "patch_shape": PlannedValue(None, "largest_network", patch),
        "depth": PlannedValue(None, "topology_for", stages),
        "strides": PlannedValue(None, "topology_for", stages),
        "kernels": PlannedValue(None, "topology_for", kernels),
        "architecture": _architecture_choice(budget, len(grid.spacing)),
    }


def _architecture_choice(budget: MemoryBudget, num_axes: int) -> PlannedValue[object]:
    """Return the reason of the network and of its size."""
    chosen = budget.chosen or PlannedValue(budget.network.__name__, "make_plan", "requested", OWN)
    reference = budget.reference(num_axes)
    sizing = "its default width"
    if reference.preset is not None:
        sizing += f", scaled from preset {reference.preset} of {number(reference.memory_gib)} GiB"
        if isfinite(reference.below_gib):
            sizing += f", used below {number(reference.below_gib)} GiB"
    return PlannedValue(None, chosen.rule, f"{chosen.reason}; {sizing}", chosen.source)
