"""Aperio ImageScope XML, which HALO writes as well: layers of regions, with holes as regions.

Source: files of ImageScope; the types of regions as read by github.com/girder/slicer_cli_web and
HistomicsTK.
"""

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element

from autoseg.datasets.recognition.annotations.base import LINES, Annotation, AnnotationFormat
from autoseg.datasets.recognition.annotations.shapes import (
    Polygon,
    Ring,
    Shape,
    ellipse,
    rectangle,
    ring,
)

POLYGONS, RECTANGLES, ELLIPSES = ("0", "polygon"), ("1", "rectangle"), ("2", "ellipse")
"""Types of regions that are areas, lower case; the others are arrows and rulers."""


def _holds(content: object) -> bool:
    return isinstance(content, Element) and content.tag == "Annotations"


def _read(root: Element) -> Iterable[Annotation]:
    image = Annotation()
    with image.entry():
        for layer in root.iter("Annotation"):
            _add(layer, image)
    return (image,)


def _add(layer: Element, image: Annotation) -> None:
    name = _layer_name(layer)
    outlines, holes = [], []
    for region in layer.iter("Region"):
        outline = _outline(region)
        if outline is None:
            image.left_out[LINES] += 1
        elif region.get("NegativeROA") == "1":
            holes.append(Polygon(outline))
        else:
            outlines.append(Polygon(outline))
    for polygon in outlines:
        inner = tuple(hole.outline for hole in holes if _may_contain(polygon, hole))
        image.shapes.append(Shape(name, (Polygon(polygon.outline, inner),)))


def _may_contain(polygon: Polygon, hole: Polygon) -> bool:
    """Return True if a hole is smaller than a polygon and their bounding boxes overlap."""
    outer, inner = polygon.outline, hole.outline
    overlaps = (outer.min(axis=0) < inner.max(axis=0)) & (inner.min(axis=0) < outer.max(axis=0))
    return hole.area < polygon.area and bool(overlaps.all())


def _layer_name(layer: Element) -> str:
    """Return the name of a layer, of its attribute, or its colour."""
    attributes: Sequence[Element] = layer.findall("Attributes/Attribute")
    described = [
        one.get("Value") if one.get("Name") == "Description" else one.get("Name")
        for one in attributes
    ]
    name = next((text for text in (layer.get("Name"), *described) if text and text.strip()), None)
    if name is not None:
        return name.strip()
    colour = int(layer.get("LineColor") or 0)  # blue, green, red from the highest byte on
    return f"#{colour & 255:02x}{colour >> 8 & 255:02x}{colour >> 16 & 255:02x}"


def _outline(region: Element) -> Ring | None:
    """Return the outline of a region; None for lines and points."""
    kind = (region.get("Type") or "0").lower()
    vertices = [(float(v.attrib["X"]), float(v.attrib["Y"])) for v in region.iterfind("Vertices/*")]
    if kind in ELLIPSES and len(vertices) > 1:
        corners = rectangle(vertices)
        (left, top), (right, bottom) = corners[0], corners[2]
        radii = ((right - left) / 2, (bottom - top) / 2)
        return ellipse(((left + right) / 2, (top + bottom) / 2), radii)
    if kind in RECTANGLES and len(vertices) == 2:
        return rectangle(vertices)
    return ring(vertices) if kind in POLYGONS + RECTANGLES and len(vertices) > 2 else None


IMAGESCOPE = AnnotationFormat("ImageScope XML", _holds, _read)
