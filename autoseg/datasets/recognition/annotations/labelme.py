"""labelme JSON: a file of shapes next to each image; later ones cover earlier ones.

Source: `labelme.utils.shape` of github.com/wkentaro/labelme.
"""

from base64 import b64decode
from collections.abc import Iterable
from math import dist
from typing import Any

from autoseg.datasets.recognition.annotations.base import (
    LINES,
    Annotation,
    AnnotationFormat,
    size_of,
)
from autoseg.datasets.recognition.annotations.shapes import (
    Polygon,
    Shape,
    ellipse,
    mask_of_png,
    rectangle,
    ring,
    runs_of,
)


def _holds(content: object) -> bool:
    return isinstance(content, dict) and isinstance(content.get("shapes"), list)


def _read(content: dict[str, Any]) -> Iterable[Annotation]:
    size = size_of(content.get("imageHeight"), content.get("imageWidth"))
    image = Annotation(str(content.get("imagePath") or "").replace("\\", "/"), size=size)
    with image.entry():
        for entry in content["shapes"]:
            _add(entry, image)
    return (image,)


def _add(entry: dict[str, Any], image: Annotation) -> None:
    name, kind = str(entry.get("label") or ""), entry.get("shape_type") or "polygon"
    points = entry.get("points", [])
    if kind == "mask":
        (left, top), *_ = points
        mask = mask_of_png(b64decode(entry["mask"]))
        image.shapes.append(Shape(name, runs=runs_of(mask, (round(top), round(left)))))
    elif kind == "rectangle" and len(points) == 2:
        image.shapes.append(Shape(name, (Polygon(rectangle(points)),)))
    elif kind == "circle" and len(points) == 2:
        radius = dist(*points)
        image.shapes.append(Shape(name, (Polygon(ellipse(points[0], (radius, radius))),)))
    elif kind in ("polygon", "rectangle", "oriented_rectangle") and len(points) > 2:
        image.shapes.append(Shape(name, (Polygon(ring(points)),)))
    else:
        image.left_out[LINES] += 1


LABELME = AnnotationFormat("labelme", _holds, _read, marks=("shapes", "imageData"), is_layered=True)
