"""Resample images and label maps to another spacing.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Resampling".
"""

from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController

from autoseg.core.arrays import LabelArray
from autoseg.documents.preparation import PlannedData
from autoseg.preprocessing.interpolation import (
    ResizedVolume,
    SplineOrder,
    Volume,
    nearest_positions,
    resize_in_slabs,
)
from autoseg.preprocessing.label_interpolation import ResizedLabels, Ties, resize_labels


def resampled_shape(
    shape: tuple[int, ...], spacing: tuple[float, ...], target: tuple[float, ...]
) -> tuple[int, ...]:
    """Compute the shape at the target spacing.

    Args:
        shape: Current shape, voxels.
        spacing: Current spacing, mm.
        target: Target spacing, mm.

    Returns:
        The shape in voxels, rounded half to even, at least 1 per axis.
    """
    sizes = zip(shape, spacing, target, strict=True)
    return tuple(max(1, round(old / new * size)) for size, old, new in sizes)


def target_spacing(configuration: PlannedData, spacing: tuple[float, ...]) -> tuple[float, ...]:
    """Return the spacing (mm) that an image is resampled to.

    A 2-D configuration keeps the slice distance of a volume.

    Args:
        configuration: The configuration with the planned spacing.
        spacing: Spacing of the case in planned axis order, mm.
    """
    kept = len(spacing) - len(configuration.spacing)
    return (*spacing[:kept], *configuration.spacing)


def separate_axis(
    spacing: tuple[float, ...], target: tuple[float, ...], threshold: float
) -> int | None:
    """Return the coarse axis to resample separately, or None.

    The axis comes from the current spacing if that is anisotropic, or else from the target spacing.
    If two axes are equally coarse, and in 2-D, no axis is separate.

    Args:
        spacing: Current spacing, mm.
        target: Target spacing, mm.
        threshold: Ratio of largest to smallest spacing above which voxels are anisotropic.
    """
    if len(spacing) < 3:
        return None
    for candidate in (spacing, target):
        if max(candidate) / min(candidate) > threshold:
            coarsest = [axis for axis, size in enumerate(candidate) if size == max(candidate)]
            return coarsest[0] if len(coarsest) == 1 else None
    return None


def resample_into(
    result: ResizedVolume,
    channel: Volume,
    *,
    order: SplineOrder,
    separate_axis: int | None,
    separate_axis_order: SplineOrder,
) -> None:
    """Resize a channel of an image into `result`; intensities are clipped to their original range.

    Without a separate axis, the result equals `skimage.transform.resize(mode="edge",
    anti_aliasing=False)`. With a separate axis, each plane perpendicular to it is resized first,
    and then the volume along this axis.

    BLAS is limited to one thread. The matrix products are many and small, so that several threads
    would mostly wait for each other (measured: 0.2 s with one thread, 5 s with two on a busy
    machine), and cases are prepared in parallel anyway.

    Args:
        result: Output array, written in place.
        channel: The channel to resize.
        order: Spline order.
        separate_axis: Axis to resample separately, or None.
        separate_axis_order: Spline order along the separate axis.
    """
    if result.shape == channel.shape:
        result[...] = channel
        return
    with _linear_algebra().limit(limits=1, user_api="blas"):
        if separate_axis is None:
            _resize(result, channel, order=order, planes_of=None)
            return
        across = _with_size(result.shape, separate_axis, channel.shape[separate_axis])
        planes = np.empty(across, dtype=np.float32)
        _resize(planes, channel, order=order, planes_of=separate_axis)
        _resize(result, planes, order=separate_axis_order, planes_of=None)


@cache
def _linear_algebra() -> ThreadpoolController:
    """Return the controller of BLAS threads; cached, because finding the libraries takes 2 ms."""
    return ThreadpoolController()


def resample_labels(
    classes: LabelArray,
    shape: tuple[int, ...],
    *,
    order: SplineOrder,
    separate_axis: int | None,
    separate_axis_order: SplineOrder,
    ties: Ties = "highest",
) -> ResizedLabels:
    """Resize a label map; every voxel gets the class with the largest interpolation weight.

    Args:
        classes: Class index per voxel.
        shape: Output shape, voxels.
        order: 0 for nearest neighbour, any other value for linear.
        separate_axis: Axis to resample separately, or None.
        separate_axis_order: Like `order`, along the separate axis.
        ties: Class that wins a tie.

    Returns:
        The resized label map; `classes` itself if the shape is the same.
    """
    if separate_axis is None:
        return _resize_classes(classes, shape, order, ties)
    across = _with_size(shape, separate_axis, classes.shape[separate_axis])
    planes = _resize_classes(classes, across, order, ties)
    return _resize_classes(planes, shape, separate_axis_order, ties)


def _resize(
    result: ResizedVolume, volume: Volume, *, order: SplineOrder, planes_of: int | None
) -> None:
    """Resize a volume into `result`, and clip it to the original range.

    Args:
        result: Output array, written in place.
        volume: The volume to resize.
        order: Spline order.
        planes_of: Axis along which each plane is clipped to its own range; its size must not
            change. None clips to the range of the whole volume.
    """
    others = tuple(axis for axis in range(volume.ndim) if axis != planes_of)
    lowest = volume.min(axis=others, keepdims=True)
    highest = volume.max(axis=others, keepdims=True)
    for planes, slab in resize_in_slabs(volume, result.shape, order):
        own = planes if planes_of == 0 else slice(None)
        np.clip(slab, lowest[own], highest[own], out=result[planes])


def _resize_classes(
    classes: LabelArray, shape: tuple[int, ...], order: SplineOrder, ties: Ties
) -> ResizedLabels:
    if order != 0:
        return resize_labels(classes, shape, ties)
    for axis, (old, new) in enumerate(zip(classes.shape, shape, strict=True)):
        if old != new:
            classes = classes.take(nearest_positions(old, new), axis=axis)
    return classes


def _with_size(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])
