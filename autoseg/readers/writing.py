"""Write label maps with exactly the geometry of the image file."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray
from autoseg.core.case import Image
from autoseg.core.errors import CaseError
from autoseg.core.formatting import format_shape
from autoseg.core.geometry import Geometry
from autoseg.readers.base import Reader
from autoseg.readers.names import ending_of, reader_for, stem_of
from autoseg.readers.nifti_forms import keep_forms


def write_labels(values: LabelArray, like: Image, path: Path) -> None:
    """Write a label map atomically, and create its folder.

    Args:
        values: Label values in canonical orientation, same shape as `like`.
        like: The image that the labels belong to.
        path: Output file; its extension selects the format, which may differ from the image's.

    Raises:
        CaseError: If the format cannot store the labels.
    """
    reader = reader_for(path)
    _check(values, like, path, reader)
    stored, geometry = _as_stored(values, like, reader)
    path.parent.mkdir(parents=True, exist_ok=True)
    smallest = np.min_scalar_type(int(values.max(initial=0)))
    reader.write(np.ascontiguousarray(stored, dtype=smallest), geometry, path)
    if like.forms is not None and ending_of(path).startswith(".nii"):
        keep_forms(path, like.forms)


def write_stored_labels(values: LabelArray, geometry: Geometry, path: Path) -> None:
    """Write a label map in stored orientation atomically, in an existing folder.

    Args:
        values: Label values, `geometry.num_axes` axes in stored orientation.
        geometry: Geometry to write.
        path: Output file; its extension selects the format.

    Raises:
        CaseError: If the format cannot store the labels.
    """
    smallest = np.min_scalar_type(int(values.max(initial=0)))
    reader_for(path).write(np.ascontiguousarray(values, dtype=smallest), geometry, path)


def _check(values: LabelArray, like: Image, path: Path, reader: Reader) -> None:
    """Raise a `CaseError` if the format cannot store the labels."""
    if ending_of(path) not in reader.label_endings:
        raise CaseError(
            f"{path} cannot be written: its format is not one of label maps, or JPEG compression "
            f"alters label values. Write {stem_of(path)}{reader.label_endings[0]} instead."
        )
    if values.shape != like.shape:
        raise CaseError(
            f"the labels for {path} have {format_shape(values.shape)} voxels, but its image has "
            f"{format_shape(like.shape)}; expected the same shape. Resample the labels to its grid."
        )
    if values.ndim > reader.max_axes:
        raise CaseError(f"{path} cannot store a 3-D label map. Write .nii.gz or .tif instead.")
    if values.min(initial=0) < 0:
        msg = f"{path} cannot be written: found label value {values.min()}, expected 0 or more."
        raise CaseError(msg)


def _as_stored(
    values: LabelArray, like: Image, reader: Reader
) -> tuple[NDArray[np.generic], Geometry]:
    """Return the labels and their geometry in the stored orientation of the image file."""
    stored = like.reorientation.invert(values)
    if stored.ndim == like.stored_geometry.num_axes:
        return stored, like.stored_geometry
    if reader.holds_world_geometry:  # the image is a single slice of a 3-D file
        return np.expand_dims(stored, like.slice_axis), like.stored_geometry
    return stored, like.geometry
