"""Write label maps with exactly the geometry that the image's file has."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray
from autoseg.core.case import Image
from autoseg.core.errors import CaseError
from autoseg.core.geometry import Geometry
from autoseg.readers.base import Reader
from autoseg.readers.names import ending_of, reader_for, stem_of, times


def write_labels(values: LabelArray, like: Image, path: Path) -> None:
    """Write a label map, whole or not at all, creating its folder.

    Args:
        values: Label values in canonical orientation, same shape as `like`.
        like: The image they belong to.
        path: Where to; its ending chooses the format, which need not be the image's.

    Raises:
        CaseError: If the format cannot hold the labels.
    """
    reader = reader_for(path)
    _check(values, like, path, reader)
    stored, geometry = _as_stored(values, like, reader)
    path.parent.mkdir(parents=True, exist_ok=True)
    smallest = np.min_scalar_type(int(values.max(initial=0)))
    reader.write(np.ascontiguousarray(stored, dtype=smallest), geometry, path)


def _check(values: LabelArray, like: Image, path: Path, reader: Reader) -> None:
    """Refuse what the format cannot hold.

    Raises:
        CaseError: With what to do instead.
    """
    if ending_of(path) not in reader.label_endings:
        msg = f"{path} would alter label values (JPEG). Write {stem_of(path)}.png instead."
        raise CaseError(msg)
    if values.shape != like.shape:
        msg = (
            f"labels of {times(values.shape)} voxels do not fit the image of {times(like.shape)} "
            f"that {path} belongs to."
        )
        raise CaseError(msg)
    if values.ndim > reader.max_axes:
        msg = f"{path} cannot hold a 3-D label map. Write .nii.gz or .tif instead."
        raise CaseError(msg)
    if values.min(initial=0) < 0:
        msg = f"{path} cannot be written: label values must be 0 or more; found {values.min()}."
        raise CaseError(msg)


def _as_stored(
    values: LabelArray, like: Image, reader: Reader
) -> tuple[NDArray[np.generic], Geometry]:
    """Return the labels and their geometry as the image's file has them."""
    stored = like.reorientation.invert(values)
    if stored.ndim == like.stored_geometry.num_axes:
        return stored, like.stored_geometry
    if reader.holds_world_geometry:  # the image is a single slice of a 3-D file
        return stored[None], like.stored_geometry
    return stored, like.geometry
