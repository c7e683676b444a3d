"""Parse the NIfTI header fields that SimpleITK does not provide, or provides only slowly.

Source: field offsets of nifti1.h and nifti2.h, nifti.nimh.nih.gov.
"""

import gzip
import struct
from dataclasses import dataclass
from io import BufferedIOBase
from math import prod
from pathlib import Path

FLOATS = {16: "f4", 64: "f8"}
"""NIfTI codes of floating-point data types, which can be NaN or infinite."""

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


@dataclass(frozen=True)
class NiftiHeader:
    """Position and data type of the voxels of a file.

    Attributes:
        byte_order: `<` or `>`.
        float_type: `f4` or `f8`; empty for integers.
        start: Offset of the voxels, bytes.
        size: Expected size of the uncompressed file, bytes.
    """

    byte_order: str
    float_type: str
    start: int
    size: int

    @classmethod
    def from_file(cls, path: Path) -> "NiftiHeader":
        """Read the header of a file, compressed or not."""
        with open_decompressed(path) as file:
            return cls.from_bytes(file.read(HEADER_BYTES))

    @classmethod
    def from_bytes(cls, header: bytes) -> "NiftiHeader":
        """Parse the bytes of a header.

        The first field is the size of the header, 348 or 540, which reveals the byte order.
        """
        order = "<" if int.from_bytes(header[:4], "little") in (348, 540) else ">"
        if struct.unpack_from(f"{order}i", header)[0] == 540:
            code, bits, num_axes, *lengths = struct.unpack_from(f"{order}2h8q", header, 12)
            (start,) = struct.unpack_from(f"{order}q", header, 168)
        else:
            num_axes, *lengths = struct.unpack_from(f"{order}8h", header, 40)
            code, bits = struct.unpack_from(f"{order}2h", header, 70)
            (start,) = struct.unpack_from(f"{order}f", header, 108)
        return cls(
            byte_order=order,
            float_type=FLOATS.get(code, ""),
            start=int(start),
            size=int(start) + prod(lengths[:num_axes]) * bits // 8,
        )
