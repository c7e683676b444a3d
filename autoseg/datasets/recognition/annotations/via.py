"""VGG Image Annotator (VIA), versions 1 and 2: a JSON file with the regions of many images.

Source: github.com/ox-vgg/via; exported annotations and saved projects.
"""

from collections.abc import Iterable
from typing import Any

from autoseg.datasets.recognition.annotations.base import (
    BOXES,
    LINES,
    Annotation,
    AnnotationFormat,
)
from autoseg.datasets.recognition.annotations.shapes import Polygon, Ring, Shape, ellipse, ring
from autoseg.datasets.recognition.class_tables import NAME_WORDS
from autoseg.datasets.recognition.tokens import tokens


def _entries(content: object) -> list[Any]:
    """Return the entries of the images; empty if the content has another form."""
    if not isinstance(content, dict):
        return []
    images = content.get("_via_img_metadata", content)
    entries = list(images.values()) if isinstance(images, dict) else []
    is_via = all(isinstance(one, dict) and {"filename", "regions"} <= one.keys() for one in entries)
    return entries if is_via else []


def _holds(content: object) -> bool:
    return bool(_entries(content))


def _regions(entry: dict[str, Any]) -> list[dict[str, Any]]:
    regions = entry["regions"]  # a list from version 2 on
    return list(regions.values()) if isinstance(regions, dict) else regions


def _read(content: dict[str, Any]) -> Iterable[Annotation]:
    entries = _entries(content)
    attribute = _class_attribute(entries)
    for entry in entries:
        image = Annotation(str(entry["filename"]).replace("\\", "/"))
        with image.entry():
            for region in _regions(entry):
                name = _text((region.get("region_attributes") or {}).get(attribute))
                _add(region["shape_attributes"], name, image)
        yield image


def _class_attribute(entries: list[dict[str, Any]]) -> str:
    """Return the attribute of regions that is their class; empty if they have none.

    Raises:
        ValueError: If it is unclear which attribute it is.
    """
    given = [
        region.get("region_attributes") or {} for entry in entries for region in _regions(entry)
    ]
    names = sorted({name for one in given for name, value in one.items() if _text(value)})
    likely = [name for name in names if {*NAME_WORDS, "type"} & set(tokens(name))]
    if len(names) > 1 and len(likely) != 1:
        raise ValueError(
            f"its regions have the attributes {', '.join(names)}; expected one with the class. "
            "Remove the others, or name the class attribute class."
        )
    return next(iter(likely or names), "")


def _text(value: object) -> str:
    """Return the value of an attribute as text; check boxes are objects of true and false."""
    if isinstance(value, dict):
        return ", ".join(name for name, is_checked in value.items() if is_checked)
    return str(value).strip() if value else ""


def _add(marked: dict[str, Any], name: str, image: Annotation) -> None:
    outline = _outline(marked)
    if outline is None:
        image.left_out[BOXES if marked["name"] == "rect" else LINES] += 1
    else:
        image.shapes.append(Shape(name, (Polygon(outline),)))


def _outline(marked: dict[str, Any]) -> Ring | None:
    if marked["name"] == "polygon":
        return ring(list(zip(marked["all_points_x"], marked["all_points_y"], strict=True)))
    if marked["name"] not in ("circle", "ellipse"):
        return None
    radii = [float(marked.get(key, marked.get("r", 0))) for key in ("rx", "ry")]
    angle = float(marked.get("theta") or 0)
    return ellipse((float(marked["cx"]), float(marked["cy"])), (radii[0], radii[1]), angle)


VIA = AnnotationFormat(
    "VIA", _holds, _read, marks=("regions", "filename", "_via_settings"), is_per_image=False
)
