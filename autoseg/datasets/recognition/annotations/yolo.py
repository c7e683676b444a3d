"""YOLO segmentation: a text file per image, with a class and the corners of a polygon per row.

Corners are shares of the width and height of the image. Names of the classes are in a YAML file, or
one per line in a list such as `classes.txt`.

Source: docs.ultralytics.com/datasets/segment.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from autoseg.datasets.recognition.annotations.base import (
    BOXES,
    LINES,
    Annotation,
    AnnotationFormat,
)
from autoseg.datasets.recognition.annotations.shapes import Polygon, Shape, ring
from autoseg.datasets.recognition.inventory import Inventory

ROW = re.compile(
    r"\s*(?:\d+(?:[ \t]+-?[\d.]+(?:e[+-]?\d+)?){4,}[ \t]*(?:\r?\n|$)|$)", re.IGNORECASE
)
"""The first row of a file, if any."""

LISTS = ("classes.txt", "obj.names", "names.txt", "labels.txt")
"""Names of files with the name of a class in each line, lower case."""

TOLERANCE = 0.01
"""How far a corner may be outside of the image, as a share of its size."""


@dataclass(frozen=True)
class Rows:
    """A text file of rows with numbers.

    Attributes:
        text: The text.
        names: Name of each class number.
    """

    text: str
    names: dict[int, str]


def _read(content: Rows) -> Iterable[Annotation]:
    image = Annotation(is_relative=True)
    with image.entry():
        for row in content.text.splitlines():
            number, *corners = row.split() or [""]
            if len(corners) == 4:
                image.left_out[BOXES] += 1
            elif len(corners) < 6 or len(corners) % 2:
                image.left_out[LINES] += bool(corners)
            else:
                name = content.names.get(int(number), f"class_{int(number)}")
                image.shapes.append(Shape(name, (_polygon(corners),)))
    return (image,)


def _polygon(corners: list[str]) -> Polygon:
    outline = ring(list(zip(corners[::2], corners[1::2], strict=True)))
    if outline.min() < -TOLERANCE or outline.max() > 1 + TOLERANCE:
        raise ValueError("its corners are not shares of the width and height, from 0 to 1.")
    return Polygon(outline)


def class_names(inventory: Inventory) -> dict[int, str]:
    """Return the name of each class number; empty if no file names the classes."""
    paths = sorted((*inventory.texts, *inventory.others), key=lambda path: (len(path.parts), path))
    for path in paths:
        is_yaml, is_list = path.suffix.lower() in (".yaml", ".yml"), path.name.lower() in LISTS
        if is_yaml or is_list:
            text = (inventory.root / path).read_text(encoding="utf-8", errors="replace")
            names = _from_yaml(text) if is_yaml else text.splitlines()
            pairs = enumerate(names) if isinstance(names, list) else names.items()
            if found := {int(n): str(name).strip() for n, name in pairs if str(name).strip()}:
                return found
    return {}


def _from_yaml(text: str) -> dict[Any, Any] | list[Any]:
    """Return the `names` of a YAML file, as a list or by number."""
    import yaml

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return []
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and all(isinstance(number, int) for number in names):
        return names
    return names if isinstance(names, list) else []


YOLO = AnnotationFormat("YOLO", lambda content: isinstance(content, Rows), _read)
