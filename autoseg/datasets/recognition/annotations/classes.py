"""Name the classes of shapes, and describe what is drawn."""

from collections.abc import Sequence
from dataclasses import replace

from autoseg.core.formatting import format_count, format_names
from autoseg.datasets.recognition.annotations.base import BACKGROUND
from autoseg.datasets.recognition.annotations.finding import AnnotatedImage
from autoseg.datasets.recognition.annotations.shapes import Polygon, Shape

OBJECT = "object"
"""Name of the class if no shape has one."""


def name_classes(images: Sequence[AnnotatedImage]) -> tuple[dict[int, str], list[str]]:
    """Return the name of each value, and sentences on the shapes.

    If some shapes have a class, those without one are removed from the images: they may be regions
    of interest.

    Args:
        images: The images; their shapes are changed.
    """
    shapes = [shape for image in images for shape in image.annotation.shapes]
    names = sorted({shape.name for shape in shapes} - {""})
    unnamed = [shape for shape in shapes if not shape.name]
    for image in images if unnamed else ():
        drawn = image.annotation.shapes
        image.annotation.shapes = (
            [shape for shape in drawn if shape.name]
            if names
            else [replace(shape, name=OBJECT) for shape in drawn]
        )
    classes = [name for name in names if name.lower() != BACKGROUND]
    values = {0: BACKGROUND} | dict(enumerate(classes if names else [OBJECT], start=1))
    drawn_shapes = [shape for image in images for shape in image.annotation.shapes]
    return values, [_drawn(images, len(drawn_shapes)), *_doubts(drawn_shapes, unnamed, names)]


def _drawn(images: Sequence[AnnotatedImage], number: int) -> str:
    known = [image.format for image in images if image.format.name]
    formats = format_names(sorted({form.name for form in known}))
    files = sorted({image.source.as_posix() for image in images})
    order = "later" if all(form.is_layered for form in known) else "smaller"
    return (
        f"{format_count(number, 'shape')} drawn as label maps, from {formats} in "
        f"{format_names(files, 3)}; where shapes overlap, the {order} one is kept"
    )


def _doubts(drawn: Sequence[Shape], unnamed: Sequence[Shape], names: Sequence[str]) -> list[str]:
    """Return sentences on shapes without a class, and on shapes that may be boxes."""
    notes = []
    if unnamed and names:
        notes.append(
            f"{format_count(len(unnamed), 'shape')} without a class left out, since others have "
            "one; they may be regions of interest. What no other shape covers is background"
        )
    elif unnamed:
        notes.append(f"the shapes have no class; all are the class {OBJECT}")
    if drawn and all(map(_is_box, drawn)):
        notes.append("all shapes are rectangles, which may be boxes around objects, not outlines")
    return notes


def _is_box(shape: Shape) -> bool:
    return shape.runs is None and all(map(_is_rectangle, shape.polygons))


def _is_rectangle(polygon: Polygon) -> bool:
    """Return True for four corners, the first of which may be repeated, at two x and two y."""
    corners = {(float(x), float(y)) for x, y in polygon.outline}
    sides = [len(set(values)) for values in zip(*corners, strict=True)]
    return len(corners) == 4 and sides == [2, 2]
