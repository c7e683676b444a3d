"""Turn a case as read into a case as a network sees it.

The order is: planned axes, crop to nonzero, normalise, resample. Channels pass through one at a
time, in single precision, so that memory stays near that of input plus output.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Data preprocessing".
"""

from dataclasses import dataclass
from math import prod

import numpy as np
from jaxtyping import Float32

from autoseg.core.arrays import ImageArray, LabelArray, MaskArray, VoxelList
from autoseg.core.case import Image, InverseTransform, LabelledCase, PreparedImage
from autoseg.core.errors import CaseError
from autoseg.core.text import counted
from autoseg.documents.preparation import PlannedData, PlannedPreparation, Resampling
from autoseg.preprocessing.crop import bounding_box, crop, nonzero_voxels, without_holes
from autoseg.preprocessing.foreground import sample_foreground
from autoseg.preprocessing.label_interpolation import ResizedLabels, Ties
from autoseg.preprocessing.memory import BYTES_PER_GIB, FLOAT_BYTES, available_bytes
from autoseg.preprocessing.resample import (
    ResizedImage,
    resample_into,
    resample_labels,
    resampled_shape,
    separate_axis,
    target_spacing,
)

ReorderedImage = Float32[np.ndarray, "channels *reordered"]


@dataclass(frozen=True)
class PreparedCase:
    """A case to train on.

    Attributes:
        name: Name of the case.
        image: The prepared image.
        classes: Class index of every voxel of it, uint8 or uint16; ignored ones have the last.
        foreground: Per target, a random sample of where its voxels are (int32 positions), after
            one of all annotated voxels, which is empty where every voxel is.
    """

    name: str
    image: PreparedImage
    classes: LabelArray
    foreground: tuple[VoxelList, ...]


def prepare_image(
    image: Image, plan: PlannedPreparation, configuration: PlannedData
) -> PreparedImage:
    """Return the image in planned axis order, cropped, normalised and resampled.

    A 2-D configuration of a 3-D dataset resamples each slice on its own and keeps slice distance
    and number of slices.

    Raises:
        CaseError: If the image has other channels or axes than the plan.
    """
    prepared, _ = _prepared_with_mask(image, plan, configuration)
    return prepared


def prepare_case(
    case: LabelledCase, plan: PlannedPreparation, configuration: PlannedData
) -> PreparedCase:
    """Return the case on the grid of its prepared image, with foreground positions.

    Raises:
        CaseError: If image and labels differ in shape, or the image does not fit the plan.
    """
    if case.classes.shape != case.image.shape:
        msg = (
            f"{case.name}: the labels have {list(case.classes.shape)} voxels, the image has "
            f"{list(case.image.shape)}; expected the same. Correct the files, then run "
            "`autoseg plan` again."
        )
        raise CaseError(msg)
    image, inside = _prepared_with_mask(case.image, plan, configuration)
    classes = _prepare_classes(case.classes, image.restoration, plan, configuration)
    cropped = crop(case.classes.transpose(plan.axis_order), image.restoration.crop)
    _clear_outside(image, cropped, inside, configuration)
    return PreparedCase(
        name=case.name,
        image=image,
        classes=classes,
        foreground=sample_foreground(classes, plan.labels, case.name),
    )


def _prepared_with_mask(
    image: Image, plan: PlannedPreparation, configuration: PlannedData
) -> tuple[PreparedImage, MaskArray]:
    """Return the prepared image, and the mask of the cropped one that is not yet resampled."""
    _check_image(image, plan)
    voxels = _in_planned_order(image.voxels, plan.axis_order)
    nonzero = nonzero_voxels(voxels)
    bounds = bounding_box(nonzero)
    restoration = _restoration(image, plan, configuration, bounds)
    _check_memory(image, restoration)
    inside = crop(nonzero, bounds)
    if any(normalizer.needs_mask for normalizer in configuration.normalizers):
        inside = without_holes(inside)
    prepared = _prepare_channels(crop(voxels, bounds), inside, restoration, configuration)
    return PreparedImage(voxels=prepared, restoration=restoration), inside


def _clear_outside(
    image: PreparedImage, classes: LabelArray, inside: MaskArray, configuration: PlannedData
) -> None:
    """Set channels that are normalised in a mask to 0 outside of it, in place.

    They were 0 there before splines were laid through them. So training finds the mask again, and
    keeps augmentations to it: as nnU-Net, which gives the outside a label of its own. What somebody
    annotated there is kept.
    """
    masked = [
        channel
        for channel, normalizer in zip(image.voxels, configuration.normalizers, strict=True)
        if normalizer.clears_outside
    ]
    restoration = image.restoration
    if not masked or restoration.prepared_shape == inside.shape:
        return
    resized = resample_labels(
        np.asarray(inside | (classes != 0), np.uint8),
        restoration.prepared_shape,
        order=configuration.resampling.label_order,
        separate_axis=_separate_axis(restoration, configuration.resampling),
        separate_axis_order=configuration.resampling.separate_axis_order,
    )
    for channel in masked:
        channel[resized == 0] = 0


def _prepare_classes(
    classes: LabelArray,
    restoration: InverseTransform,
    plan: PlannedPreparation,
    configuration: PlannedData,
) -> ResizedLabels:
    """Return class indices on the prepared grid; annotated voxels win ties against ignored ones.

    Ties go to the higher index, so ignored voxels get the lowest for the time of resampling: else a
    single annotated slice between ignored ones would vanish where its axis is halved.
    """
    ignored = plan.labels.ignored_index
    if ignored is None:
        return prepare_labels(classes, restoration, configuration.resampling)
    indices = np.arange(ignored + 1, dtype=classes.dtype)
    ignored_first, ignored_last = np.roll(indices, -1), np.roll(indices, 1)
    resized = prepare_labels(ignored_first[classes], restoration, configuration.resampling)
    return np.asarray(ignored_last[resized])


def prepare_labels(
    classes: LabelArray,
    restoration: InverseTransform,
    resampling: Resampling,
    ties: Ties = "highest",
) -> ResizedLabels:
    """Return class indices on the grid that a prepared image has.

    Args:
        classes: Class index per voxel of the whole canonical image.
        restoration: Of the prepared image.
        resampling: Spline orders.
        ties: Which of several classes wins that weigh alike.
    """
    cropped = crop(classes.transpose(restoration.axis_order), restoration.crop)
    return resample_labels(
        np.ascontiguousarray(cropped),
        restoration.prepared_shape,
        order=resampling.label_order,
        separate_axis=_separate_axis(restoration, resampling),
        separate_axis_order=resampling.separate_axis_order,
        ties=ties,
    )


def _check_image(image: Image, plan: PlannedPreparation) -> None:
    """Check that the image is of the kind that the network takes; axes tell more than channels.

    Raises:
        CaseError: If it is not.
    """
    if len(image.shape) != plan.num_axes:
        kind = "volumes" if plan.num_axes == 3 else "pictures"
        msg = (
            f"the image has {len(image.shape)} axes; the network takes {kind}, which have "
            f"{plan.num_axes}. Give images of that kind."
        )
        raise CaseError(msg)
    found, expected = len(image.voxels), len(plan.channel_names)
    if found != expected:
        advice = "Give all of them, in this order" if found < expected else "Leave out the others"
        msg = (
            f"the image has {counted(found, 'channel')}; the network takes {expected}: "
            f"{', '.join(plan.channel_names)}. {advice}."
        )
        raise CaseError(msg)


def _in_planned_order(voxels: ImageArray, axis_order: tuple[int, ...]) -> ReorderedImage:
    return voxels.transpose(0, *(axis + 1 for axis in axis_order))


def _restoration(
    image: Image,
    plan: PlannedPreparation,
    configuration: PlannedData,
    bounds: tuple[tuple[int, int], ...],
) -> InverseTransform:
    spacing = tuple(image.geometry.spacing[axis] for axis in plan.axis_order)
    target = target_spacing(configuration, spacing)
    cropped_shape = tuple(stop - start for start, stop in bounds)
    return InverseTransform(
        axis_order=plan.axis_order,
        full_shape=image.shape,
        crop=bounds,
        spacing=spacing,
        prepared_shape=resampled_shape(cropped_shape, spacing, target),
        prepared_spacing=target,
    )


def _check_memory(image: Image, restoration: InverseTransform) -> None:
    """Check that the prepared image fits into the memory that is free.

    A header with a wrong spacing makes a small image large.

    Raises:
        CaseError: If it does not.
    """
    shape = restoration.prepared_shape
    needed = FLOAT_BYTES * len(image.voxels) * prod(shape)
    available = available_bytes()
    if available is None or needed <= available:
        return
    msg = (
        f"its {_times(image.shape)} voxels of {_times(image.geometry.spacing)} mm become "
        f"{_times(shape)} of {_times(restoration.prepared_spacing)} mm, which need "
        f"{needed / BYTES_PER_GIB:.3g} GiB of memory where {available / BYTES_PER_GIB:.3g} are "
        "free. Correct the spacing in its header if that is wrong; else use a machine with more "
        "memory, or crop the image."
    )
    raise CaseError(msg)


def _times(sizes: tuple[int, ...] | tuple[float, ...]) -> str:
    return " × ".join(f"{size:g}" for size in sizes)


def _separate_axis(restoration: InverseTransform, resampling: Resampling) -> int | None:
    return separate_axis(
        restoration.spacing, restoration.prepared_spacing, resampling.anisotropy_threshold
    )


def _prepare_channels(
    voxels: ImageArray,
    inside: MaskArray,
    restoration: InverseTransform,
    configuration: PlannedData,
) -> ResizedImage:
    """Return the channels of a cropped image, normalised and resampled one after the other."""
    resampling = configuration.resampling
    prepared = np.empty((len(voxels), *restoration.prepared_shape), dtype=np.float32)
    for channel, normalizer, result in zip(
        voxels, configuration.normalizers, prepared, strict=True
    ):
        normalized = normalizer.apply(np.ascontiguousarray(channel), inside)
        resample_into(
            result,
            normalized,
            order=resampling.image_order,
            separate_axis=_separate_axis(restoration, resampling),
            separate_axis_order=resampling.separate_axis_order,
        )
    return prepared
