"""Encode arrays as files for the browser, in memory: NIfTI for volumes, PNG for pictures."""

import gzip
import struct
from io import BytesIO

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from autoseg.core.geometry import Geometry

HEADER_BYTES = 352
"""Size of a NIfTI-1 header with the four bytes that announce extensions."""

DATA_TYPES = {"uint8": 2, "int16": 4, "float32": 16, "int8": 256, "uint16": 512}
"""NIfTI codes of data types. Source: nifti1.h, nifti.nimh.nih.gov."""

UNITS = {"mm": 2, "µm": 3}
"""NIfTI codes of units; others have none."""

SCANNER = 1
"""NIfTI code of coordinates of the scanner."""

FAST = 1
"""Compression level of gzip and PNG: the files stay on this machine."""


def affine(geometry: Geometry) -> Float[np.ndarray, "4 4"]:
    """Return the matrix from voxels (x, y, z) to positions to right, anterior and superior.

    Positions have the unit of the geometry.
    """
    matrix = np.eye(4)
    scaled = np.asarray(geometry.direction) * np.asarray(geometry.spacing)
    matrix[:3, :3] = scaled[::-1, ::-1]
    matrix[:3, 3] = geometry.origin[::-1]
    matrix[:2] *= -1  # positions of `Geometry` are to left and posterior
    return matrix


def nifti(
    voxels: Shaped[np.ndarray, "z y x"], geometry: Geometry, window: tuple[float, float]
) -> bytes:
    """Encode a volume as gzip-compressed NIfTI-1 with an sform.

    Args:
        voxels: The volume, in the axis order of its geometry.
        geometry: Its geometry.
        window: Intensities to draw black and white.
    """
    matrix = affine(geometry)
    header = bytearray(HEADER_BYTES)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *reversed(voxels.shape), 1, 1, 1, 1)
    bits = 8 * voxels.dtype.itemsize
    struct.pack_into("<2h", header, 70, DATA_TYPES[voxels.dtype.name], bits)
    struct.pack_into("<8f", header, 76, 1, *reversed(geometry.spacing), 0, 0, 0, 0)
    struct.pack_into("<3f", header, 108, HEADER_BYTES, 1, 0)
    header[123] = UNITS.get(geometry.unit, 0)
    struct.pack_into("<2f", header, 124, *reversed(window))
    struct.pack_into("<2h", header, 252, 0, SCANNER)
    struct.pack_into("<12f", header, 280, *matrix[:3].ravel())
    header[344:348] = b"n+1\0"
    written = BytesIO()
    with gzip.GzipFile(fileobj=written, mode="wb", compresslevel=FAST, mtime=0) as file:
        file.write(header)
        file.write(np.ascontiguousarray(voxels, voxels.dtype.newbyteorder("<")).data)
    return written.getvalue()


def picture(voxels: Shaped[np.ndarray, "colours y x"], window: tuple[float, float]) -> bytes:
    """Encode one channel as a grey PNG, or three as red, green and blue, with 8 bits.

    Args:
        voxels: The channels.
        window: Intensities to draw black and white.
    """
    low, high = window
    scaled = (voxels.astype(np.float32) - low) * (255 / (high - low))
    with np.errstate(invalid="ignore"):  # NaN is drawn black
        bytes_ = np.clip(np.nan_to_num(scaled), 0, 255).round().astype(np.uint8)
    return _png(np.moveaxis(bytes_, 0, -1) if len(bytes_) == 3 else bytes_[0])


def index_picture(indices: NDArray[np.unsignedinteger]) -> bytes:
    """Encode class indices as a PNG: low byte in red, high byte in green.

    Browsers would reduce a grey PNG of 16 bits to 8.
    """
    low, high = (indices & 255).astype(np.uint8), (indices >> 8).astype(np.uint8)
    return _png(np.stack([low, high, np.zeros_like(low)], axis=-1))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    written = BytesIO()
    Image.fromarray(pixels).save(written, "PNG", compress_level=FAST)
    return written.getvalue()
