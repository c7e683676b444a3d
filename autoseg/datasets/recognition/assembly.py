"""Write one label map per case where files store labels as colours, a file per class or else."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from autoseg.core.arrays import LabelArray
from autoseg.core.atomic_write import atomic_write
from autoseg.core.errors import CaseError
from autoseg.core.formatting import format_names, format_shape
from autoseg.core.geometry import Geometry
from autoseg.datasets.label_counts import ValuesInMap, values_in_map
from autoseg.datasets.recognition.annotations.base import Annotation
from autoseg.datasets.recognition.annotations.drawing import draw
from autoseg.datasets.recognition.contents import Content, colour_codes
from autoseg.datasets.recognition.dicom_grid import SliceGrid
from autoseg.datasets.recognition.dicom_labels import draw_segmentations
from autoseg.datasets.recognition.label_forms import LabelForm
from autoseg.datasets.recognition.segment_classes import class_map, on_grid_of_image
from autoseg.readers import (
    ending_of,
    read_stored_labels,
    storage_of,
    storage_state,
    write_stored_labels,
)
from autoseg.readers.dicom_planes import grid_of
from autoseg.readers.names import label_ending

UNSIGNED_VOID = 65535
"""Value that replaces -1 in a label map."""

DRAWN_FORMS = ("polygons", "dicom")
"""Forms whose files hold shapes or segments that are drawn on the grid of the image."""


@dataclass(frozen=True)
class LabelParts:
    """The files that hold the labels of one case.

    Attributes:
        case: Name of the case.
        files: The files, and the value that each has in the label map: 1, 2 … for a file per class,
            otherwise 1.
        like: Image of the case, whose grid an empty label map and drawn shapes have.
        annotation: Shapes to draw; the file is then the one that holds them.
    """

    case: str
    files: tuple[tuple[int, Path], ...]
    like: Path
    annotation: Annotation | None = None

    def target(self, folder: Path, form: LabelForm) -> Path:
        """Return the path of the label map in a folder."""
        is_label_map = self.files and form.form not in DRAWN_FORMS
        source = self.files[0][1] if is_label_map else self.like
        ending = label_ending(ending_of(source))
        return folder / f"{self.case}{'.png' if ending in ('.gif', '.bmp') else ending}"


def assemble(parts: LabelParts, form: LabelForm, folder: Path) -> Path:
    """Write the label map of a case, unless it has been made from the same files before.

    Label maps of other classes or other files are in other folders, so that an earlier
    dataset.json keeps its label maps.

    Args:
        parts: The files.
        form: How they store the classes.
        folder: Folder of all label maps, in the work folder.

    Returns:
        Path of the label map.

    Raises:
        CaseError: If a file cannot be read, or the files of a case differ in shape.
    """
    states: list[tuple[object, ...]]
    states = [(path.as_posix(), value, *_state(path, form)) for value, path in parts.files]
    if form.form in DRAWN_FORMS or not parts.files:  # drawn on the grid of the image
        states.append((parts.like.as_posix(), 0, *storage_state(storage_of(parts.like)[0])))
    classes = asdict(form) | {"files": None, "notes": None}
    # without the name of the case, so that the cases of a dataset share a folder
    names = ["*".join(str(path).rsplit(parts.case, 1)) for path, *_ in states]
    values = [value for _, value, *_ in states]
    folder /= _digest(json.dumps([classes, names, values]).encode())
    source = json.dumps([classes, states, _content_of_shapes(parts.annotation)])
    target = parts.target(folder, form)
    record = target.with_name(f"{target.name}.source.json")
    if target.is_file() and record.is_file() and record.read_text(encoding="utf-8") == source:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    labels, geometry = _merged(parts, form)
    write_stored_labels(labels, geometry, target)
    with atomic_write(record) as temporary:
        temporary.write_text(source, encoding="utf-8")
    return target


def assembled_values(parts: LabelParts, form: LabelForm) -> ValuesInMap:
    """Return the values in the label map that `assemble` would write.

    Raises:
        CaseError: As `assemble` does.
    """
    return values_in_map(_merged(parts, form)[0])


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _content_of_shapes(annotation: Annotation | None) -> str | None:
    """Return a digest of names and coordinates, which depend on more than the file of the case."""
    if annotation is None:
        return None
    shapes = [asdict(shape) for shape in annotation.shapes]
    content = [annotation.size, annotation.is_relative, annotation.issue, shapes]
    return _digest(json.dumps(content, default=lambda array: _digest(array.tobytes())).encode())


def _state(path: Path, form: LabelForm) -> tuple[int, int]:
    return storage_state(path if form.form in DRAWN_FORMS else storage_of(path)[0])


def _merged(parts: LabelParts, form: LabelForm) -> tuple[LabelArray, Geometry]:
    """Return the label map of a case; of overlapping classes, the smaller one is kept."""
    if form.form == "dicom":
        return _segmented(parts, form)
    if parts.annotation is not None:
        stored = read_stored_labels(parts.like)
        return _drawn(parts, parts.annotation, form, stored.voxels.shape[1:]), stored.geometry
    if not parts.files:
        stored = read_stored_labels(parts.like)
        return np.zeros(stored.voxels.shape[1:], np.uint8), stored.geometry
    return _from_files(parts, form)


def _from_files(parts: LabelParts, form: LabelForm) -> tuple[LabelArray, Geometry]:
    """Convert the label files of a case, and merge them.

    Raises:
        CaseError: If they differ in shape.
    """
    read = [(value, read_stored_labels(path)) for value, path in parts.files]
    shape = read[0][1].voxels.shape[1:]
    for (_, path), (_, stored) in zip(parts.files, read, strict=True):
        if stored.voxels.shape[1:] != shape:
            msg = (
                f"{path.name} has {format_shape(stored.voxels.shape[1:])} voxels, but "
                f"{parts.files[0][1].name} of the same case has {format_shape(shape)}. Resample "
                "the label files of a case to one grid."
            )
            raise CaseError(msg)
    convert = CONVERSIONS[form.form]
    maps = [(value, convert(Content.of(one), form)) for value, one in read]
    if form.form not in ("classes", "objects"):
        maps = [(value, _looked_up(found, form)) for value, found in maps]
    largest = max(1, *form.names, *(int(found.max(initial=0)) for _, found in maps))
    merged = np.zeros(shape, np.min_scalar_type(largest))
    for value, found in sorted(maps, key=lambda pair: -np.count_nonzero(pair[1])):
        merged[found > 0] = value if form.form in ("classes", "objects") else found[found > 0]
    if form.form == "segments":
        return on_grid_of_image(merged, read[0][1], parts.like)
    return merged, read[0][1].geometry


def _segmented(parts: LabelParts, form: LabelForm) -> tuple[LabelArray, Geometry]:
    """Return the label map of DICOM segmentations, and the grid of their series."""
    grid = SliceGrid.of(parts.like)
    paths = [path for _, path in parts.files]
    return draw_segmentations(paths, grid, form.drawn_values), grid_of(grid.planes)


def _looked_up(values: LabelArray, form: LabelForm) -> LabelArray:
    """Replace values by those of the form's lookup, if it has one.

    Raises:
        CaseError: If a value is not listed.
    """
    if not form.lookup:
        return values
    found: LabelArray = np.zeros(values.shape, np.min_scalar_type(max(v for _, v in form.lookup)))
    unlisted = values.size
    for value, replacement in form.lookup:
        voxels = values == value
        found[voxels] = replacement
        unlisted -= int(np.count_nonzero(voxels))
    if unlisted:
        raise CaseError(f"{unlisted} voxels have a value or colour that --label-map does not list.")
    return found


def _drawn(
    parts: LabelParts, annotation: Annotation, form: LabelForm, shape: tuple[int, ...]
) -> LabelArray:
    """Return the shapes of a case as a label map.

    Raises:
        CaseError: If the image is not 2-D, or the shapes do not fit it.
    """
    if len(shape) != 2:
        raise CaseError(
            f"{parts.like.name} has {len(shape)} axes; expected 2, as its labels are shapes. "
            "Export the labels as label maps."
        )
    try:
        return draw(annotation, form.drawn_values, (shape[0], shape[1]))
    except CaseError as error:
        raise CaseError(f"{parts.files[0][1].name}: {error}") from error


def _mask(content: Content, form: LabelForm) -> LabelArray:
    """Return the foreground of a mask.

    Raises:
        CaseError: If there are more than two values.
    """
    del form
    if not content.is_mask and len(content.colours) > 2:
        values = format_names(content.values.tolist())
        raise CaseError(
            f"a mask has more than two values, {values}; expected one class per file. If the files "
            "hold several classes each, choose those to use with --label."
        )
    return np.asarray(content.foreground, np.uint8)


def _above_threshold(content: Content, form: LabelForm) -> LabelArray:
    return np.asarray(content.channels[0] > form.threshold, np.uint8) * np.uint8(max(form.names))


def _whole_numbers(content: Content, form: LabelForm) -> LabelArray:
    """Return the values of a label map.

    Raises:
        CaseError: If they are not whole numbers from 0 on in one channel.
    """
    del form
    if not (content.is_grey and content.is_whole and content.values[0] >= 0):
        raise CaseError("a label file has fractional or negative values, or colours.")
    return np.asarray(content.channels[0], np.min_scalar_type(int(content.values[-1])))


def _unsigned(content: Content, form: LabelForm) -> LabelArray:
    """Return values with 65535 instead of -1, unless the form's lookup replaces -1."""
    if form.lookup:
        return content.numbers
    return np.asarray(np.where(content.numbers == -1, UNSIGNED_VOID, content.numbers), np.uint16)


def _nonzero(content: Content, form: LabelForm) -> LabelArray:
    del form
    return np.asarray(content.numbers != 0, np.uint8)


def _largest_channel(content: Content, form: LabelForm) -> LabelArray:
    del form
    return np.asarray(content.voxels.argmax(axis=0), np.uint8)


def _layers(content: Content, form: LabelForm) -> LabelArray:
    """Return the number of each voxel's channel, from 1 on; of several, the smallest is kept."""
    del form
    labels = np.zeros(content.channels.shape[1:], np.uint8)
    masks = enumerate(content.channels > 0, start=1)
    for value, mask in sorted(masks, key=lambda pair: -np.count_nonzero(pair[1])):
        labels[mask] = value
    return labels


def _colour_index(content: Content, form: LabelForm) -> LabelArray:
    """Return the number of each voxel's colour.

    Raises:
        CaseError: If a colour is not one of the form's.
    """
    codes = colour_codes(content.coloured)
    known = colour_codes(np.array(form.colours).T)
    order = np.argsort(known)
    places = np.searchsorted(known[order], codes).clip(max=len(known) - 1)
    found = order[places]
    if not np.array_equal(known[found], codes):
        number = np.count_nonzero(known[found] != codes)
        raise CaseError(f"{number} pixels have a colour that is not in the table of colours.")
    return np.asarray(found, np.min_scalar_type(len(known)))


CONVERSIONS: dict[str, Callable[[Content, LabelForm], LabelArray]] = {
    "values": _whole_numbers,
    "merged": _whole_numbers,
    "signed": _unsigned,
    "layers": _layers,
    "threshold": _above_threshold,
    "colours": _colour_index,
    "onehot": _largest_channel,
    "instances": _nonzero,
    "classes": _mask,
    "objects": _mask,
    "segments": class_map,
}
"""How the voxels of a file become class values."""
