"""Bring images and label maps to another voxel size.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Resampling".
"""

from functools import cache

import numpy as np
from jaxtyping import Float32
from threadpoolctl import ThreadpoolController

from autoseg.core.arrays import ImageArray, LabelArray
from autoseg.documents.preparation import PlannedData
from autoseg.preprocessing.interpolation import (
    ResizedVolume,
    SplineOrder,
    Volume,
    nearest_positions,
    resize_in_slabs,
)
from autoseg.preprocessing.label_interpolation import ResizedLabels, Ties, resize_labels

ResizedImage = Float32[np.ndarray, "channels *resized"]


def resampled_shape(
    shape: tuple[int, ...], spacing: tuple[float, ...], target: tuple[float, ...]
) -> tuple[int, ...]:
    """Return the size in voxels at the target spacing, rounded half to even, at least 1."""
    sizes = zip(shape, spacing, target, strict=True)
    return tuple(max(1, round(old / new * size)) for size, old, new in sizes)


def target_spacing(configuration: PlannedData, spacing: tuple[float, ...]) -> tuple[float, ...]:
    """Return the voxel size (mm) that an image is resampled to.

    A 2-D configuration leaves the distance of a volume's slices as it is.

    Args:
        configuration: What the case is prepared for.
        spacing: Voxel size of the case in planned axis order, mm.
    """
    kept = len(spacing) - len(configuration.spacing)
    return (*spacing[:kept], *configuration.spacing)


def separate_axis(
    spacing: tuple[float, ...], target: tuple[float, ...], threshold: float
) -> int | None:
    """Return the one coarse axis that must be resampled on its own, or None.

    The current spacing decides if it is anisotropic, otherwise the target. Without exactly one
    coarsest axis (two equally coarse ones), and in 2-D, nothing is separate.

    Args:
        spacing: Current voxel size, mm.
        target: Voxel size to come, mm.
        threshold: Coarsest over finest spacing beyond which voxels count as anisotropic.
    """
    if len(spacing) < 3:
        return None
    for candidate in (spacing, target):
        if max(candidate) / min(candidate) > threshold:
            coarsest = [axis for axis, size in enumerate(candidate) if size == max(candidate)]
            return coarsest[0] if len(coarsest) == 1 else None
    return None


def resample_image(
    voxels: ImageArray,
    shape: tuple[int, ...],
    *,
    order: SplineOrder,
    separate_axis: int | None,
    separate_axis_order: SplineOrder,
) -> ResizedImage:
    """Return the image at another shape; no intensity leaves the range it had.

    Without a separate axis the numbers are those of `skimage.transform.resize(mode="edge",
    anti_aliasing=False)` of each channel. With one, each plane across it is resized on its own,
    and then the planes along it.

    Args:
        voxels: Intensities; the array itself comes back when nothing changes.
        shape: Size in voxels, without channels.
        order: Of the splines.
        separate_axis: The axis that is done on its own, if any.
        separate_axis_order: Of the splines along that axis.
    """
    if voxels.shape[1:] == shape:
        return voxels
    result = np.empty((len(voxels), *shape), dtype=np.float32)
    for channel, resized in zip(voxels, result, strict=True):
        resample_into(
            resized,
            channel,
            order=order,
            separate_axis=separate_axis,
            separate_axis_order=separate_axis_order,
        )
    return result


def resample_into(
    result: ResizedVolume,
    channel: Volume,
    *,
    order: SplineOrder,
    separate_axis: int | None,
    separate_axis_order: SplineOrder,
) -> None:
    """Fill `result` with one channel of an image at that shape, as `resample_image` does it.

    The products are many and small: several BLAS threads would mostly wait for each other
    (measured: 0.2 s with one thread, 5 s with two on a busy machine), and cases run side by side
    anyway.
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
    """Return the handle on BLAS; to look for its libraries takes 2 ms."""
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
    """Return the label map at another shape: per voxel the class that weighs most.

    Args:
        classes: Class indices; the array itself comes back when nothing changes.
        shape: Size in voxels.
        order: 0 for the nearest voxel, otherwise linear.
        separate_axis: The axis that is done on its own, if any.
        separate_axis_order: 0 or otherwise linear, along that axis.
        ties: Which of several classes wins that weigh alike.
    """
    if separate_axis is None:
        return _resize_classes(classes, shape, order, ties)
    across = _with_size(shape, separate_axis, classes.shape[separate_axis])
    planes = _resize_classes(classes, across, order, ties)
    return _resize_classes(planes, shape, separate_axis_order, ties)


def _resize(
    result: ResizedVolume, volume: Volume, *, order: SplineOrder, planes_of: int | None
) -> None:
    """Fill `result` with the resized volume, clipped to its range, or each plane to that plane's.

    Args:
        result: Where to.
        volume: What to resize.
        order: Of the splines.
        planes_of: The axis, which keeps its size, of which each plane has a range of its own.
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
