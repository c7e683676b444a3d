"""Shapes that mark a class in an image: polygons with holes, and masks as run lengths.

Coordinates are (x, y) in pixels from the upper left corner of the image; the first pixel reaches
from 0 to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from math import pi

import numpy as np
from jaxtyping import Float64, Int64

from autoseg.core.arrays import MaskArray

ELLIPSE_POINTS = 64
"""Corners of the polygon that replaces an ellipse."""

LARGEST = 1e9
"""Coordinates of this size or more are not those of an image."""

Ring = Float64[np.ndarray, "_corners 2"]


@dataclass(frozen=True)
class Polygon:
    """An outline without its holes.

    Attributes:
        outline: Corners (x, y).
        holes: Corners of each hole.
    """

    outline: Ring
    holes: tuple[Ring, ...] = ()

    @property
    def area(self) -> float:
        """Area in pixels."""
        return _area(self.outline) - sum(map(_area, self.holes))


@dataclass(frozen=True)
class Runs:
    """A mask as run lengths.

    Attributes:
        counts: Lengths of alternating runs of background and foreground, background first.
        shape: Rows and columns of the mask; None for those of the image.
        corner: Row and column of its upper left pixel in the image.
        is_by_column: Whether the runs go down the columns, otherwise along the rows.
    """

    counts: Int64[np.ndarray, " runs"]
    shape: tuple[int, int] | None = None
    corner: tuple[int, int] = (0, 0)
    is_by_column: bool = False


@dataclass(frozen=True)
class Shape:
    """The area of one object or structure.

    Attributes:
        name: Name of the class; empty if the file gives none.
        polygons: Polygons that together make up the area.
        runs: The area as a mask.
    """

    name: str
    polygons: tuple[Polygon, ...] = ()
    runs: Runs | None = None

    @property
    def area(self) -> float:
        """Area in pixels."""
        drawn = sum(polygon.area for polygon in self.polygons)
        return drawn + (0 if self.runs is None else int(self.runs.counts[1::2].sum()))


def _area(ring: Ring) -> float:
    """Return the area of an outline by the shoelace formula."""
    if not len(ring):
        return 0.0
    x, y = (ring - ring[0]).T  # the edge back to the first corner adds nothing
    return float(abs(np.dot(x[:-1], y[1:]) - np.dot(y[:-1], x[1:])) / 2)


def ring(points: object) -> Ring:
    """Return corners (x, y) of a file as an array.

    Raises:
        ValueError: If they are not pairs of numbers of a usual size.
    """
    try:
        corners = np.asarray(points, np.float64)
    except ValueError:
        corners = np.full((1, 1), np.nan)
    if corners.size == 0:
        return np.zeros((0, 2))
    if corners.ndim != 2 or corners.shape[1] < 2 or not (abs(corners) < LARGEST).all():
        raise ValueError("an outline is not a list of x and y in pixels.")
    return corners[:, :2]


def rectangle(points: object) -> Ring:
    """Return the rectangle around points (x, y)."""
    corners = ring(points)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return ring([(left, top), (right, top), (right, bottom), (left, bottom)])


def ellipse(
    centre: Sequence[float | int], radii: Sequence[float | int], degrees: float | int = 0
) -> Ring:
    """Return an ellipse as a polygon.

    Args:
        centre: Centre (x, y).
        radii: Half axes along x and y before the rotation.
        degrees: Rotation from x towards y.
    """
    angles = np.arange(ELLIPSE_POINTS) * (2 * pi / ELLIPSE_POINTS)
    x, y = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned = np.stack([x * cosine - y * sine, x * sine + y * cosine], axis=1)
    return ring(turned + np.asarray(centre))


def runs_of(mask: MaskArray, corner: tuple[int, int]) -> Runs:
    """Return the run lengths of a mask along its rows.

    Args:
        mask: The mask, with two axes.
        corner: Row and column of its upper left pixel in the image.
    """
    flat = np.concatenate([[False], mask.ravel()])
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), mask.size)
    rows, columns = mask.shape
    return Runs(np.diff(ends, prepend=0).astype(np.int64), (rows, columns), corner)


def mask_of_png(data: bytes) -> MaskArray:
    """Return the mask in a PNG file: what is opaque, or not black if nothing is transparent.

    Raises:
        ValueError: If it is not a PNG file, or larger than pictures may be.
    """
    from PIL import Image

    try:
        with Image.open(BytesIO(data), formats=["PNG"]) as picture:
            has_opacity = "A" in picture.getbands() or "transparency" in picture.info
            grey = picture.convert("RGBA").getchannel("A") if has_opacity else picture.convert("L")
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"a mask is not a valid PNG: {error}.") from error
    return np.asarray(grey) > 0
