"""Axes and voxel size of arrays in HDF5 and Zarr, whose axes may have any order."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from autoseg.core.formatting import format_shape
from autoseg.core.geometry import Geometry
from autoseg.readers.base import Header, StoredArray
from autoseg.readers.lengths import Length, geometry_of

SPACE = "zyx"
"""Letters of spatial axes, in the order of arrays in memory."""

MAX_COLUMNS = 4
"""Most columns of a table, and most colours of a picture."""

MAX_CHANNELS = 16
"""Greatest size of an axis that is taken as channels because it is the shortest."""

NUMBERS = "biuf"
"""Kinds of NumPy data types that voxels may have."""

SIZE_ATTRIBUTES = (
    ("element_size_um", "µm"),
    ("resolution", ""),
    ("spacing", ""),
    ("voxel_size", ""),
)
"""Attributes with the voxel size, along all axes or z, y, x, and their unit; the first is used.

Source: the HDF5 plugin of Fiji, PlantSeg and elf (`element_size_um`), and CREMI (`resolution`).
"""

UNIT_ATTRIBUTES = ("units", "unit")
"""Attributes with the unit of the voxel size."""


def is_image(shape: Sequence[int], dtype: np.dtype) -> bool:
    """Return True if an array may be an image: numbers with at least two axes, and not a table."""
    return dtype.kind in NUMBERS and sum(size > MAX_COLUMNS for size in shape) >= 2


def axes_of(shape: Sequence[int], names: Sequence[str] = ()) -> str:
    """Return a letter for each axis of an array; `t` has one entry.

    Args:
        shape: Shape of the array.
        names: Names of its axes: t, c, z, y, x; without any, the shape decides.

    Raises:
        ValueError: If the axes have other names or there are several points in time, or the shape
            allows several answers.
    """
    if not names:
        return _guessed_axes(shape)
    axes = "".join(names).lower()
    is_known = len(axes) == len(names) == len(shape) == len(set(axes))
    if not (is_known and set("yx") <= set(axes) <= {*SPACE, "t", "c"}):
        msg = f"its {len(shape)} axes are named {', '.join(names)}; expected t, c, z, y and x"
        raise ValueError(msg)
    if "t" in axes and (number := shape[axes.index("t")]) > 1:
        raise ValueError(f"it holds {number} points in time; expected one. Save each as a file")
    return axes


def _guessed_axes(shape: Sequence[int]) -> str:
    """Return a letter for each axis of an array whose axes have no names.

    Two axes are y, x, and three are z, y, x, or y, x and colours if the last has at most
    `MAX_COLUMNS` entries. Of four axes, the shortest is that of the channels if it is the first or
    the last one and has at most `MAX_CHANNELS` entries.

    Raises:
        ValueError: If the shape allows several answers.
    """
    if len(shape) > 3 and 1 in (shape[0], shape[-1]):
        if shape[0] == 1:
            return "t" + _guessed_axes(shape[1:])
        return _guessed_axes(shape[:-1]) + "t"
    if len(shape) in (2, 3):
        is_picture = len(shape) == 3 and shape[2] <= MAX_COLUMNS < min(shape[:2])
        return "yxc" if is_picture else SPACE[-len(shape) :]
    least = min(shape, default=0)
    if len(shape) == 4 and least <= MAX_CHANNELS and list(shape).count(least) == 1:
        if shape[3] == least:
            return "zyxc"
        if shape[0] == least and shape[3] > MAX_CHANNELS:
            return "czyx"
    raise ValueError(
        f"it has {len(shape)} axes without names ({format_shape(shape)}), and it is unclear which "
        f"are z, y and x; expected 2 or 3, or 4 of which the first or the last is the shortest, "
        f"with at most {MAX_CHANNELS} channels. Save one image per array"
    )


def channels_first(array: NDArray[np.generic], axes: str) -> StoredArray:
    """Return an array with its axes in the order c, z, y, x, in the byte order of the machine."""
    array = array.squeeze(tuple(place for place, axis in enumerate(axes) if axis == "t"))
    axes = axes.replace("t", "")
    order = [axes.index(axis) for axis in f"c{SPACE}" if axis in axes]
    array = array.transpose(order).astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    return array if "c" in axes else array[None]


def header_of(shape: Sequence[int], axes: str) -> Header:
    """Return shape and channels of an array with the given axes."""
    placeholder = np.broadcast_to(np.uint8(0), tuple(shape))  # takes no memory
    channels, *space = channels_first(placeholder, axes).shape
    return Header(tuple(space), channels)


def geometry_in_attributes(attributes: Mapping[str, object], axes: str) -> Geometry | None:
    """Return the geometry that the attributes of an array state; None if they state none.

    Args:
        attributes: Attributes by name; voxel sizes are one number, or in the order z, y, x.
        axes: Letters of the axes.

    Raises:
        ValueError: If the unit is unknown, or a voxel size has another number of entries.
    """
    count = sum(axis in SPACE for axis in axes)
    units = next((attributes[name] for name in UNIT_ATTRIBUTES if name in attributes), "")
    for name, unit in SIZE_ATTRIBUTES:
        sizes = np.asarray(attributes.get(name, ())).ravel()
        if sizes.dtype.kind not in "iuf" or not len(sizes):
            continue
        if len(sizes) not in (1, count, len(SPACE)):
            raise ValueError(
                f"its attribute {name} has {len(sizes)} entries; expected one voxel size for all "
                f"axes, or one along each of {', '.join(SPACE[-count:])}. Correct the attribute"
            )
        sizes = sizes.repeat(count) if len(sizes) == 1 else sizes
        own = [unit] * len(sizes) if unit else _texts(units, len(sizes))
        lengths = [Length(float(size), text) for size, text in zip(sizes, own, strict=True)]
        if (geometry := geometry_of(lengths[-count:])) is not None:
            return geometry
    return None


def _texts(units: object, number: int) -> list[str]:
    """Return a unit for each axis; those of an attribute that does not fit are left out."""
    found = [
        each.decode() if isinstance(each, bytes) else str(each)
        for each in np.asarray(units).ravel().tolist()
    ]
    return found if len(found) == number else found * number if len(found) == 1 else [""] * number
