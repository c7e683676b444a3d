"""Planning heuristics, one pure function each. Every rule returns a value with its reason."""

import numpy as np
from jaxtyping import Float, Int

from autoseg.core.formatting import format_count, format_number, format_shape
from autoseg.core.geometry import LengthUnit
from autoseg.documents.preparation import Resampling
from autoseg.planning.planned_value import OWN, PlannedValue
from autoseg.planning.topology import MINIMUM_EDGE

Spacings = Float[np.ndarray, "cases axes"]
"""Voxel size of every case, mm, canonical axis order."""

Shapes = Int[np.ndarray, "cases axes"]
"""Shape of every case after the nonzero crop, voxels, canonical axis order."""

ANISOTROPY_RATIO = 3.0
"""An axis is coarse if its spacing exceeds the largest other spacing by this factor.

Source: nnU-Net 2.8.1.
"""

COARSE_AXIS_PERCENTILE = 10.0
"""Percentile of spacings used as the target of a coarse axis. Source: nnU-Net 2.8.1."""

SMALLEST_STEP_MM = 1e-5
"""Minimum difference between the coarse axis and the others, so that it remains the coarsest."""

INITIAL_PATCH_VOXELS = {2: 2048.0**2, 3: 256.0**3}
"""Voxels of the initial patch, by number of axes. Source: nnU-Net 2.8.1."""

FEWEST_SLICES = 2 * MINIMUM_EDGE
"""Minimum number of slices with which a 3-D network can halve the slice axis once."""

LARGE_ACCELERATOR_GIB = 20.0
"""Minimum memory to train the residual encoder at the size that its authors recommend, preset L for
24 GB; a GPU sold with 24 GB reports 22 to 24 GiB."""

SPLINES = {0: "nearest", 1: "linear", 3: "cubic"}
"""Name of each spline order."""

RESIDUAL_ENCODERS = "Isensee et al., MICCAI 2024, arXiv:2404.09556, as in nnU-Net's documentation"


def target_spacing(
    spacings: Spacings, shapes: Shapes, unit: LengthUnit = "mm"
) -> PlannedValue[tuple[float, ...]]:
    """Return the voxel size that every case is resampled to, canonical axis order.

    The target is the median of each axis. In a volume, an axis that is both coarse and short takes
    a low percentile instead, so that thin slices are not blurred into thick ones.

    Args:
        spacings: Voxel size of every case, canonical axis order.
        shapes: Shape of every case after the nonzero crop, voxels, canonical axis order.
        unit: Unit of voxel sizes, for the reason.
    """
    target = np.median(spacings, axis=0)
    reason = f"median of {format_count(len(spacings), 'case')}"
    if target.size == 3:
        size = np.median(shapes, axis=0)
        coarse = int(np.argmax(target))
        finer = float(np.delete(target, coarse).max())
        is_short = size[coarse] * ANISOTROPY_RATIO < np.delete(size, coarse).min()
        if target[coarse] > ANISOTROPY_RATIO * finer and is_short:
            median = target[coarse]
            low = float(np.percentile(spacings[:, coarse], COARSE_AXIS_PERCENTILE))
            target[coarse] = low if low >= finer else finer + SMALLEST_STEP_MM
            reason += (
                f", but axis {coarse} (median {format_number(median)} {unit}, "
                f"{format_number(size[coarse])} voxels) is over {ANISOTROPY_RATIO:g} times coarser "
                f"and shorter than the others, so it takes the {COARSE_AXIS_PERCENTILE:g}th "
                "percentile"
            )
    return PlannedValue(tuple(target.tolist()), "target_spacing", reason)


def axis_order(
    spacing: tuple[float, ...], unit: LengthUnit = "mm"
) -> PlannedValue[tuple[int, ...]]:
    """Return the canonical axis of each planned axis: the coarsest axis comes first.

    A 2-D network works on the last two axes, the planes of highest resolution.
    """
    axes = tuple(range(len(spacing)))
    if len(axes) == 2:
        return PlannedValue(axes, "axis_order", "2-D images keep their axes")
    coarsest = int(np.argmax(spacing))
    order = (coarsest, *(axis for axis in axes if axis != coarsest))
    sizes = format_shape(spacing)
    reason = f"axis {coarsest} is the coarsest of {sizes} {unit} (the first one in a tie)"
    return PlannedValue(order, "axis_order", reason)


def median_shape(
    spacings: Spacings, shapes: Shapes, spacing: tuple[float, ...], order: tuple[int, ...]
) -> PlannedValue[tuple[float, ...]]:
    """Return the median shape of the cases after resampling, voxels, planned axis order.

    Half voxels are possible, as the mean of the two middle cases.

    Args:
        spacings: Voxel size of every case, mm, canonical axis order.
        shapes: Shape of every case after the nonzero crop, voxels, canonical axis order.
        spacing: Target spacing, mm, canonical axis order.
        order: Canonical axis of each planned axis.
    """
    resampled = np.rint(spacings / np.asarray(spacing) * shapes)
    median = np.median(resampled, axis=0)[list(order)]
    smallest, largest = (
        format_shape(edge(resampled, axis=0)[list(order)]) for edge in (np.min, np.max)
    )
    is_same = smallest == largest
    sizes = "all have this size" if is_same else f"they range from {smallest} to {largest} voxels"
    reason = f"median of {format_count(len(shapes), 'case')} after resampling; {sizes}"
    return PlannedValue(tuple(median.tolist()), "median_shape", reason)


def initial_patch(spacing: tuple[float, ...], median: tuple[float, ...]) -> tuple[float, ...]:
    """Return the initial patch: physically a cube, no larger than the median case."""
    inverse = 1 / np.asarray(spacing)
    volume = INITIAL_PATCH_VOXELS[len(spacing)]
    cube = inverse * (volume / np.prod(inverse)) ** (1 / len(spacing))
    return tuple(
        min(float(round(edge)), size) for edge, size in zip(cube.tolist(), median, strict=True)
    )


def default_configuration(
    spacing: tuple[float, ...], patch_shape: tuple[int, ...] | None
) -> PlannedValue[str]:
    """Return the configuration to train by default, `2d` or `3d_fullres`.

    Args:
        spacing: Target spacing, planned axis order (the coarsest axis comes first).
        patch_shape: Patch shape of `3d_fullres`; None if the plan has no such configuration.
    """
    rule = "default_configuration"
    if patch_shape is None:
        return PlannedValue("2d", rule, "the images are single planes", OWN)
    ratio = spacing[0] / max(spacing[1:])
    times = "" if format_number(ratio) == "1" else f"{format_number(ratio)} times "
    slices = f"{format_count(patch_shape[0], 'slice')} per patch, {times}as far apart as pixels"
    few = f"under {FEWEST_SLICES} slices over {ANISOTROPY_RATIO:g} times as far apart as pixels"
    if ratio > ANISOTROPY_RATIO and patch_shape[0] < FEWEST_SLICES:
        reason = f"{slices}: with {few}, a 3-D network has hardly any context across slices"
        return PlannedValue("2d", rule, reason, OWN)
    return PlannedValue("3d_fullres", rule, f"{slices}: 2-D is only better with {few}", OWN)


def default_network(memory_gib: float, accelerator_gib: float | None) -> PlannedValue[str]:
    """Return the kind of network to plan by default.

    Args:
        memory_gib: Accelerator memory that one training step may use.
        accelerator_gib: Memory of the machine's accelerator; None without one.
    """
    rule, source = "default_network", RESIDUAL_ENCODERS
    if accelerator_gib is None:
        reason = "the default without an accelerator: the faster network"
        return PlannedValue("unet", rule, reason, source)
    memory = min(memory_gib, accelerator_gib)
    reason = f"the default for {format_number(memory)} GiB"
    if memory < LARGE_ACCELERATOR_GIB:
        reason += (
            f": below {LARGE_ACCELERATOR_GIB:g} GiB, the residual encoder gains only 0.4 points of "
            "Dice on average and takes a third longer"
        )
        return PlannedValue("unet", rule, reason, source)
    reason += (
        f": from {LARGE_ACCELERATOR_GIB:g} GiB on, the residual encoder was more accurate on 5 of "
        "6 datasets, by 0.8 points of Dice on average"
    )
    return PlannedValue("residual_encoder_unet", rule, reason, source)


def dice_pool(*, is_2d: bool, has_lowres: bool) -> PlannedValue[str]:
    """Return the pool over which the Dice loss sums its counts: "batch" or "sample".

    Args:
        is_2d: Whether patches are 2-D.
        has_lowres: Whether cases are so much larger than a patch that a low resolution is planned.
    """
    if is_2d:
        reason = "2-D patches often contain no foreground, but the whole batch does"
    elif has_lowres:
        reason = "cases are so much larger than a patch that many patches contain no foreground"
    else:
        reason = "a patch covers a large part of a case, so each patch contains foreground"
    return PlannedValue("batch" if is_2d or has_lowres else "sample", "dice_pool", reason)


def resampling() -> PlannedValue[Resampling]:
    """Return the interpolation orders of resampling, the same for every dataset."""
    orders = Resampling()
    reason = (
        f"{SPLINES[orders.image_order]} for images, {SPLINES[orders.label_order]} for labels, "
        f"{SPLINES[orders.separate_axis_order]} along an axis that is over "
        f"{orders.anisotropy_threshold:g} times coarser"
    )
    return PlannedValue(orders, "resampling", reason)
