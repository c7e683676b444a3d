"""Supervisely JSON: a file per image, with polygons and compressed bitmaps as layers.

Source: Annotation JSON format, objects, at developer.supervisely.com.
"""

import zlib
from base64 import b64decode
from collections.abc import Iterable
from typing import Any

from autoseg.datasets.recognition.annotations.base import (
    BOXES,
    LINES,
    Annotation,
    AnnotationFormat,
    size_of,
)
from autoseg.datasets.recognition.annotations.shapes import (
    Polygon,
    Shape,
    mask_of_png,
    ring,
    runs_of,
)

LARGEST_BITMAP = 2**28
"""Size of an unpacked bitmap file, bytes, above which it is not read."""


def _holds(content: object) -> bool:
    if not isinstance(content, dict) or not isinstance(content.get("objects"), list):
        return False
    return isinstance(content.get("size"), dict)


def _read(content: dict[str, Any]) -> Iterable[Annotation]:
    size = content["size"]
    image = Annotation(size=size_of(size.get("height"), size.get("width")))
    with image.entry():
        for entry in content["objects"]:
            _add(entry, image)
    return (image,)


def _add(entry: dict[str, Any], image: Annotation) -> None:
    name = str(entry.get("classTitle") or "")
    kind = entry.get("geometryType") or ("bitmap" if entry.get("bitmap") else "polygon")
    if kind == "bitmap":
        left, top = entry["bitmap"]["origin"]
        mask = mask_of_png(_unpacked(entry["bitmap"]["data"]))
        image.shapes.append(Shape(name, runs=runs_of(mask, (int(top), int(left)))))
    elif kind == "polygon":
        points = entry["points"]
        holes = tuple(map(ring, points.get("interior") or []))
        image.shapes.append(Shape(name, (Polygon(ring(points["exterior"]), holes),)))
    else:
        image.left_out[BOXES if kind == "rectangle" else LINES] += 1


def _unpacked(text: str) -> bytes:
    """Return the PNG file in a bitmap.

    Raises:
        ValueError: If it is damaged or too large.
    """
    decompressor = zlib.decompressobj()
    try:
        data = decompressor.decompress(b64decode(text), LARGEST_BITMAP)
    except zlib.error as error:
        raise ValueError(f"a bitmap is damaged: {error}.") from error
    if decompressor.unconsumed_tail:
        raise ValueError("a bitmap is too large.")
    return data


SUPERVISELY = AnnotationFormat("Supervisely", _holds, _read, marks=("objects",), is_layered=True)
