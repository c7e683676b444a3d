"""Fit a network into memory: shrink the patch until a step fits, then raise the batch size."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, prod

from autoseg.architectures import Architecture, Topology
from autoseg.architectures.base import MemoryReference
from autoseg.core.errors import PlanError
from autoseg.core.formatting import format_number, format_percent, format_shape
from autoseg.planning.planned_value import OWN, PlannedValue, PlannedValues
from autoseg.planning.rules import initial_patch
from autoseg.planning.topology import topology_for, topology_values

SMALLEST_BATCH = 2
"""Minimum number of patches per step. Source: nnU-Net 2.8.1."""


@dataclass(frozen=True)
class MemoryBudget:
    """The network to size, and the memory that it may use.

    Attributes:
        network: Any registered architecture; only its contract is used.
        in_channels: Number of image channels.
        num_classes: Number of classes, background included.
        memory_gib: Accelerator memory.
        chosen: Reason of the network; None if the user requested it.
    """

    network: type[Architecture]
    in_channels: int
    num_classes: int
    memory_gib: float
    chosen: PlannedValue[str] | None = None

    def sized(self, topology: Topology) -> Architecture:
        """Build the network for a topology."""
        return self.network.for_topology(
            topology, in_channels=self.in_channels, num_classes=self.num_classes
        )

    def reference(self, num_axes: int) -> MemoryReference:
        """Return the memory reference that the network is scaled from."""
        return self.network.memory_reference(num_axes, self.memory_gib)

    def activations(self, num_axes: int) -> float:
        """Return the `activation_count` that fits at the batch size of the reference."""
        reference = self.reference(num_axes)
        return reference.activations * (self.memory_gib / reference.memory_gib)

    def fits(self, architecture: Architecture) -> bool:
        """Return True if the smallest batch of the reference fits."""
        num_axes = architecture.topology.num_axes
        reference = self.reference(num_axes)
        needed = architecture.activation_count() * reference.smallest_batch / reference.batch_size
        return needed <= self.activations(num_axes)


@dataclass(frozen=True)
class Grid:
    """Voxel grid that patches are cut from, planned axis order.

    Attributes:
        spacing: Target voxel size, mm.
        median_shape: Median case shape, voxels.
    """

    spacing: tuple[float, ...]
    median_shape: tuple[float, ...]


def largest_network(budget: MemoryBudget, grid: Grid) -> PlannedValue[Architecture]:
    """Return the network with the largest patch that fits, with the reason of the patch.

    Raises:
        PlanError: If not even the smallest patch fits.
    """
    initial = initial_patch(grid.spacing, grid.median_shape)
    start = topology_for(grid.spacing, initial)
    topology = shrunk(start, grid, fits=lambda smaller: budget.fits(budget.sized(smaller)))
    patches = budget.reference(len(grid.spacing)).smallest_batch
    if topology is None:
        one_voxel = budget.sized(topology_for(grid.spacing, (1.0,) * len(grid.spacing)))
        msg = (
            f"{format_number(budget.memory_gib)} GiB are not enough for {budget.num_classes} "
            f"classes: even {patches} patches of one voxel need "
            f"{format_number(predicted_memory_gib(one_voxel, patches))} GiB. Raise --memory."
        )
        raise PlanError(msg)
    reason = (
        f"starts at {format_shape(initial)} voxels"
        f"{', of which' if topology == start else ' and shrinks until'} {patches} patches fit "
        f"{format_number(budget.memory_gib)} GiB; rounded up to a multiple of the strides"
    )
    return PlannedValue(budget.sized(topology), "largest_network", reason)


def network_values(network: PlannedValue[Architecture], budget: MemoryBudget) -> PlannedValues:
    """Return a network that was sized to a budget, its patch and its stages, with their reasons."""
    topology = network.value.topology
    chosen = budget.chosen or PlannedValue(network.value.kind, "make_plan", "requested", OWN)
    reference = budget.reference(topology.num_axes)
    width = "; its default width"
    if reference.preset is not None:
        memory = format_number(reference.memory_gib)
        width += f", scaled from preset {reference.preset} of {memory} GiB"
        if isfinite(reference.below_gib):
            width += f", used below {format_number(reference.below_gib)} GiB"
    return {
        "patch_shape": network.with_value(topology.patch_shape),
        **topology_values(topology),
        "architecture": chosen.with_value(network.value).extended(width),
    }


def shrunk(topology: Topology, grid: Grid, *, fits: Callable[[Topology], bool]) -> Topology | None:
    """Shrink the patch until its topology fits.

    In each iteration, the axis that covers most of the median case is shortened by the divisor
    that the network of the smaller patch has along it.

    Args:
        topology: Topology to start from.
        grid: Voxel grid that patches are cut from.
        fits: Whether a topology fits.

    Returns:
        The first topology that fits; None if not even a patch of one voxel does.

    Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 2.
    """
    while not fits(topology):
        patch = topology.patch_shape
        axes = [axis for axis, edge in enumerate(patch) if edge > 1]
        if not axes:
            return None
        longest = max(axes, key=lambda axis: (patch[axis] / grid.median_shape[axis], axis))
        trial = _reduced(patch, longest, topology.divisors[longest])
        divisor = topology_for(grid.spacing, trial).divisors[longest]
        topology = topology_for(grid.spacing, _reduced(patch, longest, divisor))
    return topology


def _reduced(patch: tuple[int, ...], axis: int, voxels: int) -> tuple[float, ...]:
    return tuple(float(edge - voxels * (at == axis)) for at, edge in enumerate(patch))


def batch_size(
    architecture: Architecture, budget: MemoryBudget, dataset_voxels: float
) -> PlannedValue[int]:
    """Return the batch size: as much as fits into memory, but not a large share of the dataset.

    Args:
        architecture: The network.
        budget: Memory budget.
        dataset_voxels: Approximate number of voxels of all cases together.
    """
    num_axes = architecture.topology.num_axes
    reference = budget.reference(num_axes)
    count = architecture.activation_count()
    fitting = round(budget.activations(num_axes) / count * reference.batch_size)
    voxels = prod(architecture.topology.patch_shape)
    share_limit = round(dataset_voxels * reference.largest_share / voxels)
    reason = (
        f"the smaller of {fitting} patches, which fit {format_number(budget.memory_gib)} GiB, and "
        f"{share_limit}, which are {format_percent(reference.largest_share)} of all voxels, but at "
        f"least {SMALLEST_BATCH}"
    )
    return PlannedValue(max(min(fitting, share_limit), SMALLEST_BATCH), "batch_size", reason)


def predicted_memory_gib(architecture: Architecture, patches: int) -> float:
    """Return the predicted accelerator memory of a training step, GiB.

    The prediction is that of the smallest memory reference in whose range of memory it is.
    """
    count = architecture.activation_count()
    references = architecture.memory_references[architecture.topology.num_axes]
    needed = ((entry.needed_gib(count, patches), entry.below_gib) for entry in references)
    return next(gib for gib, below_gib in needed if gib < below_gib)
