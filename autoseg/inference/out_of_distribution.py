"""Compare an image with the training data and warn about differences.

Predictions are unreliable for images that are unlike the training data. The stored orientation is
compared before the image is reoriented. Intensities are compared only if the normaliser keeps their
unit. No check stops a prediction.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from autoseg.core.case import Image
from autoseg.core.formatting import format_number, format_percent
from autoseg.core.geometry import axis_directions, length_unit, tilt_degrees
from autoseg.documents.model_card import AxisRange, DataSummary, extent_mm
from autoseg.normalizers import Normalizer

SPACING_MARGIN = 1.25
"""Factor by which voxel sizes may exceed the range of the training data. It is within the range of
scaling augmentation (0.7 to 1.4 in nnU-Net's recipe) with a margin. A choice of this project."""

EXTENT_MARGIN = 1.5
"""The same factor for the field of view, which varies more. A choice of this project."""

TILT_MARGIN_DEGREES = 15.0
"""Voxel axes may be more oblique than in training by this angle; rotation augmentation covers
30°."""

MIN_FOREGROUND_FRACTION = 0.1
"""Minimum share of voxels with a foreground intensity, as a fraction of the smallest foreground
share of a training case. A choice of this project: a tenth allows cases with less foreground than
any training case, and images in another unit are still below it."""

MAX_VOXELS = 2**20
"""Approximate number of evenly spaced voxels whose intensities are compared."""

AXIS_NAMES = ("superior", "posterior", "left")


def out_of_distribution_warnings(
    image: Image,
    data: DataSummary,
    normalizers: Sequence[Normalizer],
    channel_names: Sequence[str],
) -> tuple[str, ...]:
    """Return one warning for every property in which an image is outside of the training data.

    Args:
        image: The image before preprocessing.
        data: Summary of the training data.
        normalizers: The model's intensity normaliser of each channel.
        channel_names: One name per channel.
    """
    axes, channels = len(image.shape), len(image.voxels)
    if axes != len(data.spacing_mm):
        return (f"the image has {axes} axes, the training images have {len(data.spacing_mm)}",)
    if channels != len(channel_names):
        names = f"{len(channel_names)} ({', '.join(channel_names)})"
        return (f"the image has {channels} channels, the training images have {names}",)
    return (
        *_size_warnings(image, data),
        *_orientation_warnings(image, data),
        *_intensity_warnings(image, data, normalizers, channel_names),
    )


def _size_warnings(image: Image, data: DataSummary) -> Iterator[str]:
    if issue := image.geometry.unit_issue(data.unit):
        yield issue
        return
    geometry = image.geometry.in_unit(data.unit)
    spacing = geometry.spacing
    unit = length_unit(len(image.shape), spacing, geometry.unit)
    for name, sizes, known_sizes, margin in (
        ("voxel size", spacing, data.spacing_mm, SPACING_MARGIN),
        ("field of view", extent_mm(image.shape, spacing), data.extent_mm, EXTENT_MARGIN),
    ):
        for axis, (size, known) in enumerate(zip(sizes, known_sizes, strict=True)):
            if not known.least / margin <= size <= known.greatest * margin:
                direction = f" ({AXIS_NAMES[axis]})" if len(image.shape) == 3 else ""
                yield (
                    f"its {name} along axis {axis}{direction} is {format_number(size)} {unit}; "
                    f"in training {_range(known)} {data.unit}"
                )


def _orientation_warnings(image: Image, data: DataSummary) -> Iterator[str]:
    if len(image.shape) == 2:
        return
    stored = axis_directions(image.stored_geometry)
    if data.axis_directions and stored not in data.axis_directions:
        yield (
            f"its axes are stored as {stored}, those of all training images as "
            f"{' or '.join(data.axis_directions)}; it is reoriented by its header, so check that "
            "the header is correct"
        )
    tilt, known = tilt_degrees(image.geometry), data.greatest_tilt_degrees
    if known is not None and tilt > known + TILT_MARGIN_DEGREES:
        yield f"its axes are {tilt:.0f}° off the body axes; in training at most {known:.0f}°"


def _intensity_warnings(
    image: Image,
    data: DataSummary,
    normalizers: Sequence[Normalizer],
    channel_names: Sequence[str],
) -> Iterator[str]:
    channels = zip(image.voxels, normalizers, channel_names, data.intensities, strict=True)
    for index, (channel, normalizer, name, (low, high)) in enumerate(channels):
        label = f"channel {index} ({name})"
        lowest, highest = float(channel.min()), float(channel.max())
        sample = _subsample(channel)
        share = float(np.mean((sample >= low) & (sample <= high)))
        if lowest == highest:
            yield f"{label} is {format_number(lowest)} everywhere"
        elif normalizer.keeps_scale and share < MIN_FOREGROUND_FRACTION * data.least_foreground:
            yield (
                f"{label} has intensities from {format_number(lowest)} to "
                f"{format_number(highest)}, and {format_percent(share)} of its voxels are in the "
                f"intensity range of the training foreground ({format_number(low)} to "
                f"{format_number(high)}); at least {format_percent(data.least_foreground)} of each "
                "training image was foreground"
            )


def _subsample(channel: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return every n-th voxel along each axis, about `MAX_VOXELS` in total."""
    step = max(1, int((channel.size / MAX_VOXELS) ** (1 / channel.ndim)))
    return channel[(slice(None, None, step),) * channel.ndim].astype(np.float32)


def _range(known: AxisRange) -> str:
    if known.least == known.greatest:
        return f"always {format_number(known.least)}"
    return f"{format_number(known.least)} to {format_number(known.greatest)}"
