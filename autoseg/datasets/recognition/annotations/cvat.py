"""CVAT for images 1.1: an XML file with the polygons and masks of many images.

Source: XML annotation format, version 1.1, at docs.cvat.ai.
"""

from collections import Counter
from collections.abc import Iterable
from xml.etree.ElementTree import Element

import numpy as np

from autoseg.datasets.recognition.annotations.base import (
    BOXES,
    LINES,
    Annotation,
    AnnotationFormat,
)
from autoseg.datasets.recognition.annotations.shapes import Polygon, Runs, Shape, ellipse, ring
from autoseg.datasets.recognition.tokens import PART_WORDS, tokens

NOT_AREAS = {
    **dict.fromkeys(("box", "cuboid"), BOXES),
    **dict.fromkeys(("polyline", "points", "skeleton"), LINES),
}
"""Elements that are not areas."""


def _holds(content: object) -> bool:
    if not isinstance(content, Element) or content.tag != "annotations":
        return False
    return any(content.find(kind) is not None for kind in ("image", "track"))


def _read(root: Element) -> Iterable[Annotation]:
    tracks = len(root.findall("track"))
    yield Annotation(left_out=Counter({"tracks of a video": tracks} if tracks else {}))
    for entry in root.iterfind("image"):
        part = next(
            (PART_WORDS[t] for t in tokens(entry.get("subset", "")) if t in PART_WORDS), None
        )
        image = Annotation(entry.attrib["name"], part=part)
        with image.entry():
            image.size = int(entry.attrib["height"]), int(entry.attrib["width"])
            for mark in sorted(entry, key=lambda one: int(one.get("z_order") or 0)):
                _add(mark, image)
        yield image


def _add(mark: Element, image: Annotation) -> None:
    name = mark.get("label") or ""
    if mark.tag in NOT_AREAS:
        image.left_out[NOT_AREAS[mark.tag]] += 1
    elif mark.tag == "polygon":
        points = [point.split(",") for point in mark.attrib["points"].split(";")]
        image.shapes.append(Shape(name, (Polygon(ring(points)),)))
    elif mark.tag == "ellipse":
        x, y, width, height = (float(mark.attrib[key]) for key in ("cx", "cy", "rx", "ry"))
        outline = ellipse((x, y), (width, height), float(mark.get("rotation") or 0))
        image.shapes.append(Shape(name, (Polygon(outline),)))
    elif mark.tag == "mask":
        top, left, rows, columns = (int(mark.attrib[k]) for k in ("top", "left", "height", "width"))
        counts = np.asarray([int(count) for count in mark.attrib["rle"].split(",")], np.int64)
        image.shapes.append(Shape(name, runs=Runs(counts, (rows, columns), (top, left))))


CVAT = AnnotationFormat("CVAT XML", _holds, _read, is_per_image=False, is_layered=True)
