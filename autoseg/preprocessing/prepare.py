"""Prepare cases for the network: transpose to planned axis order, crop, normalise and resample.

Images that are not resampled are normalised part by part, where they are used. Otherwise, channels
are processed one at a time in single precision, so that the peak memory is little more than input
plus output.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Data preprocessing".
"""

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from autoseg.core.arrays import LabelArray, MaskArray, VoxelList, VoxelSource
from autoseg.core.case import Image, InverseTransform, LabelledCase, PreparedImage
from autoseg.core.errors import CaseError
from autoseg.core.formatting import format_count, format_shape
from autoseg.core.geometry import LengthUnit
from autoseg.core.memory import BYTES_PER_GIB, available_bytes
from autoseg.documents.preparation import PlannedData, PlannedPreparation, Resampling
from autoseg.preprocessing.crop import bounding_box, crop, fill_holes, nonzero_voxels
from autoseg.preprocessing.foreground import sample_foreground
from autoseg.preprocessing.label_interpolation import ResizedLabels, Ties
from autoseg.preprocessing.memory import FLOAT_BYTES
from autoseg.preprocessing.normalized import NormalizedVoxels
from autoseg.preprocessing.resample import (
    resample_into,
    resample_labels,
    resampled_shape,
    separate_axis,
    target_spacing,
)

if TYPE_CHECKING:
    from autoseg.documents.plan import Plan

ResizedImage = Float32[np.ndarray, "channels *resized"]


@dataclass(frozen=True)
class PreparedCase:
    """A case prepared for training.

    Attributes:
        name: Name of the case.
        image: The prepared image.
        classes: Class index per voxel, uint8 or uint16; ignored voxels have the last index.
        foreground: Random sample of voxel positions (int32) of all annotated voxels (empty if every
            voxel is annotated), then of each target.
    """

    name: str
    image: PreparedImage
    classes: LabelArray
    foreground: tuple[VoxelList, ...]


def prepare_image(image: Image, plan: "Plan", configuration: PlannedData) -> PreparedImage:
    """Prepare an image: transpose to planned axis order, crop, normalise and resample.

    A 2-D configuration of a 3-D dataset resamples each slice separately. Slice distance and number
    of slices stay the same.

    Args:
        image: The image in canonical orientation.
        plan: The plan.
        configuration: One of its configurations.

    Raises:
        CaseError: If the image does not have the channels or axes of the plan, its voxel size
            cannot be converted to the unit of the plan, or the prepared image does not fit into
            memory.
    """
    prepared, _ = _prepared_with_mask(_in_unit(image, plan.unit), plan, configuration)
    return prepared


def _in_unit(image: Image, unit: LengthUnit) -> Image:
    """Return the image with its voxel size in another unit of length."""
    if issue := image.geometry.unit_issue(unit):
        advice = (
            "Save the image without one"
            if unit == "px"
            else "Store the voxel size in the file, or write it next to it, such as "
            '{"spacing": [0.2, 0.2], "unit": "µm"} in CASE.json'
        )
        raise CaseError(f"{issue}. {advice}.")
    return replace(image, geometry=image.geometry.in_unit(unit))


def prepare_case(
    case: LabelledCase, plan: PlannedPreparation, configuration: PlannedData
) -> PreparedCase:
    """Prepare image and labels of a case, and sample foreground positions.

    Args:
        case: The case in canonical orientation.
        plan: The plan.
        configuration: One of its configurations.

    Raises:
        CaseError: If image and labels differ in shape, or the image cannot be prepared.
    """
    if case.classes.shape != case.image.shape:
        msg = (
            f"{case.name}: the labels have {format_shape(case.classes.shape)} voxels, the image "
            f"has {format_shape(case.image.shape)}; expected the same shape. Correct the files, "
            "then run `autoseg plan` again."
        )
        raise CaseError(msg)
    image, inside = _prepared_with_mask(case.image, plan, configuration)
    classes = _prepare_classes(case.classes, image.restoration, plan, configuration)
    cropped = crop(case.classes.transpose(plan.axis_order), image.restoration.crop)
    if isinstance(image.voxels, np.ndarray):
        _clear_outside(image.voxels, image.restoration, cropped, inside, configuration)
    return PreparedCase(
        name=case.name,
        image=image,
        classes=classes,
        foreground=sample_foreground(classes, plan.labels, case.name),
    )


def _prepared_with_mask(
    image: Image, plan: PlannedPreparation, configuration: PlannedData
) -> tuple[PreparedImage, MaskArray]:
    """Return the prepared image, and the nonzero mask of the cropped image before resampling."""
    _check_image(image, plan)
    voxels = image.voxels.transpose(0, *(axis + 1 for axis in plan.axis_order))
    nonzero = nonzero_voxels(voxels)
    bounds = bounding_box(nonzero)
    restoration = _restoration(image, plan, configuration, bounds)
    if any(normalizer.needs_mask for normalizer in configuration.normalizers):
        inside = fill_holes(crop(nonzero, bounds))
    else:
        inside = np.broadcast_to(np.True_, restoration.cropped_shape)  # takes no memory
    del nonzero
    normalized = NormalizedVoxels.of(crop(voxels, bounds), configuration.normalizers, inside)
    prepared: VoxelSource = normalized
    if restoration.prepared_shape != restoration.cropped_shape:
        _check_memory(image, restoration)
        prepared = _resampled(normalized, restoration, configuration.resampling)
    return PreparedImage(voxels=prepared, restoration=restoration), inside


def _clear_outside(
    voxels: ResizedImage,
    restoration: InverseTransform,
    classes: LabelArray,
    inside: MaskArray,
    configuration: PlannedData,
) -> None:
    """Set channels that were normalised inside the nonzero mask to 0 outside of it, in place.

    They were 0 there before spline interpolation. This lets training recover the mask and restrict
    augmentations to it; nnU-Net uses a separate label for the outside instead. Annotated voxels are
    kept.
    """
    masked = [
        channel
        for channel, normalizer in zip(voxels, configuration.normalizers, strict=True)
        if normalizer.clears_outside
    ]
    if not masked:
        return
    resampling = configuration.resampling
    resized = resample_labels(
        np.asarray(inside | (classes != 0), np.uint8),
        restoration.prepared_shape,
        order=resampling.label_order,
        separate_axis=_separate_axis(restoration, resampling),
        separate_axis_order=resampling.separate_axis_order,
    )
    for channel in masked:
        channel[resized == 0] = 0


def _prepare_classes(
    classes: LabelArray,
    restoration: InverseTransform,
    plan: PlannedPreparation,
    configuration: PlannedData,
) -> ResizedLabels:
    """Resample class indices to the prepared grid; annotated voxels win ties against ignored ones.

    Ties go to the higher index, so ignored voxels temporarily get the lowest one. If they kept the
    last index, a single annotated slice between ignored ones would vanish when its axis is halved.
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
    """Resample class indices to the grid of a prepared image.

    Args:
        classes: Class index per voxel of the whole canonical image.
        restoration: Inverse transform of the prepared image.
        resampling: Spline orders.
        ties: Class that wins a tie.
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
    """Raise a CaseError if the image does not have the axes and channels of the plan.

    Axes are checked first, because a wrong number of axes also changes the channels.
    """
    if len(image.shape) != plan.num_axes:
        kind = "volumes" if plan.num_axes == 3 else "2-D images"
        msg = (
            f"the image has {len(image.shape)} axes; the network expects {kind} with "
            f"{plan.num_axes} axes. Pass images of that kind."
        )
        raise CaseError(msg)
    found, expected = len(image.voxels), len(plan.channel_names)
    if found != expected:
        advice = "Pass all of them in this order" if found < expected else "Leave out the others"
        msg = (
            f"the image has {format_count(found, 'channel')}; the network expects {expected}: "
            f"{', '.join(plan.channel_names)}. {advice}."
        )
        raise CaseError(msg)


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
    """Raise a CaseError if the prepared image does not fit into the available memory.

    A wrong spacing in the header can make a small image very large.
    """
    shape = restoration.prepared_shape
    needed = FLOAT_BYTES * len(image.voxels) * prod(shape)
    available = available_bytes()
    if available is None or needed <= available:
        return
    old, unit = format_shape(image.geometry.spacing), image.geometry.unit
    msg = (
        f"its {format_shape(image.shape)} voxels of {old} {unit} "
        f"become {format_shape(shape)} of {format_shape(restoration.prepared_spacing)} {unit} and "
        f"need {needed / BYTES_PER_GIB:.3g} GiB of memory, but {available / BYTES_PER_GIB:.3g} GiB "
        "are available. Correct the spacing in the header if it is wrong. If it is correct, use a "
        "machine with more memory, or crop the image."
    )
    raise CaseError(msg)


def _separate_axis(restoration: InverseTransform, resampling: Resampling) -> int | None:
    return separate_axis(
        restoration.spacing, restoration.prepared_spacing, resampling.anisotropy_threshold
    )


def _resampled(
    voxels: NormalizedVoxels, restoration: InverseTransform, resampling: Resampling
) -> ResizedImage:
    """Normalise and resample the channels of a cropped image one after the other."""
    prepared = np.empty((voxels.shape[0], *restoration.prepared_shape), dtype=np.float32)
    for index, result in enumerate(prepared):
        resample_into(
            result,
            voxels.channel(index),
            order=resampling.image_order,
            separate_axis=_separate_axis(restoration, resampling),
            separate_axis_order=resampling.separate_axis_order,
        )
    return prepared
