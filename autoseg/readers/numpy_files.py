"""NumPy arrays in .npy files, and .npz archives of one array."""

from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, Literal
from zipfile import ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from typing_extensions import override

from autoseg.core.arrays import LabelArray
from autoseg.core.atomic_write import atomic_write
from autoseg.core.formatting import format_names, format_shape
from autoseg.core.geometry import Geometry
from autoseg.readers.base import READERS, Header, Reader, StoredArray, StoredImage
from autoseg.readers.limits import DEFLATE_RATIO, check_size
from autoseg.readers.sidecar import sidecar_geometry, sidecars_of, write_sidecar

COLOURS = (3, 4)
"""Lengths of the last axis of a colour picture: red, green, blue, and opacity."""

FEWEST_SLICES = 5
"""Length from which on the first axis of a 3-D array holds slices, and the last one columns."""

MOST_HEADER_BYTES = 2**14
"""Greatest size of a header; NumPy itself reads up to 10,000 characters."""

MOST_CHANNELS = 16
"""Greatest length of the channel axis of a 4-D array."""


@READERS.register
class NumpyReader(Reader):
    """Arrays of 2 or 3 axes, colour pictures of bytes, and 4-D arrays with channels first or last.

    The spacing is that of a sidecar file, or else 1.
    """

    kind: Literal["numpy"] = "numpy"
    endings: ClassVar[tuple[str, ...]] = (".npy", ".npz")
    label_endings: ClassVar[tuple[str, ...]] = (".npy",)
    holds_opacity: ClassVar[bool] = True

    @override
    def read(self, path: Path) -> StoredImage:
        _placeholder(path)  # checks the header
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            voxels = _channels_first(loaded)
        else:
            with loaded:
                voxels = _channels_first(loaded[_only_name(loaded.files)])
        if voxels.dtype == bool:
            voxels = voxels.astype(np.uint8)
        num_axes = voxels.ndim - 1
        geometry = sidecar_geometry(path, num_axes) or Geometry.plain((1.0,) * num_axes)
        return StoredImage(voxels.astype(voxels.dtype.newbyteorder("="), copy=False), geometry)

    @override
    def read_header(self, path: Path) -> Header:
        channels, *shape = _placeholder(path).shape
        return Header(shape=tuple(shape), num_channels=channels)

    @override
    def write(self, labels: LabelArray, geometry: Geometry, path: Path) -> None:
        is_plain = geometry.unit == "mm" and set(geometry.spacing) == {1.0}
        # written before the labels, so that no label map exists with a missing or outdated sidecar
        if sidecars_of(path) or not is_plain:
            write_sidecar(path, geometry)
        with atomic_write(path) as temporary:
            np.save(temporary, labels if _is_stack(labels) else labels[None], allow_pickle=False)

    @override
    def knows_geometry(self, path: Path) -> bool:
        return bool(sidecars_of(path))

    @override
    def companion_files(self, path: Path) -> tuple[Path, ...]:
        return sidecars_of(path)


def _placeholder(path: Path) -> NDArray[np.generic]:
    """Return an array of the shape and data type in a file's header; it takes no memory.

    Raises:
        ValueError: If it is not an image, or exceeds a limit.
    """
    is_archive = path.suffix.lower() == ".npz"
    with ExitStack() as stack:
        file: Any = stack.enter_context(path.open("rb"))
        if is_archive:
            archive = stack.enter_context(ZipFile(file))
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            file = stack.enter_context(archive.open(f"{_only_name(names)}.npy"))
        start = BytesIO(file.read(MOST_HEADER_BYTES))
    version = npy.read_magic(start)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(start)
    found = _channels_first(np.broadcast_to(np.zeros((), dtype), shape))
    ratio = DEFLATE_RATIO if is_archive else 1
    check_size(shape, dtype.itemsize, lambda: [path.stat().st_size], ratio=ratio)
    if not is_archive:
        np.load(path, mmap_mode="r", allow_pickle=False)  # raises an error if it is truncated
    return found


def _only_name(names: list[str]) -> str:
    """Return the name of the only array.

    Raises:
        ValueError: If there are several.
    """
    if len(names) != 1:
        raise ValueError(
            f"it holds {len(names)} arrays ({format_names(names)}); expected one. Save the image "
            "and the labels as files of their own"
        )
    return names[0]


def _channels_first(array: NDArray[np.generic]) -> StoredArray:
    """Return an array with its channels as the first axis.

    Raises:
        ValueError: If the array is not an image, or it is unclear which axis holds channels.
    """
    if array.dtype.kind not in "biufc":
        raise ValueError(f"it holds values of type {array.dtype}; expected numbers")
    if array.ndim not in (2, 3, 4) or not array.size:
        raise ValueError(
            f"it holds an array of {array.ndim} axes ({format_shape(array.shape)}); expected rows "
            "and columns, slices of these, or channels, slices, rows and columns"
        )
    if array.ndim == 4:
        return np.moveaxis(array, _channel_axis(array.shape), 0)
    if array.ndim == 2:
        return array[None]
    first, rows, last = array.shape
    if array.dtype == np.uint8 and last in COLOURS and min(first, rows) >= FEWEST_SLICES:
        return np.moveaxis(array, -1, 0)
    if 1 < first < FEWEST_SLICES or 1 < last < FEWEST_SLICES:
        few = min(size for size in (first, last) if size > 1)
        raise ValueError(
            f"its shape is {format_shape(array.shape)}, and the axis of {few} may hold channels or "
            "slices. Save the array with four axes: channels, slices, rows and columns, of which "
            "slices or channels may be 1"
        )
    return array[None]


def _is_stack(array: NDArray[np.generic]) -> bool:
    """Return True if all axes of an array are read as those of space."""
    try:
        return len(_channels_first(array)) == 1
    except ValueError:
        return False


def _channel_axis(shape: tuple[int, ...]) -> int:
    """Return the channel axis of a 4-D array, 0 or -1.

    Raises:
        ValueError: If both or neither may hold channels.
    """
    if shape[-1] < FEWEST_SLICES:
        return -1
    axes = [axis for axis in (0, -1) if shape[axis] <= MOST_CHANNELS]
    if len(axes) == 1 or shape[0] == 1:
        return axes[0]
    raise ValueError(
        f"its shape is {format_shape(shape)}, and it is unclear which axis holds channels; "
        f"expected one of up to {MOST_CHANNELS} entries, the first or the last. Save each channel "
        "as a file of its own: CASE_0000.npy, CASE_0001.npy …"
    )
