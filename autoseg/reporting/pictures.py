"""Small pictures of images and label maps, as they are embedded in reports."""

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from PIL import Image

from autoseg.core.arrays import IntensityArray, LabelArray
from autoseg.core.colours import class_colour

MAX_PIXELS = 2**11
"""Maximum edge of a plane before it is reduced; of larger ones, every n-th pixel is used."""

OUTSIDE_PERCENT = 1.0
"""Percentage of the intensities that are drawn black, and that are drawn white."""

Plane = Integer[np.ndarray, "_ _"]
Shades = UInt8[np.ndarray, "_ _ 3"]


def data_uri(picture: Image.Image, kind: str = "webp", quality: int = 78) -> str:
    """Return a picture as a data URI.

    Args:
        picture: The picture.
        kind: `webp`, which changes values slightly, or `png`, which does not.
        quality: Quality of WebP, 0 … 100.
    """
    stream = BytesIO()
    options = {"optimize": True} if kind == "png" else {"quality": quality, "method": 4}
    picture.save(stream, kind, **options)
    return f"data:image/{kind};base64,{b64encode(stream.getvalue()).decode('ascii')}"


def shades(image: IntensityArray, window: tuple[float, float]) -> UInt8[np.ndarray, "*shape 3"]:
    """Return an image in the range of a screen; three channels are red, green and blue.

    Args:
        image: Intensities, channels first. Unless there are three channels, the first is drawn.
        window: Intensities of black and white.
    """
    low, high = window
    shown = image[:3] if image.shape[0] == 3 else image[:1]
    scaled = (shown.astype(np.float32) - low) * (255 / max(high - low, 1e-6))
    values = np.nan_to_num(np.clip(scaled, 0, 255)).astype(np.uint8)
    return np.moveaxis(np.broadcast_to(values, (3, *values.shape[1:])), 0, -1)


def window_of(image: IntensityArray) -> tuple[float, float]:
    """Return the intensities that are drawn black and white, percentiles of some voxels."""
    shown = image[:3] if image.shape[0] == 3 else image[:1]
    steps = tuple(slice(None, None, max(1, size // 64)) for size in shown.shape[1:])
    values = shown[:, *steps].astype(np.float32)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, (OUTSIDE_PERCENT, 100 - OUTSIDE_PERCENT))
    return float(low), float(high)


def fitted_size(shape: Sequence[int], spacing: Sequence[float], edge: int) -> tuple[int, int]:
    """Return rows and columns of a drawn plane, so that its pixels are square.

    Args:
        shape: Rows and columns of the plane.
        spacing: Distance of its rows and of its columns.
        edge: Length of the longer edge in pixels; small planes are enlarged at most four times.
    """
    extent = [size * step for size, step in zip(shape, spacing, strict=True)]
    longest = max(extent)
    pixels = min(edge, 4 * max(shape))
    rows, columns = (max(1, round(pixels * length / longest)) for length in extent)
    return rows, columns


def resized_shades(plane: Shades, size: tuple[int, int]) -> Shades:
    """Resize a plane in colours to rows and columns."""
    picture = Image.fromarray(np.ascontiguousarray(plane))
    return np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR, reducing_gap=2.0))


def resized_classes(plane: Plane, size: tuple[int, int]) -> Plane:
    """Resize a plane of class indices to rows and columns, by the nearest pixel."""
    places = [
        np.minimum((np.arange(new) + 0.5) * old / new, old - 1).astype(np.intp)
        for old, new in zip(plane.shape, size, strict=True)
    ]
    return plane[np.ix_(*places)]


def outlines(classes: Plane) -> Bool[np.ndarray, "_ _"]:
    """Return the pixels of classes that border on another class."""
    framed = np.pad(classes, 1, mode="edge")
    middle = framed[1:-1, 1:-1]
    neighbours = (framed[:-2, 1:-1], framed[2:, 1:-1], framed[1:-1, :-2], framed[1:-1, 2:])
    differs = np.zeros(classes.shape, bool)
    for neighbour in neighbours:
        differs |= neighbour != middle
    return differs & (classes > 0)


def with_outlines(picture: Shades, classes: Plane) -> Shades:
    """Draw the outlines of classes in their colours."""
    colours = class_table(int(classes.max(initial=0)))
    marked = outlines(classes)
    drawn = picture.copy()
    drawn[marked] = colours[classes[marked]]
    return drawn


def class_table(most: int) -> UInt8[np.ndarray, "classes 3"]:
    """Return the colours of the classes 0 to `most` as red, green and blue."""
    table = np.zeros((most + 1, 3), np.uint8)
    for index in range(1, most + 1):
        table[index] = tuple(bytes.fromhex(class_colour(index - 1)[1:]))
    return table


def fullest_plane(classes: LabelArray) -> int:
    """Return the plane along the first axis with the most foreground; the middle without any."""
    counts = np.count_nonzero(classes, axis=tuple(range(1, classes.ndim)))
    return int(np.argmax(counts)) if counts.any() else len(classes) // 2


def thumbnail(
    image: IntensityArray, classes: LabelArray, spacing: Sequence[float], edge: int
) -> bytes:
    """Return the plane of a case with the most foreground, with outlines, as a WebP file.

    Args:
        image: Intensities, channels first.
        classes: Class indices.
        spacing: Voxel size along each axis.
        edge: Longer edge in pixels.
    """
    if classes.ndim == 3:
        plane = fullest_plane(classes)
        image, classes, spacing = image[:, plane], classes[plane], spacing[1:]
    size = fitted_size(classes.shape, spacing, edge)
    step = -(-max(classes.shape) // MAX_PIXELS)
    shown = shades(image[:, ::step, ::step], window_of(image))
    drawn = with_outlines(resized_shades(shown, size), resized_classes(classes, size))
    stream = BytesIO()
    Image.fromarray(drawn).save(stream, "webp", quality=72, method=4)
    return stream.getvalue()


def block_means(image: IntensityArray, edge: int) -> Float[np.ndarray, " values"]:
    """Return the means of blocks of an image, `edge` along each axis, normalised to length 1.

    The dot product of two of them is the correlation of the two images at a coarse resolution.

    Args:
        image: Intensities, channels first; the channels are averaged.
        edge: Number of blocks along each axis.
    """
    step = tuple(slice(None, None, max(1, size // (8 * edge))) for size in image.shape[1:])
    means = np.nan_to_num(image[:, *step].astype(np.float32)).mean(axis=0)
    for axis, size in enumerate(means.shape):
        starts = np.arange(edge) * size // edge
        counts = np.maximum(np.diff(np.append(starts, size)), 1)
        sums = np.add.reduceat(means, starts, axis=axis)
        means = sums / counts.reshape([-1 if place == axis else 1 for place in range(means.ndim)])
    centred = means.ravel() - means.mean()
    length = float(np.linalg.norm(centred))
    return np.asarray(centred / length if length > 0 else centred)
