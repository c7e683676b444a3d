"""Label Studio JSON: tasks with polygons in percent of the image.

Source: PolygonLabels, EllipseLabels and BrushLabels at labelstud.io/tags.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from autoseg.datasets.recognition.annotations.base import (
    BOXES,
    LINES,
    Annotation,
    AnnotationFormat,
    size_of,
)
from autoseg.datasets.recognition.annotations.shapes import Polygon, Shape, ellipse, ring
from autoseg.readers import is_image_name

UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the names of uploaded files."""


def _tasks(content: object) -> list[Any]:
    return content if isinstance(content, list) else [content]


def _holds(content: object) -> bool:
    tasks = _tasks(content)
    return bool(tasks) and all(
        isinstance(task, dict) and isinstance(task.get("data"), dict) and "annotations" in task
        for task in tasks
    )


def _read(content: object) -> Iterable[Annotation]:
    for task in _tasks(content):
        path = _image_path(task["data"])
        image = Annotation(path, alias=UPLOADED.sub("", path.rpartition("/")[2]))
        with image.entry():
            made = [one for one in task["annotations"] if not one.get("was_cancelled")]
            if len(made) > 1:
                raise ValueError(f"it has {len(made)} annotations; expected one. Export one.")
            image.is_pending = not made
            for result in made[0]["result"] if made else ():
                _add(result, image)
        yield image


def _image_path(data: dict[str, Any]) -> str:
    """Return the path of the image in the data of a task."""
    for value in map(str, data.values()):
        address = urlsplit(value)
        path = unquote(parse_qs(address.query).get("d", [address.path])[0]).replace("\\", "/")
        if is_image_name(Path(path)):
            return path
    return ""


def _add(result: dict[str, Any], image: Annotation) -> None:
    kind, value = str(result.get("type")), result.get("value") or {}
    labels = value.get(kind)
    if not isinstance(labels, list) or kind in ("choices", "taxonomy"):
        return
    if result.get("image_rotation"):
        raise ValueError("the image was rotated for the annotation, which is not supported.")
    columns, rows = result["original_width"], result["original_height"]
    image.size = size_of(rows, columns)
    name = str(labels[0]) if labels else ""
    if kind == "polygonlabels":
        outline = ring(value["points"]) * (columns / 100, rows / 100)
        image.shapes.append(Shape(name, (Polygon(outline),)))
    elif kind == "ellipselabels":
        x, y = value["x"] * columns / 100, value["y"] * rows / 100
        radii = (value["radiusX"] * columns / 100, value["radiusY"] * rows / 100)
        outline = ellipse((x, y), radii, float(value.get("rotation") or 0))
        image.shapes.append(Shape(name, (Polygon(outline),)))
    elif kind == "brushlabels":
        raise ValueError("brush masks are not read; export them from Label Studio as PNG.")
    else:
        image.left_out[BOXES if kind == "rectanglelabels" else LINES] += 1


LABEL_STUDIO = AnnotationFormat(
    "Label Studio", _holds, _read, marks=("annotations", "result"), is_per_image=False
)
