"""Parse the NIfTI header fields that SimpleITK does not provide, or provides only slowly.

Source: field offsets of nifti1.h and nifti2.h, nifti.nimh.nih.gov.
"""

import gzip
import struct
from dataclasses import dataclass
from io import BufferedIOBase
from math import isfinite, prod
from pathlib import Path

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
    return "<" if int.from_bytes(header[:4], "little") in (348, 540) else ">"


def is_version_2(header: bytes | bytearray) -> bool:
    """Return True for a NIfTI-2 header."""
    return bool(struct.unpack_from(f"{byte_order(header)}i", header)[0] == 540)


@dataclass(frozen=True)
class NiftiHeader:
    """Position and data type of the voxels of a file.

    Attributes:
        byte_order: `<` or `>`.
        number_type: Such as `i2` or `f4`; empty for other types than numbers.
        shape: Sizes of the axes, x first.
        version: 1 or 2.
        scale: Factor and summand that make voxels of stored numbers.
        start: Offset of the voxels, bytes.
        size: Expected size of the uncompressed file, bytes.
    """

    byte_order: str
    number_type: str
    shape: tuple[int, ...]
    version: int
    scale: tuple[float, float]
    start: int
    size: int

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
        """Read the header of a file, compressed or not."""
        with open_decompressed(path) as file:
            return cls.from_bytes(file.read(HEADER_BYTES))

    @classmethod
    def from_bytes(cls, header: bytes) -> "NiftiHeader":
        """Parse the bytes of a header."""
        order = byte_order(header)
        if is_version_2(header):
            code, bits, num_axes, *lengths = struct.unpack_from(f"{order}2h8q", header, 12)
            start, slope, intercept = struct.unpack_from(f"{order}q2d", header, 168)
        else:
            num_axes, *lengths = struct.unpack_from(f"{order}8h", header, 40)
            code, bits = struct.unpack_from(f"{order}2h", header, 70)
            start, slope, intercept = struct.unpack_from(f"{order}3f", header, 108)
        return cls(
            byte_order=order,
            number_type=NUMBERS.get(code, ""),
            shape=tuple(lengths[:num_axes]),
            version=2 if is_version_2(header) else 1,
            scale=(slope, intercept) if slope and isfinite(slope * intercept) else (1.0, 0.0),
            start=int(start),
            size=int(start) + prod(lengths[:num_axes]) * bits // 8,
        )
