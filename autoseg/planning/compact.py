"""Smaller variants of a configuration for short trainings."""

from dataclasses import dataclass
from functools import partial
from math import prod

from autoseg.architectures import Architecture, Topology
from autoseg.architectures.u_shape import BASE_FEATURES, COMPACT_BASE_FEATURES, doubling_features
from autoseg.planning import rules
from autoseg.planning.configurations import ConfigurationDraft, planned_loss
from autoseg.planning.lowres import SMALLEST_COVERAGE
from autoseg.planning.memory import SMALLEST_BATCH, Grid, shrunk
from autoseg.planning.planned_value import PlannedValue, PlannedValues
from autoseg.planning.topology import topology_values

SHORT_REASON = (
    "short trainings need AdamW, a warm-up and heads initialised to the class frequencies: "
    "with the reference recipe, the network predicts only background for a few hundred steps"
)

WIDTHS = (BASE_FEATURES, COMPACT_BASE_FEATURES, 8)
"""Features of the first stage to compare."""

PATCH_VOXELS = tuple(2**exponent for exponent in range(20, 13, -1))
"""Maximum patch voxels to compare, the largest first, in addition to the patch of the reference."""


@dataclass(frozen=True)
class SizePreset:
    """A size of network, patch and batch.

    Attributes:
        features: Features of the first stage, for networks that start at 32. Other networks only
            have their own width and, for values below 32, their compact variant.
        voxels: Maximum voxels of a patch, and of a batch of more than two patches; None for the
            patch and batch of the reference.
    """

    features: int
    voxels: int | None


def resized(parent: ConfigurationDraft, changes: PlannedValues) -> ConfigurationDraft:
    """Return a variant of a configuration for the same prepared data, with another network.

    `changes` are the values that differ, without those that follow from the patch.
    """
    topology = changes["architecture"].value.topology
    changes = {**changes, **topology_values(topology), "loss.pool": _pool(parent, topology)}
    loss = planned_loss(type(parent.configuration.loss), {**parent.choices, **changes})
    return parent.varied(f"{topology.num_axes}d_compact", {**changes, "loss": loss})


def sizes(
    full: Architecture, batch_size: int, grid: Grid
) -> dict[tuple[Architecture, int], SizePreset]:
    """Return all distinct networks and batch sizes, each with the smallest preset that gives it.

    Args:
        full: The reference network, an upper bound of all sizes.
        batch_size: Batch size of the reference, an upper bound as well.
        grid: Voxel grid that patches are cut from.
    """
    presets = {}
    for voxels, topology in _shrunk_topologies(full.topology, grid).items():
        planned = type(full).for_topology(
            topology, in_channels=full.in_channels, num_classes=full.num_classes
        )
        batch = batch_size
        if voxels is not None:
            fitting = max(voxels // prod(topology.patch_shape), SMALLEST_BATCH)
            batch = min(fitting, batch_size)
        for features in WIDTHS:
            presets[narrowed(planned, features), batch] = SizePreset(features, voxels)
    return presets


def narrowed(full: Architecture, features: int) -> Architecture:
    """Return a variant of a network of full width, with fewer features in the first stage.

    The number of features only applies to networks whose widths double from 32.
    """
    if features >= BASE_FEATURES:
        return full
    doubles = getattr(full, "features", None) == doubling_features(BASE_FEATURES, full.topology)
    if features == COMPACT_BASE_FEATURES or not doubles:
        return full.compact()
    return full.model_copy(update={"features": doubling_features(features, full.topology)})


def _shrunk_topologies(full: Topology, grid: Grid) -> dict[int | None, Topology]:
    """Return the topology for each maximum number of patch voxels, the largest first."""
    topologies: dict[int | None, Topology] = {None: full}
    topology = full
    for max_voxels in PATCH_VOXELS:
        fitting = shrunk(topology, grid, fits=partial(_has_at_most, max_voxels))
        assert fitting is not None, "a patch of one voxel is small enough"  # noqa: S101
        topology = topologies[max_voxels] = fitting
    return topologies


def _has_at_most(voxels: int, topology: Topology) -> bool:
    return prod(topology.patch_shape) <= voxels


def _pool(parent: ConfigurationDraft, topology: Topology) -> PlannedValue[str]:
    """Return the Dice pool: the parent's, or that of a smaller patch by its coverage."""
    if topology == parent.configuration.topology:
        return parent.choices["loss.pool"]
    coverage = prod(topology.patch_shape) / prod(parent.grid.median_shape)
    return rules.dice_pool(is_2d=topology.num_axes == 2, has_lowres=coverage < SMALLEST_COVERAGE)
