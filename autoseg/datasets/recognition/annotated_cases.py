"""Describe images with shapes in annotation files as cases."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from warnings import catch_warnings

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_count, format_names
from autoseg.datasets.recognition.annotations.classes import name_classes
from autoseg.datasets.recognition.annotations.finding import FoundAnnotations, find_annotations
from autoseg.datasets.recognition.assembly import LabelParts
from autoseg.datasets.recognition.inventory import Inventory, Item
from autoseg.datasets.recognition.label_forms import LabelForm
from autoseg.datasets.recognition.lists import listed_parts
from autoseg.datasets.recognition.patterns import PathPattern
from autoseg.datasets.recognition.recognised import RecognisedCases
from autoseg.datasets.recognition.tokens import Part
from autoseg.documents.dataset import CaseFiles, LayoutOptions

ORIENTATION = 0x0112
"""Tag of the orientation in Exif (CIPA DC-008) and TIFF."""


def choose_annotations(inventory: Inventory, options: LayoutOptions) -> FoundAnnotations:
    """Find the shapes in annotation files that patterns of labels fit, if they fit no image.

    Raises:
        DatasetError: If such files hold no shapes.
    """

    def chosen(paths: Iterable[PurePosixPath], texts: Sequence[str]) -> list[PurePosixPath]:
        patterns = [PathPattern(text) for text in texts]
        return [path for path in paths if any(one.match(path) is not None for one in patterns)]

    paths = [item.path for item in inventory.items]
    files = [] if chosen(paths, options.labels) else chosen(inventory.texts, options.labels)
    images = set(chosen(paths, options.images) if options.images else paths)
    items = [item for item in inventory.items if item.path in images]
    found = find_annotations(replace(inventory, items=items), files)
    if files and not found.images:
        raise DatasetError(
            f"--label: no shapes of an image were found in {format_names(list(map(str, files)), 3)}"
            ". Expected a file of annotations, such as COCO JSON, or label images."
        )
    return found


def cases_of_annotations(
    found: FoundAnnotations, inventory: Inventory, options: LayoutOptions
) -> RecognisedCases | None:
    """Return the cases of images that have shapes in annotation files; None without any.

    Args:
        found: The images and their shapes.
        inventory: The content of the folder.
        options: What the user chose.

    Raises:
        DatasetError: If the user chose a form of label images.
    """
    annotated = [found.images[path] for path in sorted(found.images)]
    if not annotated:
        return None
    if options.mask is not None:
        raise DatasetError(
            f"the labels are shapes in annotation files, such as {annotated[0].source}, but --mask "
            f"{options.mask} says how label images store classes. Leave --mask out, or choose "
            "label images with --label."
        )
    items = [image.item for image in annotated]
    choices = (
        [item.stem for item in items],
        ["_".join((*item.path.parent.parts, item.stem)) for item in items],
        ["_".join(item.path.parts) for item in items],
    )
    stems = next((names for names in choices if len(set(names)) == len(items)), choices[-1])
    names, notes = name_classes(annotated)
    lists = listed_parts(inventory, stems)
    cases: dict[Part, list[CaseFiles]] = {part: [] for part in Part}
    parts = {}
    for image, name in zip(annotated, stems, strict=True):
        path, source = image.item.file(inventory.root), inventory.root / image.source
        parts[name] = LabelParts(name, ((1, source),), path, image.annotation)
        case = CaseFiles(name=name, images=(path,), labels=source, group=lists.groups.get(name))
        cases[lists.parts.get(name) or image.part or Part.TRAINING].append(case)
    training, held_out = cases[Part.TRAINING], cases[Part.VALIDATION]
    left = len(inventory.items) - len(annotated) - len(found.unlabelled)
    unused = [f"{format_count(left, 'image')} without shapes left out"] if left else []
    return RecognisedCases(
        cases=(*training, *held_out),
        test_cases=tuple(cases[Part.TEST]),
        validation=tuple(case.name for case in held_out) if training else (),
        form=LabelForm("polygons", names=names),
        parts=parts,
        notes=(*notes, *_turned(items, inventory.root), *found.notes, *unused),
        group_source=format_names([path.as_posix() for path in lists.group_sources]),
    )


def _turned(items: Sequence[Item], root: Path) -> list[str]:
    """Return a sentence on images that viewers show in another orientation than stored."""
    turned = [item.path for item in items if _is_turned(item.file(root))]
    if not turned:
        return []
    sentence = (
        f"{format_count(len(turned), 'image')} with an orientation tag, for example {turned[0]}: "
        "the shapes are drawn on the image as viewers show it, but some annotation programs show "
        "it as stored. Compare a label map with its image"
    )
    return [sentence]


def _is_turned(path: Path) -> bool:
    """Return True if a picture has an orientation tag other than that of stored order."""
    from PIL import Image

    try:
        with catch_warnings(action="ignore"), Image.open(path) as picture:
            if picture.format == "PNG" and "exif" not in picture.info:  # it would read the pixels
                return False
            return picture.getexif().get(ORIENTATION, 1) not in (0, 1)
    except (OSError, Image.DecompressionBombError):  # another format
        return False
