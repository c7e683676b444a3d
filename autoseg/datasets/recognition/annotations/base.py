"""What a file says about an image, and the interface of annotation formats."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from autoseg.datasets.recognition.annotations.shapes import Shape
from autoseg.datasets.recognition.tokens import Part

MALFORMED = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)
"""Errors of files whose entries are not as their format has them."""

BOXES = "boxes"
LINES = "lines and points"
"""Kinds of annotations that are not areas."""

SINGULARS = {
    BOXES: "box",
    LINES: "line or point",
    "annotations without an outline": "annotation without an outline",
    "regions around cells": "region around cells",
    "tiles and cores": "tile or core",
    "tracks of a video": "track of a video",
}
"""What one annotation of a kind is called."""

BACKGROUND = "background"
"""Name of the class whose shapes are drawn as background."""


@dataclass
class Annotation:
    """The shapes of one image.

    Attributes:
        image: Path of the image as the file gives it; empty if the file is named after the image.
        alias: Another name that the image may have; empty if there is none.
        size: Rows and columns of the image as the file gives them.
        part: Part of the dataset that the file gives.
        is_relative: Whether coordinates are shares of the width and height of the image.
        is_pending: Whether the image has not been annotated yet.
        shapes: The shapes.
        left_out: Number of annotations that are not areas, by their kind.
        issue: Sentence on an entry that cannot be read; empty if there is none.
    """

    image: str = ""
    alias: str = ""
    size: tuple[int, int] | None = None
    part: Part | None = None
    is_relative: bool = False
    is_pending: bool = False
    shapes: list[Shape] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    issue: str = ""

    @property
    def has_labels(self) -> bool:
        """Whether the image can be a case; without any annotations, it is background.

        If all annotations were left out, it shows objects whose areas are unknown.
        """
        return bool(self.shapes or self.issue) or not (self.left_out or self.is_pending)

    @contextmanager
    def entry(self) -> Iterator[None]:
        """Turn the error of a malformed entry into the issue of this image."""
        try:
            yield
        except MALFORMED as error:
            self.issue = describe(error)


@dataclass(frozen=True)
class AnnotationFormat:
    """A format of annotation files.

    Attributes:
        name: Name for messages.
        holds: Whether parsed content is of this format: an object or list of a JSON file, the root
            element of an XML file, or the rows of a text file.
        read: Yields the annotations in such content.
        marks: Keys or values of which a JSON file has one near its beginning.
        is_per_image: Whether a file is named after its image.
        is_layered: Whether later shapes cover earlier ones, otherwise smaller ones cover larger
            ones.
    """

    name: str
    holds: Callable[[Any], bool]
    read: Callable[[Any], Iterable[Annotation]]
    marks: tuple[str, ...] = ()
    is_per_image: bool = True
    is_layered: bool = False


def describe(error: Exception) -> str:
    """Return a sentence on a malformed entry."""
    if isinstance(error, KeyError):
        return f"an entry lacks {error}."
    text = str(error)
    return (
        text if isinstance(error, ValueError) and text.endswith(".") else "an entry is malformed."
    )


def size_of(rows: object, columns: object) -> tuple[int, int] | None:
    """Return the size of an image, or None unless both are positive numbers."""
    sizes = [int(size) for size in (rows, columns) if isinstance(size, int | float) and size > 0]
    return (sizes[0], sizes[1]) if len(sizes) == 2 else None
