"""Read labels that are drawn as polygons: COCO JSON and labelme JSON."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import cos, pi, sin
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from autoseg.core.arrays import LabelArray, MaskArray
from autoseg.core.errors import CaseError, DatasetError
from autoseg.datasets.recognition.inventory import Inventory, Item
from autoseg.datasets.recognition.tokens import Part, path_tokens

CIRCLE_POINTS = 64
"""Corners of the polygon that replaces a circle."""

Ring = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Shape:
    """One annotation: polygons of a class, or the run lengths of a mask.

    Attributes:
        name: Name of the class.
        rings: Corners (x, y) in pixels from the upper left corner of the image; the first pixel
            reaches from 0 to 1.
        runs: Lengths of alternating runs of background and foreground, column by column.
    """

    name: str
    rings: tuple[Ring, ...] = ()
    runs: tuple[int, ...] = ()


@dataclass
class AnnotatedImage:
    """The shapes of one image.

    Attributes:
        item: The image.
        source: File with the annotations, relative to the dataset.
        part: Part of the dataset that the name of this file says.
        shapes: The shapes; later ones cover earlier ones.
    """

    item: Item
    source: PurePosixPath
    part: Part | None
    shapes: list[Shape] = field(default_factory=list)


def find_annotations(inventory: Inventory) -> list[AnnotatedImage]:
    """Return the images of a folder that have shapes in a JSON file, sorted by path.

    Raises:
        DatasetError: If two files annotate the same image.
    """
    found: dict[PurePosixPath, AnnotatedImage] = {}
    by_name: dict[str, list[Item]] = defaultdict(list)
    for item in inventory.items:
        by_name[item.path.name].append(item)
    for path in inventory.texts:
        if path.suffix.lower() != ".json":
            continue
        content = _content(inventory.root / path)
        if "annotations" in content and "images" in content:
            images = _coco(content, path, by_name)
        elif isinstance(content.get("shapes"), list):
            images = _labelme(content, path, inventory.items)
        else:
            continue
        for image in images:
            other = found.setdefault(image.item.path, image)
            if other is not image:
                raise DatasetError(
                    f"{other.source} and {path} both annotate {image.item.path}. Move one of these "
                    "files out of the dataset."
                )
    return [found[path] for path in sorted(found)]


def _content(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty if there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _coco(
    content: dict[str, Any], path: PurePosixPath, by_name: dict[str, list[Item]]
) -> Iterator[AnnotatedImage]:
    """Yield the images of a COCO file that are in the dataset.

    Source: Lin et al., Microsoft COCO, ECCV 2014; format data at cocodataset.org.
    """
    names = {entry["id"]: str(entry["name"]) for entry in content.get("categories", [])}
    shapes: dict[Any, list[tuple[float, Shape]]] = defaultdict(list)
    entries = content["annotations"]
    for entry in entries.values() if isinstance(entries, dict) else entries:
        shape = _coco_shape(entry, names)
        if shape is not None:
            shapes[entry["image_id"]].append((float(entry.get("area", 0)), shape))
    part = path_tokens(path, path.stem).part
    for image in content["images"]:
        item = _matching(PurePosixPath(str(image["file_name"]).replace("\\", "/")), by_name)
        if item is not None:
            ordered = sorted(shapes[image["id"]], key=lambda pair: -pair[0])
            yield AnnotatedImage(item, path, part, [shape for _, shape in ordered])


def _coco_shape(entry: dict[str, Any], names: dict[Any, str]) -> Shape | None:
    segmentation = entry.get("segmentation")
    name = names.get(entry.get("category_id"), str(entry.get("category_id")))
    if isinstance(segmentation, dict):
        counts = segmentation["counts"]
        return Shape(name, runs=tuple(counts if isinstance(counts, list) else decoded_runs(counts)))
    if not segmentation:
        return None
    return Shape(
        name, tuple(tuple(zip(ring[::2], ring[1::2], strict=True)) for ring in segmentation)
    )


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


def _matching(path: PurePosixPath, by_name: dict[str, list[Item]]) -> Item | None:
    """Return the image whose path ends with the given one."""
    items = by_name.get(path.name, [])
    exact = [item for item in items if item.path.parts[-len(path.parts) :] == path.parts]
    chosen = exact or items
    return chosen[0] if len(chosen) == 1 else None


def _labelme(
    content: dict[str, Any], path: PurePosixPath, items: Sequence[Item]
) -> Iterator[AnnotatedImage]:
    """Yield the image of a labelme file: the one of the same stem, or the one that it names."""
    named = path.parent / str(content.get("imagePath", "")).replace("\\", "/")
    item = next((item for item in items if item.path == named), None)
    item = item or next(
        (i for i in items if (i.path.parent, i.stem) == (path.parent, path.stem)), None
    )
    if item is None:
        return
    shapes = [shape for entry in content["shapes"] if (shape := _labelme_shape(entry)) is not None]
    yield AnnotatedImage(item, path, path_tokens(path, path.stem).part, shapes)


def _labelme_shape(entry: dict[str, Any]) -> Shape | None:
    """Return a polygon, rectangle or circle; None for points and lines, which have no area."""
    points: Ring = tuple((float(x), float(y)) for x, y in entry.get("points", []))
    kind = entry.get("shape_type") or "polygon"
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        points = ((left, top), (right, top), (right, bottom), (left, bottom))
    elif kind == "circle" and len(points) == 2:
        (x, y), (edge_x, edge_y) = points
        radius = float(np.hypot(edge_x - x, edge_y - y))
        angles = [2 * pi * number / CIRCLE_POINTS for number in range(CIRCLE_POINTS)]
        points = tuple((x + radius * cos(angle), y + radius * sin(angle)) for angle in angles)
    elif kind != "polygon":
        return None
    return Shape(str(entry.get("label", "object")), (points,)) if len(points) > 2 else None


def draw_shapes(
    shapes: Sequence[Shape], values: dict[str, int], shape: tuple[int, int]
) -> LabelArray:
    """Draw shapes as a label map; a pixel belongs to a polygon if its centre does.

    Args:
        shapes: The shapes; later ones cover earlier ones.
        values: Value of each class.
        shape: Rows and columns of the label map.
    """
    labels: LabelArray = np.zeros(shape, np.min_scalar_type(max(values.values())))
    for one in shapes:
        for ring in one.rings:
            labels[_filled(ring, shape)] = values.get(one.name, 0)
        if one.runs:
            labels[_from_runs(one.runs, shape)] = values.get(one.name, 0)
    return labels


def _filled(ring: Ring, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    from skimage.draw import polygon

    corners = np.asarray(ring, float) - 0.5  # from corners of pixels to their centres
    rows, columns = polygon(corners[:, 1], corners[:, 0], shape)
    return rows, columns


def _from_runs(runs: Sequence[int], shape: tuple[int, int]) -> MaskArray:
    rows, columns = shape
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    if flat.size != rows * columns:
        raise CaseError(
            f"the run lengths of a mask add up to {flat.size} pixels, but its image has "
            f"{rows * columns}. Export the annotations again."
        )
    return flat.reshape(columns, rows).T
