"""Describe images with shapes in annotation files as cases."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from autoseg.core.formatting import format_names
from autoseg.datasets.recognition.annotations.classes import name_classes
from autoseg.datasets.recognition.annotations.finding import FoundAnnotations, find_annotations
from autoseg.datasets.recognition.assembly import LabelParts
from autoseg.datasets.recognition.inventory import Inventory
from autoseg.datasets.recognition.label_forms import LabelForm
from autoseg.datasets.recognition.lists import listed_parts
from autoseg.datasets.recognition.patterns import PathPattern
from autoseg.datasets.recognition.recognised import RecognisedCases
from autoseg.datasets.recognition.tokens import Part
from autoseg.documents.dataset import CaseFiles, LayoutOptions


def choose_annotations(inventory: Inventory, options: LayoutOptions) -> FoundAnnotations:
    """Find the shapes in annotation files that patterns of labels fit, if they fit no image."""

    def chosen(paths: Iterable[PurePosixPath], texts: Sequence[str]) -> list[PurePosixPath]:
        patterns = [PathPattern(text) for text in texts]
        return [path for path in paths if any(one.match(path) is not None for one in patterns)]

    paths = [item.path for item in inventory.items]
    files = [] if chosen(paths, options.labels) else chosen(inventory.texts, options.labels)
    images = set(chosen(paths, options.images) if options.images else paths)
    items = [item for item in inventory.items if item.path in images]
    return find_annotations(replace(inventory, items=items), files)


def cases_of_annotations(found: FoundAnnotations, inventory: Inventory) -> RecognisedCases | None:
    """Return the cases of images that have shapes in annotation files; None without any."""
    annotated = [found.images[path] for path in sorted(found.images)]
    if not annotated:
        return None
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
    left = len(inventory.items) - len(annotated)
    unused = [f"{left} images without shapes left out"] if left else []
    return RecognisedCases(
        cases=(*training, *held_out),
        test_cases=tuple(cases[Part.TEST]),
        validation=tuple(case.name for case in held_out) if training else (),
        form=LabelForm("polygons", names=names),
        parts=parts,
        notes=(*notes, *found.notes, *unused),
        group_source=format_names([path.as_posix() for path in lists.group_sources]),
    )
