"""Metadata of Zarr folders (versions 2 and 3), and of the images of OME-Zarr (NGFF) in them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from autoseg.core.geometry import Geometry
from autoseg.core.json_text import read_json
from autoseg.readers.array_axes import SPACE, axes_of, geometry_in_attributes, is_image
from autoseg.readers.lengths import Length, geometry_of

METADATA_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
"""Files that describe an array or a group: of version 3, and of version 2."""

SAFE_CODECS = frozenset(
    (
        *("bytes", "endian", "transpose", "sharding_indexed"),
        *("blosc", "zlib", "gzip", "zstd", "lz4", "lzma", "bz2", "zfpy", "pcodec"),
        *("shuffle", "delta", "fixedscaleoffset", "quantize", "bitround", "packbits", "astype"),
        *("crc32", "crc32c", "adler32", "fletcher32", "jenkins_lookup3"),
    )
)
"""Codecs of numbers. Others, such as pickle, may run code that is stored in the file."""

OLDEST_AXES = "tczyx"
"""Axes of OME-Zarr 0.1 and 0.2, which have no names."""

MAX_DEPTH = 8
"""Greatest depth of groups that are searched for images."""


@dataclass(frozen=True)
class Node:
    """An array or a group.

    Attributes:
        folder: Its folder.
        array: Metadata of an array; empty for a group.
        attributes: Attributes, those of OME-Zarr 0.5 among the others.
    """

    folder: Path
    array: dict[str, Any]
    attributes: dict[str, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an array."""
        return tuple(map(int, self.array["shape"]))

    @property
    def data_type(self) -> np.dtype:
        """Data type of an array."""
        return _data_type(self.array)

    @property
    def multiscales(self) -> dict[str, Any]:
        """Description of an image of OME-Zarr; empty if the group is none."""
        found = self.attributes.get("multiscales")
        return found[0] if isinstance(found, list) and found else {}

    @property
    def holds_image(self) -> bool:
        """Whether this is an array that may be an image."""
        return bool(self.array) and is_image(self.shape, self.data_type)


def read_node(folder: Path) -> Node | None:
    """Read the metadata in a folder; None if it is neither an array nor a group.

    Raises:
        ValueError: If it is damaged.
    """
    found = {name: _json(folder / name) for name in METADATA_FILES if (folder / name).is_file()}
    if not found:
        return None
    version_3 = found.get("zarr.json", {})
    is_array = version_3.get("node_type") == "array"
    attributes = version_3.get("attributes", found.get(".zattrs", {}))
    return Node(
        folder,
        version_3 if is_array else found.get(".zarray", {}),
        attributes | attributes.get("ome", {}),
    )


def _json(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} has no metadata of Zarr")  # noqa: TRY004
    return content


def image_names(root: Path) -> tuple[str, ...]:
    """Return the paths of the images in a folder: of OME-Zarr, with their labels, or arrays.

    Raises:
        ValueError: If metadata is damaged.
    """
    return tuple(sorted(_names(root, PurePosixPath())))


def _names(folder: Path, name: PurePosixPath) -> Iterator[str]:
    node = read_node(folder)
    if node is None or len(name.parts) > MAX_DEPTH:
        return
    shown = name.as_posix() if name.parts else ""
    if node.array:
        yield from [shown] if node.holds_image else []
        return
    inner = folder
    if node.multiscales:
        yield shown
        inner, name = folder / "labels", name / "labels"
    for child in sorted(inner.iterdir()) if inner.is_dir() else ():
        if child.is_dir():
            yield from _names(child, name / child.name)


@dataclass(frozen=True)
class ZarrImage:
    """An array that is an image.

    Attributes:
        array: The array; of a pyramid, that of full resolution.
        axes: A letter for each axis.
        geometry: Voxel size; None if it is unknown.
        group: The group that describes it; the array itself without one.
    """

    array: Node
    axes: str
    geometry: Geometry | None
    group: Path


def find_image(folder: Path) -> ZarrImage:
    """Return the image of a group of OME-Zarr, or that of an array.

    Raises:
        ValueError: If there is none, or its axes are ambiguous.
    """
    node = read_node(folder)
    if node is None:
        raise ValueError("it is not a Zarr folder: it has no .zgroup, .zarray or zarr.json")
    if node.multiscales:
        levels = node.multiscales["datasets"]
        return _level(node, levels[0])
    parent = read_node(folder.parent)
    levels = parent.multiscales.get("datasets", []) if parent else []
    level = next((each for each in levels if each["path"] == folder.name), None)
    if parent is not None and level is not None:
        return _level(parent, level)
    if not node.holds_image:
        raise ValueError("it holds no array of numbers with at least 2 axes")
    axes = axes_of(node.shape)
    return ZarrImage(node, axes, geometry_in_attributes(node.attributes, axes), folder)


def _level(group: Node, level: Mapping[str, Any]) -> ZarrImage:
    """Return one resolution of an image of OME-Zarr.

    Source: OME-NGFF 0.4 and 0.5, ngff.openmicroscopy.org.
    """
    path = PurePosixPath(str(level["path"]))
    array = None if ".." in path.parts or path.is_absolute() else read_node(group.folder / path)
    if array is None or not array.array:
        raise ValueError(f"its array {path} is missing")
    described = group.multiscales.get("axes", list(OLDEST_AXES[-len(array.shape) :]))
    named = [axis if isinstance(axis, dict) else {"name": axis} for axis in described]
    axes = axes_of(array.shape, [str(axis["name"]) for axis in named])
    factors = np.ones(len(axes))
    for transformation in (
        *level.get("coordinateTransformations", []),
        *group.multiscales.get("coordinateTransformations", []),
    ):
        factors *= transformation.get("scale", 1)
    sizes = {
        letter: Length(float(size), str(axis.get("unit") or ""))
        for letter, axis, size in zip(axes, named, factors, strict=True)
    }
    space = [sizes[letter] for letter in SPACE if letter in sizes]
    is_known = any(size != Length(1.0, "") for size in space)
    return ZarrImage(array, axes, geometry_of(space) if is_known else None, group.folder)


def check_codecs(array: Mapping[str, Any]) -> None:
    """Check that the codecs of an array cannot run code that is stored in it.

    Raises:
        ValueError: If one may.
    """
    version_2 = [*(array.get("filters") or []), *filter(None, [array.get("compressor")])]
    names = [str(codec.get("id")) for codec in version_2] + _names_of(array.get("codecs", []))
    unknown = [name for name in names if name.removeprefix("numcodecs.") not in SAFE_CODECS]
    if unknown:
        raise ValueError(
            f"its voxels are coded as {unknown[0]}, which is not read; save them without it"
        )


def _names_of(codecs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of codecs of version 3, and of those inside of others."""
    names: list[str] = []
    for codec in codecs:
        settings = codec.get("configuration", {})
        inner = [*settings.get("codecs", []), *settings.get("index_codecs", [])]
        names += [str(codec.get("name")), *_names_of(inner)]
    return names


def _data_type(array: Mapping[str, Any]) -> np.dtype:
    """Return the data type of an array, that of objects if it is not known to NumPy."""
    name = array.get("dtype", array.get("data_type"))
    try:
        return np.dtype(name if isinstance(name, str) else object)
    except TypeError:
        return np.dtype(object)
