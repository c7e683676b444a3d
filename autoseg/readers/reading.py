"""Read images and label maps of any known format, in canonical orientation."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import ImageArray, LabelArray
from autoseg.core.case import Image, LabelMap
from autoseg.core.errors import AutosegError, CaseError
from autoseg.core.geometry import Geometry, Reorientation, canonical_orientation
from autoseg.readers.base import Header, StoredArray, StoredImage
from autoseg.readers.names import ending_of, reader_for, times

T = TypeVar("T")

LIBRARY_PREFIX = re.compile(r"^(sitk::ERROR: |ITK ERROR: (\w+\(0x[0-9a-f]+\): )?)")
"""What SimpleITK puts before its messages."""

UNREADABLE_ADVICE = "Copy it again if it is damaged, or export it anew."

SHEARED_ADVICE = (
    "The axes in its header (the sform of a NIfTI file) are not at right angles: correct the "
    "headers of image and labels alike, or resample both to a grid with right angles."
)


def companion_files(path: Path) -> tuple[Path, ...]:
    """Return the other files that belong to `path`: a spacing side-car, the voxels of an .mhd."""
    return reader_for(path).companion_files(path)


def knows_geometry(path: Path) -> bool:
    """Return whether the file says how large its voxels are."""
    return reader_for(path).knows_geometry(path)


def num_replaced(path: Path) -> int:
    """Return how many NaN and infinite values of a readable file reading silently made finite."""
    return reader_for(path).num_replaced(path)


def read_header(path: Path) -> Header:
    """Return shape and channels of one file, without its voxels where the format allows.

    Raises:
        CaseError: If the file is missing or cannot be read.
    """
    header = _attempt(reader_for(path).read_header, path)
    shape = header.shape[1:] if _is_slice(header.shape) else header.shape
    return Header(shape=shape, num_channels=header.num_channels)


def read_image(paths: tuple[Path, ...]) -> Image:
    """Return an image in canonical orientation.

    A 3-D file with a single slice is a 2-D image; its `stored_geometry` keeps all 3 axes.

    Args:
        paths: One file with all channels, or several whose channels are stacked in this order.

    Raises:
        CaseError: If a file is missing or unreadable, or the files differ in shape or geometry.
    """
    parts = [_attempt(reader_for(path).read, path) for path in paths]
    geometry = _shared_geometry(paths, parts)
    voxels = _stacked([part.voxels for part in parts])
    in_plane = geometry
    if _is_slice(voxels.shape[1:]):
        voxels, in_plane = voxels[:, 0], _in_plane(geometry)
    turn = canonical_orientation(in_plane)
    return Image(
        voxels=_as_float32(turn.apply(voxels)),
        geometry=turn.apply_to_geometry(in_plane, voxels.shape[1:]),
        stored_geometry=geometry,
        reorientation=turn,
    )


def read_labels(path: Path, *, like: Image | None = None) -> LabelMap:
    """Return a label map in canonical orientation, values as stored.

    Args:
        path: The file. Whole numbers stored as floating point are fine, and so is a colour picture
            whose colours are all equal.
        like: The image of the same case; where the label file itself knows no geometry (PNG, TIFF
            without side-car) it is laid over the image as that is stored.

    Raises:
        CaseError: If the file is missing or unreadable, is a JPEG, or holds anything but one
            non-negative whole number per voxel.
    """
    reader = reader_for(path)
    if ending_of(path) not in reader.label_endings:
        msg = (
            f"{path.name} is a JPEG, which alters label values when it compresses. "
            "Export the labels as .png, from the original annotation."
        )
        raise CaseError(msg)
    stored = _attempt(reader.read_labels, path)
    values = _whole_numbers(_single_channel(stored.voxels, path), path)
    if reader.num_replaced(path):
        raise _no_labels(path, f"{reader.num_replaced(path)} voxels that are NaN or infinite")
    geometry = stored.geometry
    if _is_slice(values.shape):
        values, geometry = values[0], _in_plane(geometry)
    if like is not None and not reader.knows_geometry(path):
        geometry = _geometry_for(values, like) or geometry
    turn = _turn_as(like, geometry, values.shape) or canonical_orientation(geometry)
    return LabelMap(
        values=np.ascontiguousarray(turn.apply(values)),
        geometry=turn.apply_to_geometry(geometry, values.shape),
        stored_geometry=stored.geometry,
    )


def _attempt(action: Callable[[Path], T], path: Path) -> T:
    """Return what `action` makes of a file.

    Raises:
        CaseError: If the file is missing, or the format's library fails in whatever way.
    """
    if not path.is_file():
        msg = f"{path} does not exist. Put the file there, or take the case out of the dataset."
        raise CaseError(msg)
    try:
        return action(path)
    except AutosegError:
        raise
    except Exception as error:
        cause = _cause(error)
        advice = SHEARED_ADVICE if "orthonormal" in cause else UNREADABLE_ADVICE
        msg = f"{path} cannot be read: {cause}. {advice}"
        raise CaseError(msg) from error


def _cause(error: Exception) -> str:
    """Return the telling line of a library's message, without the library's own addresses."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("Reason:")] or [type(error).__name__]
    return LIBRARY_PREFIX.sub("", telling[-1]).rstrip(".")


def _shared_geometry(paths: tuple[Path, ...], parts: list[StoredImage]) -> Geometry:
    """Return the geometry of the first file that knows one, after comparing all with it.

    Raises:
        CaseError: If shapes or geometries differ.
    """
    known = [knows_geometry(path) for path in paths]
    first = known.index(True) if any(known) else 0
    geometry, shape = parts[first].geometry, parts[first].voxels.shape[1:]
    for path, part, has_geometry in zip(paths, parts, known, strict=True):
        difference = None
        if part.voxels.shape[1:] != shape:
            difference = f"shape {times(part.voxels.shape[1:])} against {times(shape)}"
        elif has_geometry:
            difference = part.geometry.difference(geometry, shape)
        if difference:
            msg = (
                f"{path.name} is not on the grid of {paths[first].name}, a channel of the same "
                f"case: {difference}. Resample the channels of a case to one grid."
            )
            raise CaseError(msg)
    return geometry


def _stacked(channels: list[NDArray[np.generic]]) -> StoredArray:
    """Return all channels, those of a single file as they are.

    Raises:
        CaseError: If they are complex numbers.
    """
    if any(np.iscomplexobj(voxels) for voxels in channels):
        msg = "the image holds complex numbers. Export magnitude, phase … as real channels."
        raise CaseError(msg)
    return channels[0] if len(channels) == 1 else np.concatenate(channels)


def _as_float32(voxels: StoredArray) -> ImageArray:
    """Return the intensities as float32 in array order, by one copy at most.

    What does not fit becomes infinite, and so is found.
    """
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(voxels, dtype=np.float32)


def _single_channel(voxels: StoredArray, path: Path) -> NDArray[np.generic]:
    """Return the one channel of a label file; equal colours count as one, opacity does not count.

    Raises:
        CaseError: If the colours differ.
    """
    colours = voxels[: 3 if len(voxels) == 4 else 1 if len(voxels) == 2 else None]
    if all(np.array_equal(colours[0], other) for other in colours[1:]):
        return np.asarray(colours[0])
    msg = (
        f"{path.name} has {len(voxels)} channels that differ, expected one label value per voxel. "
        "Export the labels as grey values or with a palette, not as colours."
    )
    raise CaseError(msg)


def _whole_numbers(values: NDArray[np.generic], path: Path) -> LabelArray:
    """Return label values in the smallest unsigned integer type.

    Raises:
        CaseError: If a value is negative, fractional or not finite.
    """
    issue = _issue_of_values(values)
    if issue:
        raise _no_labels(path, issue)
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


def _no_labels(path: Path, found: str) -> CaseError:
    return CaseError(
        f"{path.name} holds {found}, expected whole numbers from 0 on. Export the labels as "
        "integers (without interpolation)."
    )


def _issue_of_values(values: NDArray[np.generic]) -> str | None:
    """Return what keeps an array from being a label map, or None."""
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            return f"{np.count_nonzero(~np.isfinite(values))} voxels that are NaN or infinite"
        fractional = values[values != np.rint(values)]
        if fractional.size:
            return f"fractional values such as {fractional[0]:.4g}"
    elif values.dtype.kind not in "biu":
        return f"values of type {values.dtype}"
    if values.dtype.kind in "fi" and values.min(initial=0) < 0:
        return f"negative values such as {values.min():g}"
    return None


def _geometry_for(values: LabelArray, like: Image) -> Geometry | None:
    """Return the geometry that labels without one share with their image, or None if unlike it."""
    if values.ndim != like.geometry.num_axes:
        return None
    return like.geometry if values.ndim == 2 else like.stored_geometry


def _turn_as(
    like: Image | None, geometry: Geometry, shape: tuple[int, ...]
) -> Reorientation | None:
    """Return how the image was turned if the labels lie on its grid, or None.

    At 45 degrees rounding decides which axis is which, so labels must not be turned on their own.
    """
    if like is None or geometry.difference(like.stored_geometry, shape):
        return None
    return like.reorientation if len(like.reorientation.axes) == len(shape) else None


def _is_slice(shape: tuple[int, ...]) -> bool:
    """Return whether a stored 3-D array is a single slice, which makes it a 2-D image."""
    return len(shape) == 3 and shape[0] == 1


def _in_plane(geometry: Geometry) -> Geometry:
    """Return the last two axes of a slice's geometry."""
    return Geometry(
        spacing=geometry.spacing[1:],
        origin=geometry.origin[1:],
        direction=tuple(row[1:] for row in geometry.direction[1:]),
    )
