"""QuPath GeoJSON: a file of annotations or cells per image, in pixels of the full resolution.

Other GeoJSON files have geographical coordinates and are not read.

Source: `PathObjectTypeAdapters` of github.com/qupath/qupath; RFC 7946 for the geometries.
"""

from collections.abc import Iterable
from typing import Any

from autoseg.datasets.recognition.annotations.base import (
    BACKGROUND,
    LINES,
    Annotation,
    AnnotationFormat,
)
from autoseg.datasets.recognition.annotations.shapes import Polygon, Shape, ring

OBJECT_KEYS = ("objectType", "object_type", "classification", "isLocked")
"""Properties of which an object of QuPath has at least one."""

CONTAINERS = ("tile", "tma", "root")
"""Types of objects that divide an image and do not mark a class."""

IGNORED = "*"
"""End of the names of classes that QuPath does not measure, such as `Ignore*`."""

REGION = "region*"
"""QuPath's class of regions that hold other annotations, lower case."""


def _features(content: object) -> list[Any]:
    if isinstance(content, dict):
        is_collection = content.get("type") == "FeatureCollection"
        content = content.get("features") if is_collection else [content]
    return content if isinstance(content, list) else []


def _holds(content: object) -> bool:
    kinds = {one.get("type") if isinstance(one, dict) else None for one in _features(content)}
    is_collection = isinstance(content, dict) and content.get("type") == "FeatureCollection"
    return kinds == {"Feature"} or (is_collection and not kinds)


def _is_of_qupath(feature: dict[str, Any]) -> bool:
    return any(key in (feature.get("properties") or {}) for key in OBJECT_KEYS)


def _read(content: object) -> Iterable[Annotation]:
    image = Annotation()
    features = _features(content)
    found: list[tuple[Shape, bool]] = []
    with image.entry():
        if features and not any(map(_is_of_qupath, features)):
            raise ValueError("its objects are not those of QuPath, but may be geographical.")
        for feature in features:
            properties = feature.get("properties") or {}
            kinds = (properties.get("objectType"), properties.get("object_type"), feature.get("id"))
            kind = str(next(filter(None, kinds), "")).lower()
            shape = _shape(feature.get("geometry") or {}, _class_name(properties))
            if any(word in kind for word in CONTAINERS):
                image.left_out["tiles and cores"] += 1
            elif shape is None:
                image.left_out[LINES] += 1
            else:
                found.append((shape, "detection" in kind or "cell" in kind))
    has_cells = any(is_cell for _, is_cell in found)
    for shape, is_cell in found:
        if has_cells and not is_cell and not shape.name:  # where cells were detected
            image.left_out["regions around cells"] += 1
        else:
            image.shapes.append(shape)
    return (image,)


def _class_name(properties: dict[str, Any]) -> str:
    """Return the name of a class; classes with `*` are background, or regions without a class."""
    found = properties.get("classification") or {}
    found = found.get("name") or found.get("names") or "" if isinstance(found, dict) else found
    name = ": ".join(map(str, found)) if isinstance(found, list) else str(found)
    if name.lower() in (REGION, "unclassified"):
        return ""
    return BACKGROUND if name.endswith(IGNORED) else name


def _shape(geometry: dict[str, Any], name: str) -> Shape | None:
    """Return a shape; None for lines, points, and objects on other planes of a stack."""
    kind, plane = geometry.get("type"), geometry.get("plane") or {}
    if kind not in ("Polygon", "MultiPolygon") or plane.get("z") or plane.get("t"):
        return None
    polygons = geometry["coordinates"] if kind == "MultiPolygon" else [geometry["coordinates"]]
    rings = [list(map(ring, polygon)) for polygon in polygons]
    return Shape(name, tuple(Polygon(one[0], tuple(one[1:])) for one in rings if one))


GEOJSON = AnnotationFormat("QuPath GeoJSON", _holds, _read, marks=("Feature", "FeatureCollection"))
