"""Write maps of numbers from 0 to 1, such as probabilities, with the geometry of an image.

A map has one byte per voxel. NIfTI stores the factor 1/255, so that programs show 0 to 1; a TIFF
cannot, and holds 0 to 255.
"""

import gzip
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from autoseg.core.atomic_write import atomic_write, temporary_folder
from autoseg.core.case import Image
from autoseg.core.errors import CaseError
from autoseg.core.formatting import format_shape
from autoseg.core.geometry import Geometry
from autoseg.readers.nifti_forms import HEADER_BYTES, keep_forms
from autoseg.readers.tiff_geometry import IMAGEJ_UNITS
from autoseg.readers.writing import write_stored_labels

FULL = 255
"""Stored value of 1."""

LARGEST_SIZE = 2**15 - 1
"""Largest size along an axis of a NIfTI-1 file, voxels."""

UINT8 = (2, 8)
"""Code and bits of bytes. Source: nifti1.h."""

COMPRESSION_LEVEL = 6

ByteMap = UInt8[np.ndarray, "*space"]


def write_scaled_maps(
    maps: Iterable[ByteMap], names: Sequence[str], like: Image, path: Path
) -> None:
    """Write maps atomically, one after another, so that only one of them is in memory.

    Args:
        maps: Maps in canonical orientation, same shape as `like`, 0 … `FULL`.
        names: Name of each map; they become the fourth axis of a NIfTI, or the pages of a TIFF. A
            single map of a volume is written with 3 axes.
        like: The image that the maps belong to.
        path: A new `.nii.gz` file, or a `.tif` file for a picture.

    Raises:
        CaseError: If the format cannot store the maps.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write = _write_tiff if path.suffix == ".tif" else _write_nifti
    write((_stored(one, like) for one in maps), names, like, path)


def _stored(values: NDArray[np.generic], like: Image) -> NDArray[np.generic]:
    """Return a map in the stored orientation, with as many axes as the file of the image."""
    stored = like.reorientation.invert(values)
    if stored.ndim < like.stored_geometry.num_axes:
        stored = np.expand_dims(stored, like.slice_axis)
    return np.ascontiguousarray(stored)


def _write_nifti(
    maps: Iterator[NDArray[np.generic]], names: Sequence[str], like: Image, path: Path
) -> None:
    first = next(maps)
    if max(first.shape) > LARGEST_SIZE:
        raise CaseError(
            f"{path} cannot be written: the image has {format_shape(first.shape)} voxels, but "
            f"NIfTI files hold at most {LARGEST_SIZE} along an axis. Divide the image."
        )
    header = _nifti_header(first.shape, len(names), like, path)
    with (
        atomic_write(path) as temporary,
        temporary.open("wb") as raw,
        # neither a name nor a time, so that equal maps are equal files
        gzip.GzipFile("", "wb", COMPRESSION_LEVEL, raw, mtime=0) as file,
    ):
        file.write(header)
        file.write(first.data)
        for one in maps:
            file.write(one.data)


def _nifti_header(shape: tuple[int, ...], count: int, like: Image, path: Path) -> bytes:
    """Return the header that a label map of the image has, for bytes with a factor."""
    geometry = like.stored_geometry
    with temporary_folder(path) as folder:
        example = folder / "header.nii"
        write_stored_labels(np.zeros((1,) * len(shape), np.uint8), geometry, example)
        if like.forms is not None:
            keep_forms(example, like.forms)
        header = bytearray(example.read_bytes()[:HEADER_BYTES])
    sizes = [*reversed(shape), 1][:3]
    axes = (len(shape), *sizes, 1) if count == 1 else (4, *sizes, count)
    struct.pack_into("<8h", header, 40, *axes, 1, 1, 1)
    struct.pack_into("<2h", header, 70, *UINT8)
    struct.pack_into("<3f", header, 108, HEADER_BYTES, 1 / FULL, 0.0)
    return bytes(header)


def _write_tiff(
    maps: Iterator[NDArray[np.generic]], names: Sequence[str], like: Image, path: Path
) -> None:
    import tifffile

    first = next(maps)

    def pages() -> Iterator[NDArray[np.generic]]:
        yield first
        yield from maps

    metadata: dict[str, Any] = {"axes": "CYX", "Labels": list(names), "min": 0.0, "max": FULL}
    with atomic_write(path) as temporary:
        tifffile.imwrite(
            temporary,
            pages(),
            shape=(len(names), *first.shape),
            dtype=np.uint8,
            imagej=True,
            compression="zlib",
            photometric="minisblack",
            metadata=metadata | _unit(like.geometry),
            resolution=_resolution(like.geometry),
        )


def _is_known(geometry: Geometry) -> bool:
    return geometry.unit != "mm" or set(geometry.spacing) != {1.0}


def _unit(geometry: Geometry) -> dict[str, Any]:
    unit = IMAGEJ_UNITS.get(geometry.unit, geometry.unit)
    return {"unit": unit} if _is_known(geometry) else {}


def _resolution(geometry: Geometry) -> tuple[float, float] | None:
    rows, columns = geometry.spacing
    return (1 / columns, 1 / rows) if _is_known(geometry) else None
