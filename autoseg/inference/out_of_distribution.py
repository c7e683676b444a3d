"""Does an image look like the training data? What a network has never seen, it can only guess at.

Everything is judged as the network gets it: orientation is compared before images are turned, but
intensities only where the normaliser keeps their unit. Nothing here stops a prediction.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from autoseg.core.case import Image
from autoseg.core.geometry import LengthUnit, axis_directions, length_unit, tilt_degrees
from autoseg.documents.model_card import AxisRange, DataSummary
from autoseg.inference.summary import extent_mm, unit_of
from autoseg.normalizers import Normalizer

SPACING_MARGIN = 1.25
"""Voxel sizes may lie this factor outside of the training's: as far as scaling augmentation goes
(0.7 to 1.4 in the reference recipe), with some distance. A choice of this project."""

EXTENT_MARGIN = 1.5
"""The same for the field of view, which differs more between images. A choice of this project."""

TILT_MARGIN_DEGREES = 15.0
"""Voxel axes may be this much more oblique than in training; rotation augmentation covers 30°."""

FOREGROUND_PART = 0.1
"""An image is out of range if fewer voxels have a foreground intensity than this part of the
smallest foreground of a training case. A choice of this project: a tenth leaves room for cases with
less foreground than any in training, and an image in another unit still falls below it."""

MOST_VOXELS = 2**20
"""Intensities are counted on about this many voxels, evenly spaced."""

AXIS_NAMES = ("superior", "posterior", "left")


def out_of_distribution_warnings(
    image: Image,
    data: DataSummary,
    normalizers: Sequence[Normalizer],
    channel_names: Sequence[str],
) -> tuple[str, ...]:
    """Return a sentence for everything in which an image lies outside of the training data.

    Args:
        image: The image, not yet prepared.
        data: The training data in numbers.
        normalizers: What the model does with each channel's intensities.
        channel_names: One per channel.
    """
    axes, channels = len(image.shape), len(image.voxels)
    if axes != len(data.spacing_mm):
        return (f"the image has {axes} axes, the training images have {len(data.spacing_mm)}",)
    if channels != len(channel_names):
        names = f"{len(channel_names)} ({', '.join(channel_names)})"
        return (f"the image has {channels} channels, the training images have {names}",)
    return (
        *_spacing(image, data),
        *_extent(image, data),
        *_orientation(image, data),
        *_intensities(image, data, normalizers, channel_names),
    )


def _spacing(image: Image, data: DataSummary) -> Iterator[str]:
    for axis, (found, known) in enumerate(
        zip(image.geometry.spacing, data.spacing_mm, strict=True)
    ):
        if _is_outside(found, known, SPACING_MARGIN):
            yield (
                f"its voxels are {found:.4g} {_unit(image)} long along {_axis(axis, image)}; in "
                f"training {_range(known)} {unit_of(data)}"
            )


def _unit(image: Image) -> LengthUnit:
    return length_unit(len(image.shape), image.geometry.spacing)


def _extent(image: Image, data: DataSummary) -> Iterator[str]:
    extent = extent_mm(image.shape, image.geometry.spacing)
    for axis, (found, known) in enumerate(zip(extent, data.extent_mm, strict=True)):
        if _is_outside(found, known, EXTENT_MARGIN):
            yield (
                f"it covers {found:.4g} {_unit(image)} along {_axis(axis, image)}; the training "
                f"images {_range(known)} {unit_of(data)}"
            )


def _orientation(image: Image, data: DataSummary) -> Iterator[str]:
    if len(image.shape) == 2:
        return
    stored = axis_directions(image.stored_geometry)
    if data.axis_directions and stored not in data.axis_directions:
        yield (
            f"its axes are stored as {stored}, those of all training images as "
            f"{' or '.join(data.axis_directions)}; it is turned as its header says, so look "
            "whether the header is right"
        )
    tilt, known = tilt_degrees(image.geometry), data.greatest_tilt_degrees
    if known is not None and tilt > known + TILT_MARGIN_DEGREES:
        yield (f"its axes are {tilt:.0f}° away from the body's; in training at most {known:.0f}°")


def _intensities(
    image: Image,
    data: DataSummary,
    normalizers: Sequence[Normalizer],
    channel_names: Sequence[str],
) -> Iterator[str]:
    channels = zip(image.voxels, normalizers, channel_names, data.intensities, strict=True)
    for index, (channel, normalizer, name, (low, high)) in enumerate(channels):
        which = f"channel {index} ({name})"
        lowest, highest = float(channel.min()), float(channel.max())
        thinned = _thinned(channel)
        share = float(np.mean((thinned >= low) & (thinned <= high)))
        if lowest == highest:
            yield f"{which} is {lowest:.4g} everywhere"
        elif normalizer.keeps_scale and share < FOREGROUND_PART * data.least_foreground:
            yield (
                f"of {which}, with intensities from {lowest:.4g} to {highest:.4g}, {share:.2%} of "
                f"the voxels lie in the range of the training foreground ({low:.4g} to "
                f"{high:.4g}); at least {data.least_foreground:.2%} of each training image were "
                "foreground"
            )


def _thinned(channel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return every n-th voxel along each axis, so that about `MOST_VOXELS` are left."""
    step = max(1, int((channel.size / MOST_VOXELS) ** (1 / channel.ndim)))
    return channel[(slice(None, None, step),) * channel.ndim]


def _is_outside(value: float, known: AxisRange, margin: float) -> bool:
    return not known.least / margin <= value <= known.greatest * margin


def _range(known: AxisRange) -> str:
    if known.least == known.greatest:
        return f"always {known.least:.4g}"
    return f"{known.least:.4g} to {known.greatest:.4g}"


def _axis(axis: int, image: Image) -> str:
    return f"axis {axis}" + (f" ({AXIS_NAMES[axis]})" if len(image.shape) == 3 else "")
