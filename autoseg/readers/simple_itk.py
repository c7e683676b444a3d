"""NIfTI, Analyze 7.5, NRRD and MetaImage, through SimpleITK.

SimpleITK orders axes x, y, z; this module converts to array order (z, y, x) and back.
"""

import errno
import os
import re
import struct
import zlib
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from typing_extensions import override

from autoseg.core.arrays import LabelArray
from autoseg.core.atomic_write import atomic_write
from autoseg.core.geometry import Geometry
from autoseg.readers.base import READERS, Header, Reader, StoredArray, StoredImage
from autoseg.readers.names import ending_of
from autoseg.readers.nifti_forms import NiftiForms
from autoseg.readers.nifti_header import (
    HEADER_ENDING,
    NiftiHeader,
    is_compressed,
    open_decompressed,
    voxel_file,
)
from autoseg.readers.segments import Segment, segments_in
from autoseg.readers.text_headers import DATA_FILE, check_meta_image, check_nrrd, check_vectors

ItkImage: TypeAlias = Any
"""A `SimpleITK.Image`; SimpleITK is imported only where it is used."""

IMAGE_IO = {
    ".nii": "NiftiImageIO",
    ".nii.gz": "NiftiImageIO",
    HEADER_ENDING: "NiftiImageIO",
    ".nrrd": "NrrdImageIO",
    ".seg.nrrd": "NrrdImageIO",
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
}
"""SimpleITK's IO class of each format. Passing it avoids slow format detection, and SimpleITK would
not detect extensions in upper case."""

LARGEST_HEADER_BYTES = 2**20
"""Maximum size of a .mhd file; a header that lists one file per slice may be long."""

PATTERN = re.compile(r"[^%]*%0?\d{0,2}d[^%\s]*(\s+\d{1,6}){0,4}\s*")
"""Pattern of numbered files, and their numbers; ITK passes it to `printf`."""

BOTH_CHANNELS = "it has a fourth axis and several components per voxel; expected only one of them"

CHUNK_BYTES = 2**20
"""Bytes read at a time; a multiple of the size of every data type."""


@READERS.register
class SimpleItkReader(Reader):
    """Formats that hold 2-D and 3-D images in world coordinates.

    Channels are the components of a vector image or the fourth axis of a 4-D file.
    """

    kind: Literal["simple_itk"] = "simple_itk"
    endings: ClassVar[tuple[str, ...]] = tuple(IMAGE_IO)
    label_endings: ClassVar[tuple[str, ...]] = (
        ".nii.gz",
        *(ending for ending in IMAGE_IO if ending not in (".nii.gz", HEADER_ENDING)),
    )
    holds_world_geometry: ClassVar[bool] = True

    @override
    def read(self, path: Path) -> StoredImage:
        import SimpleITK

        _check(path)
        if _is_nifti(path):
            header = NiftiHeader.from_file(path)
            if header.float_type or header.is_scaled_vector or not header.is_known_to_itk:
                return _read_nifti(path, header)
        image = SimpleITK.ReadImage(str(path), imageIO=IMAGE_IO[ending_of(path)])
        if _is_nifti(path):
            _check_complete(path)
        axes = _space_axes(image.GetDimension())
        return StoredImage(
            voxels=_channels_first(image),
            geometry=_geometry(image, axes),
            forms=_forms(path),
            segments=_segments(image, path),
            has_fourth_axis=image.GetDimension() == 4,
        )

    @override
    def read_header(self, path: Path) -> Header:
        _check(path)
        if _is_nifti(path) and not (header := NiftiHeader.from_file(path)).is_known_to_itk:
            channels, *shape = _nifti_shape(header)
            return Header(tuple(shape), channels, header.has_fourth_axis)
        reader = _information(path)
        size = reader.GetSize()
        axes = _space_axes(len(size))
        return Header(
            shape=tuple(int(length) for length in reversed(size[:axes])),
            num_channels=reader.GetNumberOfComponents() * (size[3] if len(size) == 4 else 1),
            has_fourth_axis=len(size) == 4,
        )

    @override
    def write(self, labels: LabelArray, geometry: Geometry, path: Path) -> None:
        import SimpleITK

        geometry = geometry.in_unit("mm")
        image = SimpleITK.GetImageFromArray(labels)
        image.SetSpacing(tuple(reversed(geometry.spacing)))
        image.SetOrigin(tuple(reversed(geometry.origin)))
        image.SetDirection(np.asarray(geometry.direction)[::-1, ::-1].ravel().tolist())
        with atomic_write(path) as temporary:
            if ending_of(path) == ".mhd":
                # Write .mha and rename: .mhd allows header and voxels in one file, and two files
                # could not be replaced atomically.
                single = temporary.with_suffix(".mha")
                try:
                    SimpleITK.WriteImage(image, str(single), useCompression=True)
                    single.replace(temporary)
                finally:
                    single.unlink(missing_ok=True)
            else:
                SimpleITK.WriteImage(image, str(temporary), useCompression=True)
            if _is_nifti(path):
                _check_written(temporary, path)

    @override
    def knows_geometry(self, path: Path) -> bool:
        return not _is_nifti(path) or NiftiHeader.from_file(path).version > 0

    @override
    def segments(self, path: Path) -> tuple[Segment, ...]:
        if not _is_nrrd(path):
            return ()
        _check(path)
        return _segments(_information(path), path)

    @override
    def companion_files(self, path: Path) -> tuple[Path, ...]:
        if ending_of(path) == HEADER_ENDING:
            return (voxel_file(path),) if voxel_file(path).is_file() else ()
        return tuple(filter(_is_file, _listed_files(path)))


def _is_nifti(path: Path) -> bool:
    return IMAGE_IO[ending_of(path)] == "NiftiImageIO"


def _is_nrrd(path: Path) -> bool:
    return IMAGE_IO[ending_of(path)] == "NrrdImageIO"


def _segments(source: ItkImage, path: Path) -> tuple[Segment, ...]:
    """Return the segments in the header of an NRRD file, read by SimpleITK."""
    if not _is_nrrd(path):
        return ()
    return segments_in({key: source.GetMetaData(key) for key in source.GetMetaDataKeys()})


def _check(path: Path) -> None:
    """Check the header of a file before ITK parses it.

    Raises:
        ValueError: If it is damaged, or the voxels exceed a limit.
    """
    if _is_nifti(path):
        header = NiftiHeader.from_file(path)
        header.check_size(path)
        if header.version:
            forms = NiftiForms.from_file(path)
            forms.check()
            if not header.is_known_to_itk:
                check_vectors(forms.affine[:, : min(3, len(header.shape))].T)
        return
    listed = _listed_files(path)
    if odd := [file for file in listed if not _is_file(file) and (file.is_dir() or file.exists())]:
        raise ValueError(f"its voxels are in {odd[0]}, which is not a file")
    for name in (file.name for file in listed if "%" in file.name and not _is_file(file)):
        if not PATTERN.fullmatch(name):
            raise ValueError(f"its voxels are in {name}, which is not a name or pattern of files")
    check = check_nrrd if _is_nrrd(path) else check_meta_image
    is_local = not listed or listed[0].name.upper() == "LOCAL"
    check(path, [path] if is_local else [file for file in listed if _is_file(file)])


def _listed_files(path: Path) -> list[Path]:
    """Return the files with the voxels that the header of a file lists; they may not exist."""
    if not ending_of(path).endswith((".mhd", ".mha", ".nrrd")):
        return []
    with path.open(encoding="latin-1") as file:
        header = file.read(LARGEST_HEADER_BYTES)
    return (_nrrd_data_files if _is_nrrd(path) else _data_files)(header, path.parent)


def _data_files(header: str, folder: Path) -> list[Path]:
    """Return the data files listed in a MetaImage header; they may not exist.

    The last field, `ElementDataFile`, has a name, or LIST followed by one name per line. LOCAL and
    number patterns are returned as names of files that do not exist.
    """
    _, *names = DATA_FILE.split(header, maxsplit=1)
    first, *others = "".join(names).splitlines() or [""]
    listed = others if first.strip().startswith("LIST") else [first]
    return [folder / name.strip() for name in listed if name.strip()]


def _nrrd_data_files(header: str, folder: Path) -> list[Path]:
    """Return the data files listed in an NRRD header; they may not exist.

    The header ends at the first empty line. Its last field, `data file`, has a name, or LIST
    followed by one name per line. Source: NRRD format, teem.sourceforge.net/nrrd/format.html.
    """
    lines = header.partition("\n\n")[0].splitlines()
    for place, line in enumerate(lines):
        field, _, name = line.partition(":")
        if field.strip().lower() in ("data file", "datafile"):
            first = name.strip()
            names = lines[place + 1 :] if first.startswith("LIST") else [first]
            return [folder / entry.strip() for entry in names if entry.strip()]
    return []


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a header line that is not a valid file name
        return False


def _information(path: Path) -> Any:  # noqa: ANN401  (a SimpleITK.ImageFileReader)
    """Read the header of a file."""
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(IMAGE_IO[ending_of(path)])
    reader.ReadImageInformation()
    return reader


def _nifti_shape(header: NiftiHeader) -> tuple[int, ...]:
    """Return channels and spatial axes in array order; a fourth or fifth axis holds channels.

    Raises:
        ValueError: If there are other axes, or both of these.
    """
    space, more = header.shape[:3], header.shape[3:]
    channels = [size for size in more if size > 1]
    if len(channels) > 1 or len(space) < 2:
        raise ValueError(BOTH_CHANNELS if len(space) > 1 else "it has less than 2 axes; expected 2")
    return (prod(channels), *reversed(space))


def _read_nifti(path: Path, header: NiftiHeader) -> StoredImage:
    """Read what SimpleITK changes or rejects: NaN becomes 0, vectors are not scaled, NIfTI-2.

    The axes of Analyze 7.5, which stores no orientation, are those of its default: x to the left, y
    to the front, z up, from the position 0 on. Source: analyzedb.h, orientation 0.

    Raises:
        EOFError: If the file is truncated.
        ValueError: If the data type is not a number.
    """
    if not header.number_type:
        raise ValueError("its data type is not a real number; expected integers or floating point")
    shape = _nifti_shape(header)
    voxels = np.empty(prod(shape), np.dtype(header.byte_order + header.number_type))
    view, done = voxels.view(np.uint8).data, 0
    with open_decompressed(voxel_file(path)) as stream:
        stream.seek(header.start)
        while done < len(view) and (count := stream.readinto(view[done : done + CHUNK_BYTES])):
            done += count
    if done < len(view):
        raise EOFError(f"it is truncated after {header.start + done} of {header.size} bytes")
    voxels = voxels.astype(voxels.dtype.newbyteorder("="), copy=False)
    if header.scale != (1.0, 0.0):
        slope, intercept = map(np.float32, header.scale)
        voxels = voxels.astype(np.float32) * slope + intercept
    if not header.is_known_to_itk:
        whole = NiftiForms.from_file(path).geometry if header.version else _plain(header)
        axes = len(shape) - 1
        geometry = Geometry(
            whole.spacing[-axes:],
            whole.origin[-axes:],
            tuple(row[-axes:] for row in whole.direction[-axes:]),
        )
    else:
        information = _information(path)
        geometry = _geometry(information, _space_axes(len(information.GetSize())))
    return StoredImage(
        voxels=voxels.reshape(shape),
        geometry=geometry,
        forms=_forms(path),
        has_fourth_axis=header.has_fourth_axis,
    )


def _plain(header: NiftiHeader) -> Geometry:
    """Return the geometry of a header of Analyze 7.5."""
    spacing = tuple(abs(size) or 1.0 for size in reversed(header.pixdim))
    direction = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0))
    return Geometry(spacing=spacing, origin=(0.0, 0.0, 0.0), direction=direction)


def _forms(path: Path) -> NiftiForms | None:
    """Return the forms of a NIfTI file, which its label maps keep; None for other formats."""
    is_positioned = _is_nifti(path) and NiftiHeader.from_file(path).version > 0
    return NiftiForms.from_file(path) if is_positioned else None


def _check_complete(path: Path) -> None:
    """Check that a NIfTI file is not truncated, which SimpleITK does not detect.

    A gzip file ends with the size of its content modulo 2³² (RFC 1952). If this differs from the
    size in the header, the file is decompressed to find its size: it may have several members.
    """
    expected, path = NiftiHeader.from_file(path).size, voxel_file(path)
    size = path.stat().st_size
    if is_compressed(path):
        with path.open("rb") as file:
            file.seek(-4, 2)
            if int.from_bytes(file.read(), "little") == expected % 2**32:
                return
        with open_decompressed(path) as stream:
            size = 0  # no more than is expected: the rest may be without end
            while size < expected and (chunk := stream.read(CHUNK_BYTES)):
                size += len(chunk)
    if size < expected:
        raise EOFError(f"it is truncated after {size} of {expected} bytes")


def _check_written(temporary: Path, path: Path) -> None:
    """Raise the error of a full disk if SimpleITK silently wrote only a part of the file."""
    try:
        _check_complete(temporary)
    except (EOFError, OSError, struct.error, zlib.error) as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def _space_axes(dimension: int) -> int:
    """Return the number of spatial axes; the fourth axis of a file holds channels."""
    if dimension not in (2, 3, 4):
        raise ValueError(f"it has {dimension} axes; expected 2 or 3, or 3 and a channel axis")
    return min(dimension, 3)


def _channels_first(image: ItkImage) -> StoredArray:
    """Return the voxels as `channels *space`."""
    import SimpleITK

    voxels: StoredArray = SimpleITK.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        if image.GetDimension() == 4:
            raise ValueError(BOTH_CHANNELS)
        return np.moveaxis(voxels, -1, 0)
    return voxels if image.GetDimension() == 4 else voxels[None]


def _geometry(image: ItkImage, axes: int) -> Geometry:
    """Return the geometry of the first `axes` axes, in array order."""
    dimension = image.GetDimension()
    direction = np.reshape(image.GetDirection(), (dimension, dimension))[:axes, :axes][::-1, ::-1]
    return Geometry(
        spacing=tuple(float(value) for value in image.GetSpacing()[:axes][::-1]),
        origin=tuple(float(value) for value in image.GetOrigin()[:axes][::-1]),
        direction=tuple(tuple(float(value) for value in row) for row in direction),
    )
