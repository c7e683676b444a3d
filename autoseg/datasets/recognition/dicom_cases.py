"""Pair DICOM series with the segmentations and structure sets that reference them."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from autoseg.core.errors import CaseError, DatasetError
from autoseg.core.formatting import format_count, format_names
from autoseg.datasets.recognition.assembly import LabelParts
from autoseg.datasets.recognition.dicom_labels import Segmentation, read_segmentation
from autoseg.datasets.recognition.inventory import HEADERS, Inventory, Item, modality_of
from autoseg.datasets.recognition.label_forms import LabelForm
from autoseg.datasets.recognition.patterns import PathPattern
from autoseg.datasets.recognition.recognised import RecognisedCases
from autoseg.datasets.recognition.tokens import Part, path_tokens
from autoseg.documents.dataset import CaseFiles, LayoutOptions, is_valid_folder_name
from autoseg.readers.dicom_series import SeriesFile

MOST_NOTES = 5
"""Most segmentations that are left out and listed."""


@dataclass(frozen=True)
class SegmentedSeries:
    """A DICOM series and its segmentations, which have different classes.

    Attributes:
        item: The series.
        segmentations: The segmentations, sorted by path.
    """

    item: Item
    segmentations: tuple[Segmentation, ...]


def choose_segmentations(inventory: Inventory, patterns: Sequence[str]) -> list[SeriesFile]:
    """Return the segmentations and structure sets whose paths fit patterns; none without any."""
    return [
        header
        for header in inventory.segmentations
        if patterns and _fits(_relative(header, inventory), patterns)
    ]


def _relative(header: SeriesFile, inventory: Inventory) -> PurePosixPath:
    return PurePosixPath(header.path.relative_to(inventory.root))


def find_segmented_series(
    inventory: Inventory, options: LayoutOptions
) -> tuple[list[SegmentedSeries], list[str]]:
    """Return the series of a folder that segmentations reference, and sentences on the others.

    Args:
        inventory: The content of the folder.
        options: Patterns that choose series and segmentations.

    Raises:
        DatasetError: If several segmentations of a series have the same class.
    """
    series = [item for item in inventory.items if item.series and _fits(item.path, options.images)]
    found: dict[PurePosixPath, list[Segmentation]] = defaultdict(list)
    notes = []
    chosen = choose_segmentations(inventory, options.labels)
    for header in chosen or inventory.segmentations:
        path = _relative(header, inventory)
        try:
            segmentation = read_segmentation(header.path)
        except CaseError as error:
            notes.append(f"{path} left out: {error}")
            continue
        matching = [item for item in series if _is_of(segmentation, item)]
        if len(matching) == 1 and segmentation.names:
            found[matching[0].path].append(segmentation)
            continue
        reason = "it has no classes" if not segmentation.names else "its image was not found"
        if len(matching) > 1:
            names = format_names([item.path.as_posix() for item in matching])
            reason = f"it belongs to several series, {names}; choose one with --image"
        notes.append(f"{header.modality} {path} left out: {reason}")
    for item in series:
        _check_distinct(item, found.get(item.path, []), inventory.root)
    segmented = [SegmentedSeries(i, tuple(found[i.path])) for i in series if i.path in found]
    return segmented, _shortened(notes)


def _shortened(notes: list[str]) -> list[str]:
    left = len(notes) - MOST_NOTES
    more = [f"{left} further segmentations left out"] if left > 0 else []
    return [*notes[:MOST_NOTES], *more]


def _is_of(segmentation: Segmentation, item: Item) -> bool:
    """Return True if a segmentation references a series, otherwise if they share coordinates."""
    own = item.series
    if own is None:
        return False
    if segmentation.series:
        return own.series in segmentation.series
    return "" != own.frame_of_reference == segmentation.frame_of_reference


def _fits(path: PurePosixPath, patterns: Sequence[str]) -> bool:
    return not patterns or any(PathPattern(text).match(path) is not None for text in patterns)


def _check_distinct(item: Item, segmentations: Sequence[Segmentation], root: Path) -> None:
    """Raise DatasetError if segmentations of a series have the same class."""
    counts = Counter(name for one in segmentations for name in one.names)
    repeated = next((name for name, count in counts.items() if count > 1), None)
    if repeated is None:
        return
    equal = [one.path for one in segmentations if repeated in one.names]
    paths = [path.relative_to(root).as_posix() for path in equal]
    options = "\n".join(f"  --label {shlex.quote(path)}" for path in paths)
    raise DatasetError(
        f"{format_count(len(paths), 'segmentation')} of the series {item.path} have the class "
        f"{repeated}, which may be annotations of different people or versions:\n{options}\n"
        "Choose those to use with patterns of their paths; `*` is any text, `**/` any folders."
    )


def cases_of_series(inventory: Inventory, options: LayoutOptions) -> RecognisedCases | None:
    """Describe segmented series as cases; None without any.

    Args:
        inventory: The content of the folder.
        options: Patterns that choose series and segmentations.

    Raises:
        DatasetError: If several segmentations of a series have the same class.
    """
    segmented, notes = find_segmented_series(inventory, options)
    if not segmented:
        return None
    names = {0: "background"} | dict(
        enumerate(sorted({n for one in segmented for s in one.segmentations for n in s.names}), 1)
    )
    found: dict[Part, list[CaseFiles]] = {part: [] for part in Part}
    parts = {}
    items = [one.item for one in segmented]
    groups = patient_groups(items)
    for one, name, group in zip(segmented, series_names(items), groups, strict=True):
        image = one.item.file(inventory.root)
        files = tuple((1, segmentation.path) for segmentation in one.segmentations)
        parts[name] = LabelParts(name, files, image)
        part = path_tokens(one.item.path, one.item.stem).part or Part.TRAINING
        labels = files[0][1]
        found[part].append(CaseFiles(name=name, images=(image,), labels=labels, group=group))
    training, held_out = found[Part.TRAINING], found[Part.VALIDATION]
    taken = {item.path for item in items}
    left = [item.path.as_posix() for item in inventory.items if item.path not in taken]
    if left:
        notes.append(
            f"{format_count(len(left), 'image')} without segmentations left out: "
            f"{format_names(left, 3)}"
        )
    return RecognisedCases(
        cases=(*training, *held_out),
        test_cases=tuple(found[Part.TEST]),
        validation=tuple(case.name for case in held_out) if training else (),
        form=LabelForm("dicom", names=names),
        parts=parts,
        notes=tuple(notes),
        channels=modality_of(items),
        channel_source=HEADERS,
        group_source=HEADERS,
    )


def series_names(items: Sequence[Item]) -> list[str]:
    """Name series after the outermost folders that tell them apart, or after their whole paths.

    A series in the folder of all has the name of this folder. Equal names get a number.
    """
    paths = [item.path.parts for item in items]
    for depth in range(min(map(len, paths), default=0)):
        names = [path[depth] for path in paths]
        if len(set(names)) == len(names) and all(map(is_valid_folder_name, names)):
            return names
    names = [
        "_".join(path) or (item.series.path.parent.name if item.series else "")
        for path, item in zip(paths, items, strict=True)
    ]
    names = [name if is_valid_folder_name(name) else "series" for name in names]
    return [
        name if name not in names[:place] else _numbered(name, names, place)
        for place, name in enumerate(names)
    ]


def _numbered(name: str, names: Sequence[str], place: int) -> str:
    """Return a repeated name with a number that makes it differ from all others."""
    number = 1 + names[:place].count(name)
    while f"{name}_{number}" in names:
        number += len(names)
    return f"{name}_{number}"


def patient_groups(items: Sequence[Item]) -> list[str | None]:
    """Group series by their patient ID, if some share one, but not all.

    A series without an ID is a group of its own.
    """
    patients = [item.series.patient if item.series else "" for item in items]
    known = [patient for patient in patients if patient]
    if 1 < len(set(known)) < len(known):
        return [patient or None for patient in patients]
    return [None] * len(patients)
