"""ASAP XML: polygons in groups, a file per image.

Source: `XmlRepository` of github.com/computationalpathologygroup/ASAP.
"""

from collections.abc import Iterable
from xml.etree.ElementTree import Element

from autoseg.datasets.recognition.annotations.base import LINES, Annotation, AnnotationFormat
from autoseg.datasets.recognition.annotations.shapes import Polygon, Shape, ring

AREAS = ("polygon", "rectangle", "spline")
"""Types of annotations that are areas, lower case."""


def _holds(content: object) -> bool:
    return isinstance(content, Element) and content.tag == "ASAP_Annotations"


def _read(root: Element) -> Iterable[Annotation]:
    image = Annotation()
    with image.entry():
        for entry in root.iter("Annotation"):
            points = sorted(entry.iter("Coordinate"), key=lambda one: float(one.get("Order") or 0))
            group = (entry.get("PartOfGroup") or "").strip()
            if (entry.get("Type") or "polygon").lower() not in AREAS or len(points) < 3:
                image.left_out[LINES] += 1
                continue
            corners = ring([(_number(one.attrib["X"]), _number(one.attrib["Y"])) for one in points])
            image.shapes.append(Shape("" if group == "None" else group, (Polygon(corners),)))
    return (image,)


def _number(text: str) -> float:
    return float(text.replace(",", "."))  # some languages write a decimal comma


ASAP = AnnotationFormat("ASAP XML", _holds, _read)
