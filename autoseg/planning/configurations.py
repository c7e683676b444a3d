"""Size one configuration: its patch, network, batch and loss, each with its reason."""

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
"""What to minimise if nothing else is asked for."""

PlannedValues = dict[str, PlannedValue[object]]
"""The reason of every value, by field of the configuration."""


@dataclass(frozen=True)
class ConfigurationDraft:
    """A configuration with the reasons of its values.

    Attributes:
        configuration: The values.
        grid: The voxels its patches are cut from.
        choices: The reasons.
        forecasts: What it is predicted to reach in a time, as text, by field.
    """

    configuration: Configuration
    grid: Grid
    choices: PlannedValues
    forecasts: Mapping[str, PlannedValue[str]] = field(default_factory=dict)

    def decisions(self, machine: Machine, unit: LengthUnit) -> list[Decision]:
        """Return one entry per value, and one for the predicted time on this machine.

        Args:
            machine: What training will run on.
            unit: What spacings are in.
        """
        name = self.configuration.name
        values = configuration_values(self.configuration, unit)
        found = [
            self.choices[field].decision(f"{name}.{field}", text) for field, text in values.items()
        ]
        time = predicted_time(self.configuration, machine)
        found.append(time.decision(f"{name}.predicted_time", time.value))
        found += [
            forecast.decision(f"{name}.{field}", forecast.value)
            for field, forecast in self.forecasts.items()
        ]
        return found


def reference_2d(
    traits: DatasetTraits, budget: MemoryBudget, loss: type[Loss]
) -> ConfigurationDraft:
    """Return the 2-D configuration of the reference method, on the two finest axes."""
    plane = plane_resolution(traits)
    sized = Sized("2d", plane, budget, largest_network(budget, plane.grid))
    pool = rules.dice_pool(is_2d=True, has_lowres=False)
    return _reference(traits, sized, loss, pool)


def references_3d(
    traits: DatasetTraits, budget: MemoryBudget, loss: type[Loss]
) -> list[ConfigurationDraft]:
    """Return the 3-D configurations of the reference method.

    The one at full resolution comes first; where cases are much larger than its patches, one at
    low resolution follows, and the cascade that refines its prediction at full resolution.
    """
    full = full_resolution(traits)
    fullres = Sized("3d_fullres", full, budget, largest_network(budget, full.grid))
    low = low_resolution(fullres.architecture, budget, full)
    pool = rules.dice_pool(is_2d=False, has_lowres=low is not None)
    drafts = [_reference(traits, fullres, loss, pool)]
    if low is not None:
        lowres = Sized("3d_lowres", low.resolution, budget, low.architecture)
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
    """Return a configuration of the reference method at voxels coarser by a factor.

    Args:
        traits: What all configurations share.
        budget: The memory.
        loss: What to minimise.
        parent: The configuration at full resolution, `2d` or `3d_fullres`.
        factor: By how much the voxels of the finest axes are larger.
    """
    is_2d = parent.configuration.topology.num_axes == 2
    full = plane_resolution(traits) if is_2d else full_resolution(traits)
    low = coarser(full, factor)
    name = f"{parent.configuration.name}_x{factor:g}"
    pool = rules.dice_pool(is_2d=is_2d, has_lowres=False)
    network = largest_network(budget, low.grid)
    return _reference(traits, Sized(name, low, budget, network), loss, pool)


@dataclass(frozen=True)
class Sized:
    """A network that fits the memory, with what it was sized for.

    Attributes:
        name: Of the configuration.
        resolution: The voxels its patches are cut from.
        budget: The memory.
        architecture: The network.
    """

    name: str
    resolution: Resolution
    budget: MemoryBudget
    architecture: Architecture


def _reference(
    traits: DatasetTraits, sized: Sized, loss: type[Loss], pool: PlannedValue[str]
) -> ConfigurationDraft:
    """Return the configuration that consists of these parts, with their reasons."""
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
            "recipe": PlannedValue(None, "make_plan", "the reference training"),
            "mirroring": traits.mirror_axes,
            "predicted_memory": memory,
        },
    )


def _loss_choice(loss: type[Loss]) -> PlannedValue[object]:
    is_default = loss.model_fields["kind"].default == DEFAULT_LOSS
    reason = "the default: Dice plus cross-entropy" if is_default else "asked for"
    return PlannedValue(None, "make_plan", reason)


def _cascade(
    traits: DatasetTraits, fullres: ConfigurationDraft, lowres: ConfigurationDraft
) -> ConfigurationDraft:
    """Return the full resolution once more, with the low resolution's prediction as further input.

    Only what the additional channels change differs; the prepared data are shared.
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
        f"{full.name} sees small parts of a case in detail, {low.name} large parts coarsely: so "
        f"the prediction of {low.name} joins the image, one channel per foreground class; all "
        f"other values are those of {full.name}"
    )
    choices = {
        **fullres.choices,
        "previous_stage": PlannedValue(low.name, "references_3d", reason),
        "predicted_memory": memory,
    }
    return ConfigurationDraft(configuration=configuration, grid=fullres.grid, choices=choices)


def _recipe(traits: DatasetTraits, grid: Grid) -> Recipe:
    """Return the reference recipe, mirroring only where the traits allows it."""
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
        f"{'as measured here' if machine.measured else 'training measures it anew'}"
    )
    return PlannedValue(duration(hours), "training_hours", reason, OWN)


def planned_loss(
    loss: type[Loss], *, pool: str, class_weights: object, class_frequencies: object
) -> Loss:
    """Return the loss, with the planned settings that it has."""
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
        f"{patches} patches fit {number(budget.memory_gib)} GiB; rounded up to what the strides "
        "divide"
    )
    stages = "axes of 8 or more voxels are halved, the finest first, down to 4 at the least"
    kernels = "an axis 2 or more times coarser than the finest gets 1, the others 3"
    return {
        "patch_shape": PlannedValue(None, "largest_network", patch),
        "depth": PlannedValue(None, "topology_for", stages),
        "strides": PlannedValue(None, "topology_for", stages),
        "kernels": PlannedValue(None, "topology_for", kernels),
        "architecture": _architecture_choice(budget, len(grid.spacing)),
    }


def _architecture_choice(budget: MemoryBudget, num_axes: int) -> PlannedValue[object]:
    """Return why this network, and what its size was scaled from."""
    chosen = budget.chosen or PlannedValue(budget.network.__name__, "make_plan", "asked for", OWN)
    reference = budget.reference(num_axes)
    sizing = "its default width"
    if reference.preset is not None:
        sizing += f", scaled from preset {reference.preset} of {number(reference.memory_gib)} GiB"
        if isfinite(reference.below_gib):
            sizing += f", which serves below {number(reference.below_gib)} GiB"
    return PlannedValue(None, chosen.rule, f"{chosen.reason}; {sizing}", chosen.source)
