"""Fit a network into memory: shrink the patch until a step fits, then raise the batch size."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from autoseg.architectures import Architecture, Topology
from autoseg.architectures.base import MemoryReference
from autoseg.core.errors import PlanError
from autoseg.core.formatting import number, percent
from autoseg.planning.planned_value import PlannedValue
from autoseg.planning.rules import initial_patch
from autoseg.planning.topology import topology_for

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


def largest_network(budget: MemoryBudget, grid: Grid) -> Architecture:
    """Return the network with the largest patch that fits.

    Raises:
        PlanError: If not even the smallest patch fits.
    """
    start = topology_for(grid.spacing, initial_patch(grid.spacing, grid.median_shape))
    topology = shrunk(start, grid, fits=lambda smaller: budget.fits(budget.sized(smaller)))
    if topology is None:
        patches = budget.reference(len(grid.spacing)).smallest_batch
        one_voxel = budget.sized(topology_for(grid.spacing, (1.0,) * len(grid.spacing)))
        msg = (
            f"{number(budget.memory_gib)} GiB are not enough for {budget.num_classes} classes: "
            f"even {patches} patches of one voxel need "
            f"{number(predicted_memory_gib(one_voxel, patches))} GiB. Raise --memory."
        )
        raise PlanError(msg)
    return budget.sized(topology)


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
        f"the smaller of {fitting} patches, which fit {number(budget.memory_gib)} GiB, and "
        f"{share_limit}, which are {percent(reference.largest_share)} of all voxels, but at least "
        f"{SMALLEST_BATCH}"
    )
    return PlannedValue(max(min(fitting, share_limit), SMALLEST_BATCH), "batch_size", reason)


def predicted_memory_gib(architecture: Architecture, patches: int) -> float:
    """Return the predicted accelerator memory of a training step, GiB."""
    reference = nearest_reference(architecture, patches)
    return reference.needed_gib(architecture.activation_count(), patches)


def nearest_reference(architecture: Architecture, patches: int) -> MemoryReference:
    """Return the memory reference to predict the memory of a training step from.

    This is the smallest reference whose prediction stays within its range of memory.
    """
    references = architecture.memory_references[architecture.topology.num_axes]
    count = architecture.activation_count()
    return next(
        reference
        for reference in references
        if reference.needed_gib(count, patches) < reference.below_gib
    )
