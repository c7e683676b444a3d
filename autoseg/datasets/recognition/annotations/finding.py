"""Find the images of a folder that have shapes in annotation files."""

import codecs
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from xml.etree import ElementTree as ET

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_count, format_names
from autoseg.core.json_text import parse_json
from autoseg.datasets.recognition.annotations.asap import ASAP
from autoseg.datasets.recognition.annotations.base import (
    MALFORMED,
    SINGULARS,
    Annotation,
    AnnotationFormat,
    describe,
)
from autoseg.datasets.recognition.annotations.coco import COCO
from autoseg.datasets.recognition.annotations.cvat import CVAT
from autoseg.datasets.recognition.annotations.geojson import GEOJSON
from autoseg.datasets.recognition.annotations.imagescope import IMAGESCOPE
from autoseg.datasets.recognition.annotations.label_studio import LABEL_STUDIO
from autoseg.datasets.recognition.annotations.labelme import LABELME
from autoseg.datasets.recognition.annotations.matching import ImageIndex
from autoseg.datasets.recognition.annotations.supervisely import SUPERVISELY
from autoseg.datasets.recognition.annotations.via import VIA
from autoseg.datasets.recognition.annotations.yolo import ROW, YOLO, Rows, class_names
from autoseg.datasets.recognition.inventory import Inventory, Item
from autoseg.datasets.recognition.tokens import Part, path_tokens

FORMATS = (
    COCO,
    LABELME,
    GEOJSON,
    VIA,
    SUPERVISELY,
    LABEL_STUDIO,
    CVAT,
    IMAGESCOPE,
    ASAP,
    YOLO,
)
"""Formats, tried in this order."""

DAMAGED = AnnotationFormat("", lambda _: False, lambda _: ())
"""Stands for the format of a damaged file that is named after an image."""

JSON_MARKS = re.compile('"(' + "|".join({mark for one in FORMATS for mark in one.marks}) + ')"')
"""Keys and values of which a JSON file of annotations has one near its beginning."""

XML_ROOT = re.compile(
    r"\s*+(?>(?>(?><\?.*?\?>)|(?><!--.*?-->))\s*+)*+<(Annotations|ASAP_Annotations|annotations)\b",
    re.DOTALL,
)
"""The beginning of an XML file of annotations, up to the name of its first element."""

HEAD = 2**16
"""Number of bytes at the beginning of a file by which files without annotations are left out."""


@dataclass(frozen=True)
class AnnotatedImage:
    """The shapes of one image.

    Attributes:
        item: The image.
        source: File with the annotations, relative to the dataset.
        part: Part of the dataset that the file or the path of the image says.
        annotation: The shapes, in the order in which they are drawn.
        format: Format of the file.
    """

    item: Item
    source: PurePosixPath
    part: Part | None
    annotation: Annotation
    format: AnnotationFormat


@dataclass
class FoundAnnotations:
    """The images of a folder that have shapes, and what was left out.

    Attributes:
        images: The images, by path.
        left_out: Number of annotations that are not areas, by their kind.
        left_out_in: A file that has such annotations.
        absent: Annotated images that are not in the folder.
        unreadable: Annotated images whose format is not read.
        unlabelled: Images in annotation files that have no areas, but may show objects.
    """

    images: dict[PurePosixPath, AnnotatedImage] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    left_out_in: PurePosixPath | None = None
    absent: list[str] = field(default_factory=list)
    unreadable: list[PurePosixPath] = field(default_factory=list)
    unlabelled: set[PurePosixPath] = field(default_factory=set)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was left out."""
        kinds = [
            f"{count} {SINGULARS.get(kind, kind) if count == 1 else kind}"
            for kind, count in sorted(self.left_out.items())
        ]
        notes = [f"{', '.join(kinds)} left out, for example in {self.left_out_in}"] if kinds else []
        if self.unlabelled:
            notes.append(
                f"{format_count(len(self.unlabelled), 'image')} with boxes, lines or points only, "
                f"or not annotated yet, left out, for example {min(self.unlabelled)}; draw areas, "
                "or remove boxes, lines and points if there are no objects"
            )
        if self.unreadable:
            notes.append(
                f"{len(self.unreadable)} annotated images have a format that is not read, for "
                f"example {self.unreadable[0]}; convert them, for example to TIFF"
            )
        if self.absent:
            notes.append(
                f"{len(self.absent)} annotated images are not in the folder, or several have their "
                f"name: {format_names(self.absent, 3)}"
            )
        return tuple(notes)


def find_annotations(
    inventory: Inventory, files: Sequence[PurePosixPath] | None = None
) -> FoundAnnotations:
    """Find the images of a folder that have shapes in annotation files.

    Args:
        inventory: The content of the folder.
        files: Annotation files to use, relative to it; None for all.

    Raises:
        DatasetError: If two files annotate the same image, or a file of several images is damaged.
    """
    found = FoundAnnotations()
    reader = _Reader(inventory)
    for path in inventory.texts if files is None else files:
        read = reader.read(path)
        if read is None:
            continue
        form, annotations = read
        has_shapes = any(one.shapes or one.issue for one in annotations)
        for annotation in annotations:
            found.left_out += annotation.left_out
            if annotation.left_out:
                found.left_out_in = found.left_out_in or path
            if has_shapes or form.is_per_image:
                _add(found, reader, path, form, annotation)
    if not any(one.annotation.shapes or one.annotation.issue for one in found.images.values()):
        found.images.clear()
    found.unlabelled -= found.images.keys()
    return found


def _add(
    found: FoundAnnotations,
    reader: "_Reader",
    path: PurePosixPath,
    form: AnnotationFormat,
    annotation: Annotation,
) -> None:
    """Add the annotation of an image.

    Raises:
        DatasetError: If two files have shapes of the same image.
    """
    image = reader.image_of(path, form, annotation)
    if image is None:
        found.absent += [annotation.image or path.name] if annotation.shapes else []
        return
    if isinstance(image, PurePosixPath):
        found.unreadable.append(image)
        return
    if not annotation.has_labels:
        found.unlabelled.add(image.path)
        return
    if not form.is_layered:
        annotation.shapes.sort(key=lambda shape: -shape.area)
    parts = (
        annotation.part,
        path_tokens(path, path.stem).part,
        path_tokens(image.path, image.stem).part,
    )
    part = next((part for part in parts if part), None)
    other = found.images.get(image.path)
    if other is not None and other.annotation.shapes and annotation.shapes:
        raise DatasetError(
            f"{other.source} and {path} both annotate {image.path}. Choose the files to use with "
            f"--label, such as --label '{path}', or move one out of the dataset."
        )
    if other is None or annotation.shapes:
        found.images[image.path] = AnnotatedImage(image, path, part, annotation, form)


class _Reader:
    """Reads the annotation files of a folder."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._index = ImageIndex(inventory)

    @cached_property
    def _class_names(self) -> dict[int, str]:
        return class_names(self._inventory)

    def image_of(
        self, path: PurePosixPath, form: AnnotationFormat, annotation: Annotation
    ) -> Item | PurePosixPath | None:
        """Return the image of an annotation, or the path of one that cannot be read."""
        own = self._index.of_file(path) if form.is_per_image else None
        if not annotation.image or isinstance(own, Item):
            return own
        found = self._index.named(annotation.image, path)
        if found is None and annotation.alias:
            found = self._index.named(annotation.alias, path)
        return found or own

    def read(self, path: PurePosixPath) -> tuple[AnnotationFormat, list[Annotation]] | None:
        """Return the format and the annotations of a file; None if it has none.

        Raises:
            DatasetError: If a file that is not named after an image is damaged.
        """
        name = "annotations"
        try:
            content = self._content(path)
            form = next((one for one in FORMATS if one.holds(content)), None)
            if form is None:
                return None
            name = form.name
            return form, list(form.read(content))
        except (*MALFORMED, ET.ParseError, OSError, RecursionError) as error:
            issue = f"cannot be read as {name}: {_reason(error)}"
        if isinstance(self._index.of_file(path), Item):
            return DAMAGED, [Annotation(issue=f"it {issue}")]
        raise DatasetError(f"{path} {issue} Correct the file, or move it out of the dataset.")

    def _content(self, path: PurePosixPath) -> object:
        """Parse a file if its beginning looks like annotations; otherwise return None."""
        file, suffix = self._inventory.root / path, path.suffix.lower()
        with file.open("rb") as opened:
            head = _text(opened.read(HEAD))
        if suffix in (".json", ".geojson"):
            return parse_json(_text(file.read_bytes())) if JSON_MARKS.search(head) else None
        if suffix in (".xml", ".annotations"):
            return _xml(_text(file.read_bytes())) if XML_ROOT.match(head) else None
        if suffix == ".txt" and ROW.match(head) and isinstance(self._index.of_file(path), Item):
            return Rows(_text(file.read_bytes()), self._class_names)
        return None


def _xml(text: str) -> ET.Element | None:
    """Parse an XML file of annotations; return None for any other.

    Before its first element, such a file has no document type, which alone can define entities. So
    a file can neither read other files nor grow in memory.
    """
    return ET.fromstring(text) if XML_ROOT.match(text) else None


def _text(content: bytes) -> str:
    """Decode a text in UTF-8, UTF-16 or the usual encoding of Windows."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _reason(error: Exception) -> str:
    """Return a sentence on why a file cannot be read."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply."
    if isinstance(error, json.JSONDecodeError | ET.ParseError | OSError):
        return f"{error}."
    return describe(error)
