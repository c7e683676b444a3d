"""COCO JSON: polygons and run lengths of many images in one file.

Source: Lin et al., Microsoft COCO, ECCV 2014; format data at cocodataset.org.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from autoseg.core.formatting import format_shape
from autoseg.datasets.recognition.annotations.base import (
    BOXES,
    Annotation,
    AnnotationFormat,
    size_of,
)
from autoseg.datasets.recognition.annotations.shapes import Polygon, Runs, Shape, ring


def _holds(content: object) -> bool:
    return isinstance(content, dict) and "annotations" in content and "images" in content


def _read(content: dict[str, Any]) -> Iterable[Annotation]:
    names = {str(entry["id"]): str(entry["name"]) for entry in content.get("categories", [])}
    images = {
        str(image["id"]): Annotation(  # some programs write ids as text in one of the lists
            str(image["file_name"]).replace("\\", "/"),
            size=size_of(image.get("height"), image.get("width")),
        )
        for image in content["images"]
    }
    if len(images) < len(content["images"]):
        raise ValueError("several of its images have the same id.")
    entries = content["annotations"]
    for entry in entries.values() if isinstance(entries, dict) else entries:
        image = images.get(str(entry["image_id"]))
        if image is None:
            raise ValueError(f"an annotation has the image_id {entry['image_id']!r} of no image.")
        with image.entry():
            _add(entry, image, names)
    return images.values()


def _add(entry: dict[str, Any], image: Annotation, names: dict[str, str]) -> None:
    segmentation = entry.get("segmentation")
    number = str(entry.get("category_id"))
    name = names.get(number, number)
    if not segmentation:
        image.left_out[BOXES if entry.get("bbox") else "annotations without an outline"] += 1
    elif isinstance(segmentation, dict):
        counts = segmentation["counts"]
        counts = decoded_runs(counts) if isinstance(counts, str) else counts
        size = size_of(*segmentation.get("size", (None, None)))
        image.size = image.size or size
        if size and image.size and size != image.size:
            raise ValueError(
                f"a mask has {format_shape(size)} pixels, but its image has "
                f"{format_shape(image.size)}."
            )
        runs = Runs(np.asarray(counts, np.int64), is_by_column=True)
        image.shapes.append(Shape(name, runs=runs))
    else:
        rings = [ring(list(zip(one[::2], one[1::2], strict=True))) for one in segmentation]
        image.shapes.append(Shape(name, tuple(map(Polygon, rings))))


def decoded_runs(text: str) -> list[int]:
    """Decode the run lengths of a compressed COCO mask.

    Each number has 5 bits per character, least first, from the character `0` on; bit 6 continues.
    From the third number on, the one before the last is added. Source: `rleFrString` of the COCO
    API.
    """
    runs: list[int] = []
    number = shift = 0
    for character in text:
        code = ord(character) - 48
        number |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    return runs


COCO = AnnotationFormat(
    "COCO", _holds, _read, marks=("images", "annotations", "categories"), is_per_image=False
)
