"""Classes of label files whose headers name their segments, as 3D Slicer and MITK write them.

The same name may have other values in other files, so segments are matched by name.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray, MaskArray
from autoseg.core.errors import CaseError, DatasetError
from autoseg.core.formatting import format_names, format_shape
from autoseg.core.geometry import GEOMETRY_TOLERANCE, Geometry
from autoseg.datasets.recognition.contents import Content, content_of, has_foreground
from autoseg.datasets.recognition.label_forms import LabelForm
from autoseg.readers import read_header, read_segments, read_stored_labels
from autoseg.readers.base import StoredImage
from autoseg.readers.segments import Segment

BACKGROUND = "background"

USE_VALUES = "add --mask values to use the numbers in the files instead"


def segment_form(paths: Sequence[Path], declared: Mapping[int, str]) -> LabelForm:
    """Number the classes that the headers of label files name.

    A class keeps its value if all files agree on it.

    Args:
        paths: Label files.
        declared: Classes that a file of the dataset declares; empty if there is none.

    Returns:
        Form `segments`; `values` if none of the names is declared, although others are.

    Raises:
        DatasetError: If some files name no segments, or only some of the names are declared.
    """
    files = {path: _segments(path) for path in paths}
    named = {path: segments for path, segments in files.items() if segments}
    unnamed = [path for path, found in files.items() if found == () and has_foreground(path)]
    if unnamed:
        raise DatasetError(
            f"{len(named)} of {len(paths)} label files name their segments, but others such as "
            f"{unnamed[0]} do not, so that classes cannot be matched by name. Export all of them "
            f"from the same program, or {USE_VALUES}."
        )
    names: dict[str, str] = {}
    values: defaultdict[str, set[int]] = defaultdict(set)
    for segments in named.values():
        for segment in segments:
            names.setdefault(segment.key, " ".join(segment.name.split()))
            values[segment.key].add(segment.value)
    keys = names.keys() - {BACKGROUND}
    numbers = {key: min(of) for key, of in values.items() if key in keys and len(of) == 1}
    if declared:
        numbers = {_key(name): value for value, name in declared.items()}
        if not keys & numbers.keys():
            return LabelForm("values")
        _check_declared([names[key] for key in sorted(keys - numbers.keys())], declared)
    elif len({*numbers.values()} - {0}) < len(keys):
        numbers = {key: value for value, key in enumerate(sorted(keys), start=1)}
    note = "the label files name their segments, which are matched by name"
    if any(segment.layer for segments in named.values() for segment in segments):
        note += "; where segments overlap, the smaller one is kept"
    return LabelForm(
        "segments",
        names={0: BACKGROUND} | {numbers[key]: names[key] for key in sorted(keys)},
        notes=(note,),
    )


def _check_declared(unknown: Sequence[str], declared: Mapping[int, str]) -> None:
    """Raise a DatasetError if there are segments that a file of the dataset does not declare."""
    if unknown:
        raise DatasetError(
            f"the label files name the segments {format_names(unknown)}, which dataset.json does "
            f"not declare; it declares {format_names(list(declared.values()))}. Declare them, or "
            f"{USE_VALUES}."
        )


def _key(name: str) -> str:
    return Segment(name, 0, 0).key


def _segments(path: Path) -> tuple[Segment, ...] | None:
    """Return the segments of a file; None if it cannot be read, which is found out later."""
    try:
        return read_segments(path)
    except CaseError:
        return None


def class_map(content: Content, form: LabelForm) -> LabelArray:
    """Return the classes of a file by the names of its segments; the smaller one covers others.

    Raises:
        CaseError: If a voxel belongs to no segment.
    """
    values = {_key(name): value for value, name in form.names.items()}
    masks = segment_masks(content)
    labels = np.zeros(content.voxels.shape[1:], np.min_scalar_type(max(form.names)))
    for key, mask in sorted(masks.items(), key=lambda item: -np.count_nonzero(item[1])):
        labels[mask] = values[key]
    known = [np.zeros_like(labels, bool), *masks.values()]
    unnamed = (content.voxels != 0).any(axis=0) & ~np.logical_or.reduce(known)
    if unnamed.any():
        found = np.unique(content.voxels[:, unnamed])
        raise CaseError(
            f"{np.count_nonzero(unnamed)} voxels have the values "
            f"{format_names(found[found != 0].tolist())}, which no segment in the header has. "
            "Save the segmentation again in the program that made it."
        )
    return labels


def segment_masks(content: Content) -> dict[str, MaskArray]:
    """Return the voxels of each segment by its key; segments of one name are joined.

    Raises:
        CaseError: If a segment has a layer that the file lacks.
    """
    masks: dict[str, MaskArray] = {}
    for segment in content.segments:
        if segment.layer >= len(content.voxels):
            raise CaseError(
                f"its header has the segment {segment.name!r} in layer {segment.layer}, but there "
                f"are {len(content.voxels)} layers. Save the segmentation again."
            )
        mask = np.asarray(content.voxels[segment.layer] == segment.value)
        masks[segment.key] = masks.get(segment.key, np.zeros_like(mask)) | mask
    return masks


def has_segment(path: Path, name: str) -> bool:
    """Return True if a label file has voxels of a segment."""
    content = content_of(path)
    masks = segment_masks(content) if content is not None else {}
    return bool(masks.get(_key(name), np.zeros(1)).any())


def on_grid_of_image(
    labels: NDArray[np.integer], stored: StoredImage, image: Path
) -> tuple[NDArray[np.integer], Geometry]:
    """Place a label map that was saved without its empty margins on the grid of its image.

    Args:
        labels: The label map, stored orientation.
        stored: The label file.
        image: The image.

    Raises:
        CaseError: If the voxels do not coincide with those of the image.
    """
    if read_header(image).shape == tuple(size for size in labels.shape if size > 1):
        return labels, stored.geometry
    whole = read_stored_labels(image)
    shape, grid, own = whole.voxels.shape[1:], whole.geometry, stored.geometry
    if labels.size == 1:  # a segmentation without voxels
        return np.zeros(shape, labels.dtype), whole.geometry
    if labels.ndim != len(shape) or shape == labels.shape:
        return labels, stored.geometry
    shift = np.subtract(own.origin, grid.origin) @ np.asarray(grid.direction) / grid.spacing
    start = np.rint(shift).astype(int)
    is_aligned = replace(own, origin=grid.origin).difference(grid, shape) is None
    is_within = bool((start >= 0).all() and (start + labels.shape <= np.asarray(shape)).all())
    offset = np.abs(shift - start).max()
    if not (is_aligned and is_within and offset <= GEOMETRY_TOLERANCE * max(shape)):
        raise CaseError(
            f"its grid of {format_shape(labels.shape)} voxels is not a part of the image's grid of "
            f"{format_shape(shape)}. Resample the segmentation to the image."
        )
    placed = np.zeros(shape, labels.dtype)
    place = tuple(slice(at, at + size) for at, size in zip(start, labels.shape, strict=True))
    placed[place] = labels
    return placed, whole.geometry
