"""Smaller variants of a configuration, for trainings that are short."""

from functools import partial
from math import prod

from autoseg.architectures import Architecture, Topology
from autoseg.documents.recipe import Recipe
from autoseg.planning import rules
from autoseg.planning.configurations import ConfigurationDraft, PlannedValues, planned_loss
from autoseg.planning.lowres import SMALLEST_COVERAGE
from autoseg.planning.memory import SMALLEST_BATCH, Grid, shrunk
from autoseg.planning.planned_value import PlannedValue
from autoseg.planning.size_presets import PATCH_VOXELS, WIDTHS, SizePreset, narrowed
from autoseg.planning.step_memory import predicted_memory

SHORT_REASON = (
    "short trainings need AdamW, a warm-up and heads that start at the class frequencies: "
    "the reference recipe predicts background alone for its first few hundred steps"
)


def resized(
    parent: ConfigurationDraft,
    size: tuple[Architecture, int],
    recipe: Recipe,
    reasons: PlannedValues,
) -> ConfigurationDraft:
    """Return the variant of a configuration with another network and batch.

    Args:
        parent: The configuration of the reference method, whose prepared data it shares.
        size: Network and batch size, one of `sizes`.
        recipe: How to train it; the augmentations are the parent's.
        reasons: Why patch, network, batch and recipe differ from the parent's.
    """
    full = parent.configuration
    architecture, batch = size
    topology = architecture.topology
    trained = recipe.model_copy(update={"augmentations": full.recipe.augmentations})
    memory = predicted_memory(architecture, batch, trained)
    pool = _pool(parent, topology)
    loss = planned_loss(
        type(full.loss),
        pool=pool.value,
        class_weights=getattr(full.loss, "class_weights", None),
        class_frequencies=getattr(full.loss, "class_frequencies", None),
    )
    configuration = full.model_copy(
        update={
            "name": f"{topology.num_axes}d_compact",
            "architecture": architecture,
            "batch_size": batch,
            "loss": loss,
            "recipe": trained,
            "predicted_memory_gib": memory.value,
        }
    )
    choices = {
        **parent.choices,
        **reasons,
        "loss.pool": pool,
        "predicted_memory": memory,
    }
    return ConfigurationDraft(configuration=configuration, grid=parent.grid, choices=choices)


def sizes(
    full: Architecture, batch_size: int, grid: Grid
) -> dict[tuple[Architecture, int], SizePreset]:
    """Return the networks and batch sizes of all presets, each with the smallest that gives it.

    Args:
        full: The network of the reference method; nothing becomes larger.
        batch_size: Its batch.
        grid: The voxels its patches are cut from.
    """
    found = {}
    for voxels, topology in _shrunk_topologies(full.topology, grid).items():
        planned = type(full).for_topology(
            topology, in_channels=full.in_channels, num_classes=full.num_classes
        )
        batch = batch_size
        if voxels is not None:
            fitting = max(voxels // prod(topology.patch_shape), SMALLEST_BATCH)
            batch = min(fitting, batch_size)
        for features in WIDTHS:
            found[narrowed(planned, features), batch] = SizePreset(features, voxels)
    return found


def _shrunk_topologies(full: Topology, grid: Grid) -> dict[int | None, Topology]:
    """Return the topology at each number of voxels that a patch may have, the largest first."""
    found: dict[int | None, Topology] = {None: full}
    topology = full
    for most in sorted(PATCH_VOXELS, reverse=True):
        fitting = shrunk(topology, grid, fits=partial(_has_at_most, most))
        assert fitting is not None, "a patch of one voxel is small enough"  # noqa: S101
        topology = found[most] = fitting
    return found


def _has_at_most(voxels: int, topology: Topology) -> bool:
    return prod(topology.patch_shape) <= voxels


def _pool(parent: ConfigurationDraft, topology: Topology) -> PlannedValue[str]:
    """Return over what Dice is summed: as in the parent, or by what a smaller patch covers."""
    if topology == parent.configuration.topology:
        chosen = parent.choices["loss.pool"]
        return PlannedValue(str(chosen.value), chosen.rule, chosen.reason, chosen.source)
    coverage = prod(topology.patch_shape) / prod(parent.grid.median_shape)
    return rules.dice_pool(is_2d=topology.num_axes == 2, has_lowres=coverage < SMALLEST_COVERAGE)
