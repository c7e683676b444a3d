"""Arrays on disk, compressed in small blocks so that patches load fast."""

import os
from math import prod
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from numpy.typing import NDArray

from autoseg.core.formatting import format_shape

BLOCK_SHAPES = {2: (64, 128), 3: (16, 32, 32)}
"""Shape of a block, the unit of decompression, by number of patch axes. 32 and 64 KiB of float32
fit into the processor's cache; larger blocks read more than a patch needs (docs/benchmarks)."""

LARGEST_CHUNK = {2: 1024, 3: 128}
"""Maximum edge of a chunk in voxels, by number of patch axes; keeps chunks at or below 8 MiB."""

FULL_CHUNK_BYTES = 2**20
"""Maximum size of a chunk of several 2-D planes. Writing a chunk takes about 0.1 ms, and reads
decompress only the required blocks."""

COMPRESSION_LEVEL = 5
"""Level of LZ4 with byte shuffling. On a CT of 23 million voxels, LZ4 takes 0.1 s for 43 % of the
size, LZ4HC (as in nnU-Net v2) 0.7 s for 41 %; both read equally fast, Zstandard half as fast."""


def write_array(array: NDArray[Any], path: Path, patch_shape: tuple[int, ...]) -> None:
    """Write an array with chunk and block shapes that suit the patch.

    Args:
        array: An array whose trailing axes are spatial.
        path: Output file.
        patch_shape: Shape of the patches to be read, voxels; two axes mean single slices.
    """
    axes = len(patch_shape)
    lead = (1,) * (array.ndim - axes)
    chunk = _chunk_shape(array, patch_shape)
    blosc2.asarray(
        np.ascontiguousarray(array),
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


def _chunk_shape(array: NDArray[Any], patch_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a chunk: about a patch in 3-D, several planes in 2-D."""
    axes = len(patch_shape)
    edges = map(max, patch_shape, BLOCK_SHAPES[axes])
    wanted = (min(edge, LARGEST_CHUNK[axes]) for edge in edges)
    inner = _within(tuple(wanted), array.shape[-axes:])
    lead = [1] * (array.ndim - axes)
    if lead and axes == 2:
        fitting = FULL_CHUNK_BYTES // (prod(inner) * array.itemsize)
        lead[-1] = max(1, min(fitting, array.shape[-3]))
    return (*lead, *inner)


def _within(wanted: tuple[int, ...], bounds: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(min(size, bound) for size, bound in zip(wanted, bounds, strict=True))


def open_array(path: Path, shape: tuple[int, ...]) -> Any:  # noqa: ANN401  (blosc2 is untyped)
    """Open an array, memory-mapped on POSIX systems, to be decompressed in the current thread.

    Raises:
        ValueError: If it is not an array with these trailing axes, such as one that is computed.
    """
    mapped = {"mmap_mode": "r"} if os.name == "posix" else {}
    array = blosc2.open(str(path), mode="r", dparams={"nthreads": 1}, **mapped)
    if isinstance(array, blosc2.NDArray) and array.shape[-len(shape) :] == shape:
        return array
    msg = f"expected an array of {format_shape(shape)} voxels"
    raise ValueError(msg)
