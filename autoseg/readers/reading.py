"""Read images and label maps of all supported formats in canonical orientation."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray
from autoseg.core.c_output import discard_c_output
from autoseg.core.case import Image, LabelMap
from autoseg.core.errors import AutosegError, CaseError, affects_all
from autoseg.core.formatting import escape_bytes, format_shape, printable
from autoseg.core.geometry import Geometry, Reorientation, canonical_orientation
from autoseg.core.reading_process import READING
from autoseg.readers.base import Header, StoredArray, StoredImage
from autoseg.readers.limits import max_image_gib
from autoseg.readers.names import ending_of, is_utf8, known_endings, name_of, reader_for
from autoseg.readers.segments import Segment

T = TypeVar("T")

LIBRARY_PREFIX = re.compile(r"^(sitk::ERROR: |ITK ERROR: (\w+\(0x[0-9a-f]+\): )?)")
"""Prefixes of SimpleITK's messages."""

LABEL_TOLERANCE = 1e-4
"""Greatest difference of a label value from a whole number that counts as rounding."""

UNREADABLE_ADVICE = "If the file is damaged, copy or export it again."

HEADER_SECONDS, SECONDS_PER_GIB = 300.0, 60.0
"""Least time limit of reading a file, and that of its voxels per GiB of the greatest image."""

LONGEST_CAUSE = 600
"""Greatest length of a cause in characters; some libraries repeat what the file contains."""

SHEARED_ADVICE = (
    "The axes in its header (the sform of a NIfTI file) are not at right angles: correct the "
    "headers of both image and labels, or resample both to an orthogonal grid."
)


def exists(path: Path) -> bool:
    """Return True if a file exists, or the container of an image."""
    is_known = ending_of(path) in known_endings()
    return reader_for(path).exists(path) if is_known else path.is_file()


def images_in(path: Path) -> tuple[str, ...]:
    """Return the paths of the images inside of a file, sorted; an empty one is the file itself.

    Raises:
        CaseError: If the file is missing or cannot be read.
    """
    return _attempt(reader_for(path).images_in, path)


def knows_geometry(path: Path) -> bool:
    """Return True if the file stores its spacing.

    Raises:
        CaseError: If the file is missing or cannot be read.
    """
    return _attempt(reader_for(path).knows_geometry, path)


def read_header(path: Path) -> Header:
    """Read shape and channels of one file, without its voxels if the format allows.

    Raises:
        CaseError: If the file is missing or cannot be read.
    """
    header = _attempt(reader_for(path).read_header, path)
    axis = _slice_axis(header.shape)
    shape = tuple(size for number, size in enumerate(header.shape) if number != axis)
    return replace(header, shape=shape)


def read_image(paths: tuple[Path, ...]) -> Image:
    """Read an image in canonical orientation.

    A 3-D file with a single slice becomes a 2-D image; its `stored_geometry` keeps all 3 axes.
    Integers of at most 16 bits stay as they are, so that large pictures take little memory; all
    other intensities become float32.

    Args:
        paths: One file with all channels, or several files whose channels are concatenated in this
            order.

    Raises:
        CaseError: If a file is missing or unreadable, or the files differ in shape or geometry.
    """
    parts = [_attempt(reader_for(path).read, path) for path in paths]
    geometry = _shared_geometry(paths, parts)
    voxels = _stacked([part.voxels for part in parts])
    in_plane, axis = geometry, _slice_axis(voxels.shape[1:])
    if axis is not None:
        voxels, in_plane = voxels.squeeze(axis + 1), _in_plane(geometry, axis)
    reorientation = canonical_orientation(in_plane)
    with np.errstate(over="ignore"):  # later checks detect values that become infinite
        intensities = np.ascontiguousarray(
            reorientation.apply(voxels), dtype=_intensity_type(voxels.dtype)
        )
    return Image(
        voxels=intensities,
        geometry=reorientation.apply_to_geometry(in_plane, voxels.shape[1:]),
        stored_geometry=geometry,
        reorientation=reorientation,
        slice_axis=axis or 0,
        forms=next((part.forms for part in parts if part.forms), None),
    )


def read_labels(path: Path, *, like: Image | None = None) -> LabelMap:
    """Read a label map in canonical orientation, with its values as stored.

    Args:
        path: The label file. Integers stored as floating point are accepted, and colour images
            whose colour channels are all equal.
        like: The image of the same case. If the label file has no geometry (PNG, TIFF without a
            sidecar), the labels get the geometry of the image as stored.

    Raises:
        CaseError: If the file is missing or unreadable, is a JPEG, or does not contain exactly one
            non-negative integer per voxel.
    """
    reader = reader_for(path)
    if _attempt(reader.is_lossy, path):
        raise CaseError(
            f"{name_of(path)} is a JPEG, whose lossy compression alters label values. "
            "Export the labels as .png from the original annotation."
        )
    stored = _attempt(reader.read_labels, path)
    voxels = _single_channel(stored.voxels, path, holds_opacity=reader.holds_opacity)
    if marker := _marker(voxels):
        raise CaseError(
            f"{name_of(path)} has the value {marker}, which usually marks voxels without a label; "
            "expected classes. Replace it by the value of the background, or by that of `ignore`."
        )
    if issue := _label_issue(voxels):
        raise CaseError(
            f"{name_of(path)} has {issue}; expected integers of 0 or more. Export the labels as "
            "integers (without interpolation)."
        )
    whole = np.rint(voxels) if voxels.dtype.kind == "f" else voxels
    values = whole.astype(np.min_scalar_type(int(whole.max(initial=0))))
    geometry = stored.geometry
    if (axis := _slice_axis(values.shape)) is not None:
        values, geometry = values.squeeze(axis), _in_plane(geometry, axis)
    if like is not None and not knows_geometry(path):
        geometry = _geometry_for(values, like) or geometry
    reorientation = _image_reorientation(like, geometry, values.shape) or canonical_orientation(
        geometry
    )
    return LabelMap(
        values=np.ascontiguousarray(reorientation.apply(values)),
        geometry=reorientation.apply_to_geometry(geometry, values.shape),
        stored_geometry=stored.geometry,
    )


def read_stored_labels(path: Path) -> StoredImage:
    """Read a label file in stored orientation, with all its channels, whatever their values.

    Raises:
        CaseError: If the file is missing or cannot be read.
    """
    return _attempt(reader_for(path).read_labels, path)


def read_segments(path: Path) -> tuple[Segment, ...]:
    """Read the named structures of a label file; empty if it names none.

    Raises:
        CaseError: If the file is missing or cannot be read.
    """
    return _attempt(reader_for(path).segments, path)


def _attempt(action: Callable[[Path], T], path: Path) -> T:
    """Call `action` on an existing file, in the reading process if there is one."""
    if not exists(path):
        is_link = path.is_symlink()
        found = (
            f"is a link to {path.readlink()}, which does not exist" if is_link else "does not exist"
        )
        raise CaseError(f"{path} {found}. Add the file, or remove the case from the dataset.")
    if not is_utf8(path):  # libraries in C++ cannot take it, and documents cannot store it
        raise CaseError(
            f"{escape_bytes(str(path))} cannot be read: its name is not text in UTF-8, as of files "
            "from old ZIP archives. Rename it."
        )
    reads_voxels = action.__name__ in ("read", "read_labels")
    seconds = max(HEADER_SECONDS, SECONDS_PER_GIB * max_image_gib() if reads_voxels else 0)
    return READING.call(_read, action, path, seconds=seconds)


def _read(action: Callable[[Path], T], path: Path) -> T:
    """Call `action` on a file and convert exceptions of the format's library."""
    try:
        with discard_c_output():
            found = action(path)
        if isinstance(found, StoredImage):
            _check_spacing(found.geometry)
    except AutosegError:
        raise
    except Exception as error:
        if affects_all(error):
            raise
        cause = _cause(error)
        advice = SHEARED_ADVICE if "orthonormal" in cause else UNREADABLE_ADVICE
        raise CaseError(f"{path} cannot be read: {cause}. {advice}") from error
    return found


def _check_spacing(geometry: Geometry) -> None:
    if not all(0 < size < float("inf") for size in geometry.spacing):
        raise ValueError(f"its voxel size is {geometry.spacing}; expected positive numbers")


def _cause(error: Exception) -> str:
    """Extract the informative line of a library's message, without prefixes and addresses."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if not line.startswith("Reason:")] or [type(error).__name__]
    cause = LIBRARY_PREFIX.sub("", causes[-1]).rstrip(".")
    cause = printable(cause)
    return cause if len(cause) <= LONGEST_CAUSE else f"{cause[:LONGEST_CAUSE]} …"


def _shared_geometry(paths: tuple[Path, ...], parts: list[StoredImage]) -> Geometry:
    """Return the geometry of the first file that has one, after comparing all files with it."""
    known = [knows_geometry(path) for path in paths]
    first = known.index(True) if any(known) else 0
    geometry, shape = parts[first].geometry, parts[first].voxels.shape[1:]
    for path, part, has_geometry in zip(paths, parts, known, strict=True):
        difference = None
        if part.voxels.shape[1:] != shape:
            difference = (
                f"shape {format_shape(part.voxels.shape[1:])} against {format_shape(shape)}"
            )
        elif has_geometry:
            difference = part.geometry.difference(geometry, shape)
        if difference:
            raise CaseError(
                f"{name_of(path)} and {name_of(paths[first])}, channels of the same case, have "
                f"different grids: {difference}. Resample the channels of a case to one grid."
            )
    return geometry


def _intensity_type(stored: np.dtype[np.generic]) -> np.dtype[Any]:
    """Return the data type of intensities in memory; float32 holds integers of 16 bits exactly."""
    if stored.kind == "b":
        return np.dtype(np.uint8)
    is_small = stored.kind in "iu" and stored.itemsize <= 2
    return stored.newbyteorder("=") if is_small else np.dtype(np.float32)


def _stacked(channels: list[NDArray[np.generic]]) -> StoredArray:
    """Concatenate channels; the array of a single file is returned without a copy."""
    if any(np.iscomplexobj(voxels) for voxels in channels):
        raise CaseError("the image has complex values. Export magnitude, phase … as real channels.")
    return channels[0] if len(channels) == 1 else np.concatenate(channels)


def _single_channel(voxels: StoredArray, path: Path, *, holds_opacity: bool) -> NDArray[np.generic]:
    """Return the single channel of a label file; equal colours are merged, opacity is ignored.

    If the colours are the same everywhere but the opacity is not, the opacity holds the labels.
    """
    colours = voxels
    if holds_opacity and len(voxels) in (2, 4):
        colours, opacity = voxels[:-1], voxels[-1]
        if all(channel.min() == channel.max() for channel in colours) and len(opacity):
            colours = opacity[None] if opacity.min() < opacity.max() else colours
    if all(np.array_equal(colours[0], other) for other in colours[1:]):
        return np.asarray(colours[0])
    raise CaseError(
        f"{name_of(path)} has {len(voxels)} channels that differ; expected one label value per "
        "voxel. Export the labels as one layer of values; a layer per class is read with "
        "--mask onehot."
    )


def _marker(values: NDArray[np.generic]) -> int | None:
    """Return the largest value of an unsigned type of 32 bits or more if it occurs, or None."""
    if values.dtype.kind != "u" or values.dtype.itemsize < 4:
        return None
    largest = 2 ** (8 * values.dtype.itemsize) - 1
    return largest if int(values.max(initial=0)) == largest else None


def _label_issue(values: NDArray[np.generic]) -> str | None:
    """Return the problem that makes an array an invalid label map, or None."""
    if values.dtype.kind == "f":
        if not_finite := np.count_nonzero(~np.isfinite(values)):
            return f"{not_finite} voxels that are NaN or infinite"
        fractional = values[np.abs(values - np.rint(values)) > LABEL_TOLERANCE]
        if fractional.size:
            return f"fractional values such as {fractional[0]:.4g}"
    elif values.dtype.kind not in "biu":
        return f"values of type {values.dtype}"
    if values.dtype.kind in "fi" and values.min(initial=0) < -LABEL_TOLERANCE:
        return f"negative values such as {values.min():g}"
    return None


def _geometry_for(values: LabelArray, like: Image) -> Geometry | None:
    """Return the image's geometry for labels without one; None if their axes differ."""
    if values.ndim != like.geometry.num_axes:
        return None
    return like.geometry if values.ndim == 2 else like.stored_geometry


def _image_reorientation(
    like: Image | None, geometry: Geometry, shape: tuple[int, ...]
) -> Reorientation | None:
    """Return the image's reorientation if the labels are on its grid, or None.

    If the image is rotated by about 45 degrees, rounding decides the axis order, so labels must not
    be reoriented independently.
    """
    if like is None or geometry.difference(like.stored_geometry, shape):
        return None
    return like.reorientation if len(like.reorientation.axes) == len(shape) else None


def _slice_axis(shape: tuple[int, ...]) -> int | None:
    """Return the axis of one voxel of a 3-D array, which is a single slice and so a 2-D image."""
    single = [axis for axis, size in enumerate(shape) if size == 1]
    return single[0] if len(shape) == 3 and single else None


def _in_plane(geometry: Geometry, axis: int) -> Geometry:
    """Return the geometry of a slice's other two axes, without the world axis nearest to `axis`."""
    if geometry.num_axes == 2:
        return geometry
    kept = [number for number in range(3) if number != axis]
    direction = np.asarray(geometry.direction)
    normal = axis if axis == 0 else int(np.abs(direction[:, axis]).argmax())
    rows = [number for number in range(3) if number != normal]
    return Geometry(
        spacing=tuple(geometry.spacing[number] for number in kept),
        origin=tuple(geometry.origin[number] for number in rows),
        direction=tuple(tuple(float(direction[row, column]) for column in kept) for row in rows),
        unit=geometry.unit,
    )
