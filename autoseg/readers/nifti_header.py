"""Parse the NIfTI header fields that SimpleITK does not provide, or provides only slowly.

Source: field offsets of nifti1.h and nifti2.h, nifti.nimh.nih.gov. NIfTI-1 and Analyze 7.5 may
store header and voxels as a pair of files, `case.hdr` and `case.img`.
"""

import gzip
import struct
from dataclasses import dataclass
from io import BufferedIOBase
from math import isfinite, prod
from pathlib import Path

import numpy as np

from autoseg.readers.limits import DEFLATE_RATIO, check_size

NUMBERS = dict(
    zip(
        (2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280),
        ("u1", "i2", "i4", "f4", "f8", "i1", "u2", "u4", "i8", "u8"),
        strict=True,
    )
)
"""NIfTI codes of data types of one real number."""

VECTOR_AXES = 5
"""Number of axes of a file with vectors: x, y, z, one time, and the components."""

HEADER_BYTES = 540
"""Size of a NIfTI-2 header; NIfTI-1 has 348 bytes."""

HEADER_SIZES = (348, 540)
"""First field of a header: the size of NIfTI-1 and Analyze 7.5, and that of NIfTI-2, bytes."""

MAGIC = (b"n+1\0", b"ni1\0")
"""Last bytes of a NIfTI-1 header, which Analyze 7.5 lacks."""

HEADER_ENDING = ".hdr"
VOXEL_ENDING = ".img"
"""Endings of the two files of a pair."""

MOST_OFFSET = 2**28
"""Greatest offset of the voxels, behind the header and its extensions, bytes."""

GZIP_MARK = b"\x1f\x8b"
"""First bytes of a gzip file (RFC 1952)."""


def is_compressed(path: Path) -> bool:
    """Return True if the content of a file is gzip-compressed, regardless of its name."""
    with path.open("rb") as file:
        return file.read(len(GZIP_MARK)) == GZIP_MARK


def open_decompressed(path: Path) -> BufferedIOBase:
    """Open a file for reading, decompressed if it is compressed."""
    return gzip.open(path) if is_compressed(path) else path.open("rb")


def byte_order(header: bytes | bytearray) -> str:
    """Return `<` or `>`: the first field is the size of the header, 348 or 540."""
    return "<" if int.from_bytes(header[:4], "little") in HEADER_SIZES else ">"


def is_version_2(header: bytes | bytearray) -> bool:
    """Return True for a NIfTI-2 header."""
    return bool(struct.unpack_from(f"{byte_order(header)}i", header)[0] == 540)


def is_analyze(header: bytes | bytearray) -> bool:
    """Return True for a header of Analyze 7.5, which has sizes of voxels but no position."""
    return not is_version_2(header) and bytes(header[344:348]) not in MAGIC


def voxel_file(path: Path) -> Path:
    """Return the file with the voxels: the `.img` file of a `.hdr` file, or else the file."""
    return _other(path, VOXEL_ENDING) if path.suffix.lower() == HEADER_ENDING else path


def _other(path: Path, ending: str) -> Path:
    """Return the file of a pair with an ending, in lower or upper case."""
    upper = path.with_suffix(ending.upper())
    return upper if upper.is_file() else path.with_suffix(ending)


def is_pair(path: Path) -> bool:
    """Return True for the files of a pair; other formats have files with these endings, too."""
    header = _other(path, HEADER_ENDING)
    if not (header.is_file() and voxel_file(header).is_file()):
        return False
    with header.open("rb") as file:
        size = file.read(4)
    return any(int.from_bytes(size, order) in HEADER_SIZES for order in ("little", "big"))


@dataclass(frozen=True)
class NiftiHeader:
    """Position and data type of the voxels of a file.

    Attributes:
        byte_order: `<` or `>`.
        number_type: Such as `i2` or `f4`; empty for other types than numbers.
        shape: Sizes of the axes, x first.
        version: 1 or 2; 0 for Analyze 7.5.
        scale: Factor and summand that make voxels of stored numbers.
        start: Offset of the voxels, bytes.
        size: Expected size of the uncompressed file with the voxels, bytes.
        pixdim: Sizes of the voxels along the first three axes, mm.
    """

    byte_order: str
    number_type: str
    shape: tuple[int, ...]
    version: int
    scale: tuple[float, float]
    start: int
    size: int
    pixdim: tuple[float, ...]

    @property
    def has_fourth_axis(self) -> bool:
        """Whether there is more than one entry along the fourth axis."""
        return self.shape[3:4] > (1,)

    @property
    def is_known_to_itk(self) -> bool:
        """Whether SimpleITK reads the header."""
        return self.version == 1

    @property
    def float_type(self) -> str:
        """`f4` or `f8`; empty for integers."""
        return self.number_type if self.number_type.startswith("f") else ""

    @property
    def is_scaled_vector(self) -> bool:
        """Whether the file has vectors of numbers that have to be scaled."""
        is_vector = len(self.shape) >= VECTOR_AXES and bool(self.number_type)
        return is_vector and self.scale != (1.0, 0.0)

    @classmethod
    def from_file(cls, path: Path) -> "NiftiHeader":
        """Read the header of a file, compressed or not.

        Raises:
            EOFError: If it is truncated.
            ValueError: If it is damaged.
        """
        with open_decompressed(path) as file:
            header = file.read(HEADER_BYTES)
        if len(header) < HEADER_SIZES[len(header) >= 4 and is_version_2(header)]:
            raise EOFError(f"its header is truncated after {len(header)} bytes")
        return cls.from_bytes(header)

    @classmethod
    def from_bytes(cls, header: bytes) -> "NiftiHeader":
        """Parse the bytes of a header.

        Raises:
            ValueError: If it is damaged.
        """
        order = byte_order(header)
        if is_version_2(header):
            code, bits, num_axes, *lengths = struct.unpack_from(f"{order}2h8q", header, 12)
            start, slope, intercept = struct.unpack_from(f"{order}q2d", header, 168)
            pixdim = struct.unpack_from(f"{order}3d", header, 112)
        else:
            num_axes, *lengths = struct.unpack_from(f"{order}8h", header, 40)
            code, bits = struct.unpack_from(f"{order}2h", header, 70)
            start, slope, intercept = struct.unpack_from(f"{order}3f", header, 108)
            pixdim = struct.unpack_from(f"{order}3f", header, 80)
        if not 1 <= num_axes <= len(lengths):
            raise ValueError(f"its header states {num_axes} axes; expected 1 to {len(lengths)}")
        if not 0 <= start <= MOST_OFFSET:
            raise ValueError(
                f"its voxels begin at byte {start:g}; expected a place from 0 to {MOST_OFFSET}"
            )
        is_scaled = slope and isfinite(slope * intercept) and not is_analyze(header)
        return cls(
            byte_order=order,
            number_type=NUMBERS.get(code, ""),
            shape=tuple(lengths[:num_axes]),
            version=2 if is_version_2(header) else 0 if is_analyze(header) else 1,
            scale=(slope, intercept) if is_scaled else (1.0, 0.0),
            start=int(start),
            size=int(start) + prod(lengths[:num_axes]) * bits // 8,
            pixdim=pixdim,
        )

    def check_size(self, path: Path) -> None:
        """Check the size of the image.

        Args:
            path: The file.

        Raises:
            ValueError: If it exceeds a limit.
        """
        first, *others = self.shape
        shape = (first, *(size or int(self.is_known_to_itk) for size in others))  # ITK: 0 is 1
        stated = (self.size - self.start) / (prod(self.shape) or 1)
        item_bytes = max(stated, np.dtype(self.number_type or "u1").itemsize)
        file = voxel_file(path)
        ratio = DEFLATE_RATIO if is_compressed(file) else 1
        check_size(shape, item_bytes, lambda: [file.stat().st_size], ratio=ratio)
