"""Smaller variants of a configuration, where its own size would make too little progress."""

from math import prod

from autoseg.architectures import Architecture, Topology
from autoseg.documents.recipe import SHORT_RECIPE, Recipe
from autoseg.planning import rules
from autoseg.planning.choice import OWN, Choice
from autoseg.planning.configurations import Choices, Draft, planned_loss
from autoseg.planning.ladder import COMPACT, Rung, narrowed
from autoseg.planning.lowres import SMALLEST_COVERAGE
from autoseg.planning.memory import SMALLEST_BATCH, shrunk
from autoseg.planning.step_memory import predicted_memory

SHORT_REASON = (
    "short trainings need AdamW, a warm-up and heads that start at the class frequencies: "
    "the reference recipe predicts background alone for its first few hundred steps"
)


def compact(parent: Draft) -> Draft:
    """Return the variant of a configuration that makes progress without an accelerator.

    It shares the parent's prepared data; network, patch and batch are smaller.
    """
    short = "without an accelerator a step must stay short"
    name = parent.configuration.name
    is_shrunk = _topology(parent, COMPACT) != parent.configuration.topology
    how = "shrunk to" if is_shrunk else "which has"
    reasons = {
        "patch_shape": f"{short}: the patch of {name}, {how} {COMPACT.voxels} voxels or less",
        "architecture": f"{short}: a narrower network than that of {name}",
        "batch_size": (
            f"{short}: {COMPACT.voxels} voxels or less, but at least {SMALLEST_BATCH} patches"
        ),
        "recipe": SHORT_REASON,
    }
    choices: Choices = {
        field: Choice(None, "compact", because, OWN) for field, because in reasons.items()
    }
    return resized(parent, COMPACT, SHORT_RECIPE, choices)


def resized(parent: Draft, rung: Rung, recipe: Recipe, reasons: Choices) -> Draft:
    """Return the variant of a configuration that has the size of a rung.

    Args:
        parent: The configuration of the reference method, whose prepared data it shares.
        rung: The size; nothing becomes larger than the parent's.
        recipe: How to train it; the augmentations are the parent's.
        reasons: Why patch, network, batch and recipe differ from the parent's.
    """
    full = parent.configuration
    architecture, batch = size_of(parent, rung)
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
    return Draft(configuration=configuration, grid=parent.grid, choices=choices)


def size_of(parent: Draft, rung: Rung) -> tuple[Architecture, int]:
    """Return the network and the batch size that a configuration has on a rung."""
    full = parent.configuration
    topology = _topology(parent, rung)
    planned = type(full.architecture).for_topology(
        topology,
        in_channels=full.architecture.in_channels,
        num_classes=full.architecture.num_classes,
    )
    batch = full.batch_size
    if rung.voxels is not None:
        fitting = max(rung.voxels // prod(topology.patch_shape), SMALLEST_BATCH)
        batch = min(fitting, full.batch_size)
    return narrowed(planned, rung.features), batch


def _pool(parent: Draft, topology: Topology) -> Choice[str]:
    """Return over what Dice is summed: as in the parent, or by what a smaller patch covers."""
    if topology == parent.configuration.topology:
        chosen = parent.choices["loss.pool"]
        return Choice(str(chosen.value), chosen.rule, chosen.because, chosen.source)
    coverage = prod(topology.patch_shape) / prod(parent.grid.median_shape)
    return rules.dice_pool(is_2d=topology.num_axes == 2, has_lowres=coverage < SMALLEST_COVERAGE)


def _topology(parent: Draft, rung: Rung) -> Topology:
    """Return the parent's topology, its patch shrunk to what a rung allows."""
    full, most = parent.configuration.topology, rung.voxels
    if most is None:
        return full
    topology = shrunk(full, parent.grid, fits=lambda smaller: prod(smaller.patch_shape) <= most)
    assert topology is not None, "a patch of one voxel is small enough"  # noqa: S101
    return topology
