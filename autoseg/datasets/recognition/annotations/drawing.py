"""Draw shapes as a label map."""

from collections.abc import Mapping

import numpy as np

from autoseg.core.arrays import LabelArray, MaskArray
from autoseg.core.errors import CaseError
from autoseg.core.formatting import format_shape
from autoseg.datasets.recognition.annotations.base import BACKGROUND, Annotation
from autoseg.datasets.recognition.annotations.shapes import Polygon, Ring, Runs

LARGEST_EXCESS = 1.1
"""Largest share of the size of an image that corners may reach to, if the file gives no size."""


STRIP_PIXELS = 2**24
"""Most pixels that are filled at once, to bound memory."""


def draw(annotation: Annotation, values: Mapping[str, int], shape: tuple[int, int]) -> LabelArray:
    """Draw the shapes of an image; later ones cover earlier ones.

    A pixel belongs to a polygon if its centre does.

    Args:
        annotation: The shapes.
        values: Value of each class; shapes of others are left out, except those of the background.
        shape: Rows and columns of the image.

    Raises:
        CaseError: If the annotation is damaged or belongs to an image of another size.
    """
    _check(annotation, shape)
    scale = np.array([shape[1], shape[0]]) if annotation.is_relative else np.ones(2)
    labels: LabelArray = np.zeros(shape, np.min_scalar_type(max(values.values(), default=1)))
    for one in annotation.shapes:
        value = values.get(one.name, 0 if one.name.lower() == BACKGROUND else None)
        if value is None:
            continue
        for polygon in one.polygons:
            _paint(polygon, scale, labels, value)
        if one.runs is not None:
            _paint_runs(one.runs, labels, value)
    return labels


def _check(annotation: Annotation, shape: tuple[int, int]) -> None:
    """Check that an annotation can be drawn into an image.

    Raises:
        CaseError: If not.
    """
    if annotation.issue:
        raise CaseError(f"{annotation.issue} Correct the annotation, or export it again.")
    corners = [polygon.outline for one in annotation.shapes for polygon in one.polygons]
    corners = [ring for ring in corners if len(ring)]
    advice = "Use the image that was annotated, or the annotations of this image."
    if annotation.size is not None and annotation.size != shape:
        raise CaseError(
            f"the annotated image has {format_shape(annotation.size)} pixels, but the image has "
            f"{format_shape(shape)}. {advice}"
        )
    if annotation.size is None and not annotation.is_relative and corners:
        reach = np.max([ring.max(axis=0) for ring in corners], axis=0)[::-1]
        if (reach > np.array(shape) * LARGEST_EXCESS + 1).any():
            raise CaseError(
                f"the shapes reach to row {reach[0]:.0f} and column {reach[1]:.0f}, but the image "
                f"has {format_shape(shape)} pixels. {advice}"
            )


def _paint(polygon: Polygon, scale: np.ndarray, labels: LabelArray, value: int) -> None:
    """Give the pixels of a polygon a value."""
    if not len(polygon.outline):
        return
    outline = polygon.outline * scale
    first = np.floor(outline.min(axis=0)).clip(0, labels.shape[::-1]).astype(int)
    last = np.ceil(outline.max(axis=0)).clip(0, labels.shape[::-1]).astype(int)
    (left, top), (right, bottom) = first.tolist(), last.tolist()
    step = max(1, STRIP_PIXELS // max(1, right - left))
    for row in range(top, bottom, step):
        area = labels[row : min(bottom, row + step), left:right]
        mask = filled(outline - (left, row), area.shape)
        for hole in polygon.holes:
            mask &= ~filled(hole * scale - (left, row), area.shape)
        area[mask] = value


def filled(ring: Ring, shape: tuple[int, int]) -> MaskArray:
    """Return the pixels whose centre is inside of an outline, by the even-odd rule.

    Each edge switches the pixels to its right, in the rows whose centre it crosses. This needs a
    byte per pixel; `skimage.draw.polygon` needs 16, which is too much for whole slides.

    Args:
        ring: Corners (x, y) in pixels.
        shape: Rows and columns.
    """
    rows, columns = shape
    start = ring - 0.5  # the centre of the first pixel becomes 0
    end = np.roll(start, -1, axis=0)
    lower, upper = np.minimum(start, end)[:, 1], np.maximum(start, end)[:, 1]
    first = np.ceil(lower).clip(0, rows).astype(int)
    counts = np.ceil(upper).clip(0, rows).astype(int) - first
    edges = np.repeat(np.arange(len(ring)), counts)
    crossed = np.arange(len(edges)) - np.repeat(np.cumsum(counts) - counts - first, counts)
    slopes = (end - start)[edges]
    x = start[edges, 0] + (crossed - start[edges, 1]) * slopes[:, 0] / slopes[:, 1]
    switches = np.zeros((rows, columns + 1), np.uint8)
    np.add.at(switches, (crossed, np.ceil(x).clip(0, columns).astype(int)), 1)
    np.add.accumulate(switches, axis=1, out=switches)  # modulo 256, which keeps odd numbers odd
    switches &= 1
    return switches[:, :-1].view(bool)


def _paint_runs(runs: Runs, labels: LabelArray, value: int) -> None:
    """Give the pixels of a mask a value.

    Raises:
        CaseError: If the run lengths do not fit the size of the mask.
    """
    shape = runs.shape or (labels.shape[0], labels.shape[1])
    pixels, total = shape[0] * shape[1], int(runs.counts.sum())
    if total != pixels or (runs.counts < 0).any():
        raise CaseError(
            f"the run lengths of a mask add up to {total} pixels, but it has {pixels}. Export the "
            "annotations again."
        )
    flat = np.repeat(np.arange(len(runs.counts)) % 2 == 1, runs.counts)
    mask = flat.reshape(shape[::-1]).T if runs.is_by_column else flat.reshape(shape)
    (top, left), (row, column) = runs.corner, (max(0, -corner) for corner in runs.corner)
    area = labels[max(0, top) : max(0, top + shape[0]), max(0, left) : max(0, left + shape[1])]
    area[mask[row:, column:][: area.shape[0], : area.shape[1]]] = value
