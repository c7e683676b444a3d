"""Limits of what a file may claim, checked before memory is allocated for it.

A damaged or malicious file of a few bytes may claim an image of terabytes.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from math import prod

from autoseg.core.formatting import format_number, format_shape

VARIABLE = "AUTOSEG_MAX_IMAGE_GIB"
"""Environment variable with the value of `--max-image-gib`, which worker processes inherit."""

DEFAULT_GIB = 8.0
"""Greatest size of one file's voxels in memory unless `--max-image-gib` states another, GiB."""

LEAST_BYTES = 4
"""Size of a voxel in memory, as float32."""

SMALL = 2**26
"""Size of voxels that is read however few bytes are stored: 64 MiB."""

DEFLATE_RATIO = 1032
"""Greatest ratio of compression by deflate (gzip, PNG, ZIP). Source: zlib.net/zlib_tech.html."""

GREATEST_RATIO = 1_000_000
"""Ratio that other compression reaches with constant voxels, such as Zstandard, lossless WebP, or
CCITT G4 in TIFF files, which needs one bit for a row; also that of tiles that are not stored."""


def max_image_gib() -> float:
    """Return the greatest size of one file's voxels in memory, GiB."""
    return float(os.environ.get(VARIABLE, DEFAULT_GIB))  # noqa: TID251


def set_max_image_gib(value: float) -> None:
    """Set the limit of this process and of those that it starts."""
    os.environ[VARIABLE] = str(value)  # noqa: TID251


def check_limit(shape: Sequence[int], item_bytes: int) -> None:
    """Check the size that the header of an array claims whose empty chunks are not stored.

    Args:
        shape: Sizes of all axes.
        item_bytes: Size of a value in memory, bytes.

    Raises:
        ValueError: If a size is not positive, or the values exceed the limit.
    """
    check_size(shape, item_bytes, lambda: [prod(shape) * item_bytes], ratio=1)


def check_size(
    shape: Sequence[int],
    item_bytes: float | int,
    stored: Callable[[], Iterable[int]],
    *,
    ratio: int = GREATEST_RATIO,
) -> None:
    """Check the size that a header claims.

    Args:
        shape: Sizes of all axes.
        item_bytes: Size of a value in memory, bytes.
        stored: Yields the sizes of the files that store the values, bytes; only called for large
            claims.
        ratio: Greatest ratio of compression of the format.

    Raises:
        ValueError: If a size is not positive, or the values exceed the limit or cannot be stored in
            so few bytes.
    """
    shown = format_shape(shape)
    if not shape or min(shape) < 1:
        raise ValueError(f"its size is {shown or 'missing'}; expected 1 or more along each axis")
    claimed, limit = prod(shape) * item_bytes, max_image_gib()
    gib = prod(shape) * max(item_bytes, LEAST_BYTES) / 2**30
    if not gib <= limit:
        raise ValueError(
            f"it claims {shown} values, {format_number(gib)} GiB in memory; the limit is "
            f"{format_number(limit)} GiB. Raise it with --max-image-gib if the image is that large"
        )
    total = 0
    for size in stored() if claimed > SMALL else (SMALL,):
        total += size
        if claimed <= ratio * total:
            return
    raise ValueError(
        f"it claims {shown} values, {format_number(claimed / 2**30)} GiB, but stores {total} bytes"
    )


def check_chunks(
    shape: Sequence[int], chunks: Sequence[int], item_bytes: int, stored: Iterable[int]
) -> None:
    """Check that the chunks of an array, which are decompressed whole, are not too large.

    Args:
        shape: Shape of the array.
        chunks: Shape of a chunk.
        item_bytes: Size of a value, bytes.
        stored: Sizes of the compressed chunks, bytes.

    Raises:
        ValueError: If they exceed a limit, or are larger than without compression.
    """
    check_limit(chunks, item_bytes)
    whole = [-(-size // chunk) * chunk for size, chunk in zip(shape, chunks, strict=True)]
    if (total := sum(stored)) > 2 * prod(whole) * item_bytes + SMALL // DEFLATE_RATIO:
        raise ValueError(
            f"its chunks have {total} bytes, more than {format_shape(shape)} values need"
        )
