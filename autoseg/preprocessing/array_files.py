"""Arrays in compressed files, in small blocks so that patches load fast."""

import os
from math import prod
from pathlib import Path
from typing import Any

import blosc2
import numpy as np

from autoseg.core.arrays import VoxelSource
from autoseg.core.errors import first_line
from autoseg.core.formatting import format_shape

BLOCK_SHAPES = {2: (64, 128), 3: (16, 32, 32)}
"""Shape of a block, the unit of decompression, by number of patch axes. 32 and 64 KiB of float32
fit into the processor's cache; larger blocks read more than a patch needs (docs/benchmarks)."""

LARGEST_CHUNK = {2: 1024, 3: 128}
"""Maximum edge of a chunk in voxels, by number of patch axes; keeps chunks at or below 8 MiB."""

FULL_CHUNK_BYTES = 2**20
"""Maximum size of a chunk of several 2-D planes. Writing a chunk takes about 0.1 ms, and reads
decompress only the required blocks."""

BAND_BYTES = 2**26
"""Maximum size of the bands that an image is written in, but at least a chunk high."""

COMPRESSION_LEVEL = 5
"""Level of LZ4 with byte shuffling. On a CT of 23 million voxels, LZ4 takes 0.1 s for 43 % of the
size, LZ4HC (as in nnU-Net v2) 0.7 s for 41 %; both read equally fast, Zstandard half as fast."""


def write_array(
    voxels: VoxelSource, path: Path, patch_shape: tuple[int, ...], *, axis: int
) -> None:
    """Write voxels, trailing axes spatial, with chunk and block shapes that suit the patch.

    Args:
        voxels: An image or label map; a large one is loaded in bands of whole chunks.
        path: Output file.
        patch_shape: Shape of the patches to be read, voxels.
        axis: The first spatial axis.
    """
    axes, shape = len(patch_shape), tuple(voxels.shape)
    lead = (1,) * (len(shape) - axes)
    chunk = _chunk_shape(shape, voxels.dtype.itemsize, patch_shape)
    stored = blosc2.empty(
        shape,
        voxels.dtype,
        urlpath=str(path),
        chunks=chunk,
        blocks=_within((*lead, *BLOCK_SHAPES[axes]), chunk),
        cparams={
            "codec": blosc2.Codec.LZ4,
            "clevel": COMPRESSION_LEVEL,
            "filters": [blosc2.Filter.SHUFFLE],
            "splitmode": blosc2.SplitMode.ALWAYS_SPLIT,
            "nthreads": 1,
        },
    )
    chunk_bytes = voxels.dtype.itemsize * prod(shape) // shape[axis] * chunk[axis]
    length = chunk[axis] * max(1, BAND_BYTES // chunk_bytes)
    for start in range(0, shape[axis], length):
        band = (*(slice(None),) * axis, slice(start, start + length))
        stored[band] = np.ascontiguousarray(voxels[band])


def _chunk_shape(
    shape: tuple[int, ...], itemsize: int, patch_shape: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the shape of a chunk: about a patch in 3-D, several planes in 2-D."""
    axes = len(patch_shape)
    edges = map(max, patch_shape, BLOCK_SHAPES[axes])
    wanted = (min(edge, LARGEST_CHUNK[axes]) for edge in edges)
    inner = _within(tuple(wanted), shape[-axes:])
    lead = [1] * (len(shape) - axes)
    if lead and axes == 2:
        fitting = FULL_CHUNK_BYTES // (prod(inner) * itemsize)
        lead[-1] = max(1, min(fitting, shape[-3]))
    return (*lead, *inner)


def _within(wanted: tuple[int, ...], bounds: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(min(size, bound) for size, bound in zip(wanted, bounds, strict=True))


def open_array(path: Path, shape: tuple[int, ...]) -> Any:  # noqa: ANN401  (blosc2 is untyped)
    """Open an array, memory-mapped on POSIX systems, to be decompressed in the current thread.

    Raises:
        ValueError: If it is not an array with these trailing axes, such as one that is computed.
    """
    mapped = {"mmap_mode": "r"} if os.name == "posix" else {}
    try:
        array = blosc2.open(str(path), mode="r", dparams={"nthreads": 1}, **mapped)
    except (OSError, RuntimeError, MemoryError):
        raise
    except Exception as error:  # damaged metadata lead to errors of any type
        raise ValueError(first_line(error)) from error
    is_array = isinstance(array, blosc2.NDArray) and array.shape[-len(shape) :] == shape
    if is_array and prod(array.shape[: -len(shape)]) <= path.stat().st_size:
        return array  # more channels than bytes are damage
    msg = f"expected an array of {format_shape(shape)} voxels"
    raise ValueError(msg)
