"""Derive strides and kernels of a network from spacing and patch shape."""

from math import ceil, prod

from autoseg.architectures import Topology
from autoseg.planning.planned_value import PlannedValue, PlannedValues

MINIMUM_EDGE = 4
"""Minimum voxels of an axis in the lowest stage. Source: nnU-Net 2.8.1."""

LONE_AXIS_EDGES = 3
"""Minimum length of an axis halved alone, in units of `MINIMUM_EDGE`. Source: nnU-Net 2.8.1."""

SIMILAR_SPACING = 2.0
"""Axes within this factor of the finest spacing are halved together. Source: nnU-Net 2.8.1."""

KERNEL_SIZE = 3
"""Kernel size along axes about as fine as the finest, voxels. Source: nnU-Net 2.8.1."""

Size = tuple[float, ...]


def topology_for(spacing: Size, patch: Size) -> Topology:
    """Return the network topology for a patch, with the patch padded to a multiple of the strides.

    Each stage halves the axes that are long enough and about as fine as the finest such axis. The
    kernel size along an axis is 1 until the axis is about as fine as the others, then 3.

    Args:
        spacing: Target voxel size, mm, planned axis order.
        patch: Requested patch shape, voxels; fractions are allowed.

    Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 2.
    """
    sizes, spacings = list(patch), list(spacing)
    strides, kernels = [(1,) * len(sizes)], []
    kernel = (1,) * len(sizes)
    while halved := axes_to_halve(spacings, sizes):
        kernel = widened_kernel(kernel, spacings)
        kernels.append(kernel)
        strides.append(tuple(2 if axis in halved else 1 for axis in range(len(sizes))))
        for axis in halved:
            spacings[axis] *= 2
            sizes[axis] = float(ceil(sizes[axis] / 2))
    kernels.append((KERNEL_SIZE,) * len(sizes))
    return Topology(
        patch_shape=padded(patch, strides), strides=tuple(strides), kernels=tuple(kernels)
    )


def topology_values(topology: Topology) -> PlannedValues:
    """Return depth, strides and kernels of a topology, with the reasons of `topology_for`."""
    halving = (
        f"axes of at least {2 * MINIMUM_EDGE} voxels are halved, the finest first, down to at "
        f"least {MINIMUM_EDGE} voxels"
    )
    widening = (
        f"1 along axes at least {SIMILAR_SPACING:g} times coarser than the finest, {KERNEL_SIZE} "
        "along the others"
    )
    return {
        "depth": PlannedValue(len(topology.strides), "topology_for", halving),
        "strides": PlannedValue(topology.strides, "topology_for", halving),
        "kernels": PlannedValue(topology.kernels, "topology_for", widening),
    }


def axes_to_halve(spacing: list[float], size: list[float]) -> list[int]:
    """Return the axes that the next stage halves; empty if there is no further stage."""
    long_enough = [axis for axis, edge in enumerate(size) if edge >= 2 * MINIMUM_EDGE]
    if not long_enough:
        return []
    finest = min(spacing[axis] for axis in long_enough)
    similar = [axis for axis in long_enough if spacing[axis] / finest < SIMILAR_SPACING]
    if len(similar) == 1 and size[similar[0]] < LONE_AXIS_EDGES * MINIMUM_EDGE:
        return []
    return similar


def widened_kernel(kernel: tuple[int, ...], spacing: list[float]) -> tuple[int, ...]:
    """Return the kernel, widened along axes that are about as fine as the finest."""
    finest = min(spacing)
    return tuple(
        KERNEL_SIZE if mm / finest < SIMILAR_SPACING else size
        for size, mm in zip(kernel, spacing, strict=True)
    )


def padded(patch: Size, strides: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Round each axis of the patch up to a multiple of the product of its strides."""
    factors = map(prod, zip(*strides, strict=True))
    return tuple(ceil(edge / factor) * factor for edge, factor in zip(patch, factors, strict=True))
