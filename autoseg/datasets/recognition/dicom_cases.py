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


def find_segmented_series(inventory: Inventory, options: LayoutOptions) -> list[SegmentedSeries]:
    """Return the series of a folder that segmentations reference, sorted by path.

    Args:
        inventory: The content of the folder.
        options: Patterns that choose series and segmentations.

    Raises:
        DatasetError: If several segmentations of a series have the same class.
    """
    series = [item for item in inventory.items if item.series and _fits(item.path, options.images)]
    found: dict[PurePosixPath, list[Segmentation]] = defaultdict(list)
    chosen = choose_segmentations(inventory, options.labels) or inventory.segmentations
    for header in chosen:
        try:
            segmentation = read_segmentation(header.path)
        except CaseError:
            continue
        matching = [i for i in series if i.series and i.series.series in segmentation.series]
        if not segmentation.series:
            matching = [i for i in series if i.series and _shares_space(i, header)]
        if len(matching) == 1 and segmentation.names:
            found[matching[0].path].append(segmentation)
    for item in series:
        _check_distinct(item, found.get(item.path, []), inventory.root)
    return [SegmentedSeries(i, tuple(found[i.path])) for i in series if i.path in found]


def _fits(path: PurePosixPath, patterns: Sequence[str]) -> bool:
    return not patterns or any(PathPattern(text).match(path) is not None for text in patterns)


def _shares_space(item: Item, header: SeriesFile) -> bool:
    """Return True if a segmentation without a reference has the coordinate system of a series."""
    own = item.series
    return own is not None and "" != own.frame_of_reference == header.frame_of_reference


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


def cases_of_series(
    segmented: Sequence[SegmentedSeries], inventory: Inventory
) -> RecognisedCases | None:
    """Describe segmented series as cases; None without any."""
    if not segmented:
        return None
    names = {0: "background"} | dict(
        enumerate(sorted({n for one in segmented for s in one.segmentations for n in s.names}), 1)
    )
    found: dict[Part, list[CaseFiles]] = {part: [] for part in Part}
    parts = {}
    groups = _groups(segmented)
    case_names = series_names([one.item for one in segmented])
    for one, name, group in zip(segmented, case_names, groups, strict=True):
        image = one.item.file(inventory.root)
        files = tuple((1, segmentation.path) for segmentation in one.segmentations)
        parts[name] = LabelParts(name, files, image)
        part = path_tokens(one.item.path, one.item.stem).part or Part.TRAINING
        labels = files[0][1]
        found[part].append(CaseFiles(name=name, images=(image,), labels=labels, group=group))
    training, held_out = found[Part.TRAINING], found[Part.VALIDATION]
    return RecognisedCases(
        cases=(*training, *held_out),
        test_cases=tuple(found[Part.TEST]),
        validation=tuple(case.name for case in held_out) if training else (),
        form=LabelForm("dicom", names=names),
        parts=parts,
        notes=tuple(_notes(segmented, inventory)),
        channels=modality_of(one.item for one in segmented),
        channel_source=HEADERS,
        group_source=HEADERS,
    )


def series_names(items: Sequence[Item]) -> list[str]:
    """Name series after the outermost folders that tell them apart, or after their whole paths.

    A series that is alone in the folder of all has the name of its patient, or of its file.
    """
    paths = [item.path.parts for item in items]
    for depth in range(min(map(len, paths), default=0)):
        names = [path[depth] for path in paths]
        if len(set(names)) == len(names) and all(map(is_valid_folder_name, names)):
            return names
    names = ["_".join(path) for path in paths]
    if all(map(is_valid_folder_name, names)):
        return names
    return [_own_name(item) for item in items]


def _own_name(item: Item) -> str:
    known = (item.series.patient, item.series.path.stem) if item.series else ()
    return next(filter(is_valid_folder_name, known), "series")


def _groups(segmented: Sequence[SegmentedSeries]) -> list[str | None]:
    """Group series by their patient, if a patient has several."""
    patients = [one.item.series.patient if one.item.series else "" for one in segmented]
    if all(patients) and len(set(patients)) < len(patients):
        return list(patients)
    return [None] * len(patients)


def _notes(segmented: Sequence[SegmentedSeries], inventory: Inventory) -> list[str]:
    """Return sentences on what was left out."""
    used = {segmentation.path for one in segmented for segmentation in one.segmentations}
    unused = [header.path for header in inventory.segmentations if header.path not in used]
    taken = {one.item.path for one in segmented}
    images = [item.path.as_posix() for item in inventory.items if item.path not in taken]
    kinds = (
        (
            "DICOM segmentations whose image was not found",
            [path.name for path in unused],
        ),
        ("images without segmentations", images),
    )
    return [
        f"{len(paths)} {kind} left out, for example {format_names(paths, 1)}"
        for kind, paths in kinds
        if paths
    ]
