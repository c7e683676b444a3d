"""What of a NIfTI header SimpleITK does not tell, or tells slowly.

Source: field offsets of nifti1.h and nifti2.h, nifti.nimh.nih.gov.
"""

import gzip
import struct
from dataclasses import dataclass
from io import BufferedIOBase
from math import prod
from pathlib import Path

FLOATS = {16: "f4", 64: "f8"}
"""NIfTI's codes of the number types that can be NaN or infinite."""

HEADER_BYTES = 540
"""Of the second version; the first has 348."""

GZIP_MARK = b"\x1f\x8b"
"""How a gzip file begins (RFC 1952)."""


def is_compressed(path: Path) -> bool:
    """Return whether a file is compressed, whatever its name says."""
    with path.open("rb") as file:
        return file.read(len(GZIP_MARK)) == GZIP_MARK


def opened(path: Path) -> BufferedIOBase:
    """Open a file for reading what it has before compression."""
    return gzip.open(path) if is_compressed(path) else path.open("rb")


@dataclass(frozen=True)
class NiftiHeader:
    """Where the voxels of a file are, and what they are.

    Attributes:
        byte_order: `<` or `>`.
        float_type: `f4` or `f8`; empty for numbers that are always finite.
        start: Bytes before the voxels.
        size: Bytes that the file should have before compression.
    """

    byte_order: str
    float_type: str
    start: int
    size: int

    @classmethod
    def of(cls, path: Path) -> "NiftiHeader":
        """Return the header of a file, compressed or not."""
        with opened(path) as file:
            return cls.parsed(file.read(HEADER_BYTES))

    @classmethod
    def parsed(cls, header: bytes) -> "NiftiHeader":
        """Return what the bytes of a header say.

        They begin with the header's own size, 348 or 540, in the byte order of the file.
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
