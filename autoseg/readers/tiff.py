"""TIFF images and stacks, also of ImageJ and OME."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from autoseg.core.arrays import LabelArray
from autoseg.core.atomic_write import atomic_write
from autoseg.core.errors import CaseError
from autoseg.core.formatting import format_names, format_shape
from autoseg.core.geometry import Geometry
from autoseg.readers.base import READERS, Header, Reader, StoredArray, StoredImage
from autoseg.readers.limits import check_size
from autoseg.readers.orientation import upright
from autoseg.readers.sidecar import sidecar_geometry, sidecars_of, write_sidecar
from autoseg.readers.tiff_geometry import TiffFile, ome_planes, options_for, stored_geometry

Series: TypeAlias = Any
"""A `tifffile.TiffPageSeries`; tifffile is imported only where it is used."""

Page: TypeAlias = Any
"""A `tifffile.TiffPage`."""

MIN_IS_WHITE = 0
"""Photometric interpretation of grey values of which 0 is white."""

LOSSY = (6, 7)
"""JPEG compression types. Source: TIFF 6.0, section 22, and its Technical Note 2."""

CHANNEL_AXES = "SC"
"""tifffile's letters for the samples of a pixel and for separately stored channels."""

SLICE_AXES = "ZQI"
"""tifffile's letters for slices and for pages of unknown meaning."""

TIME_AXIS = "T"

MOST_TAGS = 4096
"""Number of tags of a page from which on tifffile takes it for damaged."""

MOST_PLANES = 10**6
"""Greatest number of planes in OME metadata, for each of which tifffile takes memory."""


@READERS.register
class TiffReader(Reader):
    """Grey and colour images, and stacks whose pages are the first axis (z).

    The spacing is that of a sidecar file, or else of the metadata of ImageJ or OME, or else 1.
    """

    kind: Literal["tiff"] = "tiff"
    endings: ClassVar[tuple[str, ...]] = (".tif", ".tiff", ".ome.tif", ".ome.tiff")
    label_endings: ClassVar[tuple[str, ...]] = endings
    holds_opacity: ClassVar[bool] = True

    @override
    def read(self, path: Path) -> StoredImage:
        with _opened(path) as file:
            series = _only_series(file)
            voxels = _channels_first(np.asarray(series.asarray()), series.axes)
            voxels = _as_shown(voxels, file.pages[0])
            num_axes = voxels.ndim - 1
            geometry = sidecar_geometry(path, num_axes) or stored_geometry(file, num_axes)
        return StoredImage(voxels, geometry or Geometry.plain((1.0,) * num_axes))

    @override
    def read_labels(self, path: Path) -> StoredImage:
        with _opened(path) as file:
            if any(page.compression in LOSSY for page in file.pages):
                raise CaseError(
                    f"{path.name} is compressed as a JPEG, which alters label values. Export the "
                    "labels without JPEG compression from the original annotation."
                )
        return self.read(path)

    @override
    def read_header(self, path: Path) -> Header:
        with _opened(path) as file:
            channels, *shape = _shown_shape(file)
            size = min(4, _only_series(file).dtype.itemsize)
        return Header(tuple(shape), channels, voxel_bytes=size)

    @override
    def write(self, labels: LabelArray, geometry: Geometry, path: Path) -> None:
        import tifffile

        is_plain = geometry.unit == "mm" and set(geometry.spacing) == {1.0}
        options = {} if is_plain else options_for(geometry, labels, path)
        # written before the labels, so that no label map exists with a missing or outdated sidecar
        if sidecars_of(path) or not (options or is_plain):
            write_sidecar(path, geometry)
        options = options or {"metadata": {"axes": "ZYX"[-labels.ndim :]}}
        with atomic_write(path) as temporary:
            tifffile.imwrite(
                temporary, labels, compression="zlib", photometric="minisblack", **options
            )

    @override
    def knows_geometry(self, path: Path) -> bool:
        if self.companion_files(path):
            return True
        with _opened(path) as file:
            return stored_geometry(file, len(_shown_shape(file)) - 1) is not None

    @override
    def companion_files(self, path: Path) -> tuple[Path, ...]:
        return sidecars_of(path)


@contextmanager
def _opened(path: Path) -> Iterator[TiffFile]:
    """Open a file whose pages have an end."""
    import tifffile

    _check_pages(path)
    with tifffile.TiffFile(path) as file:
        page, stored = file.pages[0], file.filehandle.size
        check_size((page.imagelength, page.imagewidth), 1, lambda: [stored])
        if file.is_ome and (planes := ome_planes(file.ome_metadata)) > MOST_PLANES:
            raise ValueError(f"its OME metadata describes {planes} planes")
        yield file


def _check_pages(path: Path) -> None:
    """Check that the pages of a file, each of which has the place of the next one, have an end.

    Source: TIFF 6.0, section 2, and the BigTIFF design at bigtiff.org.

    Raises:
        ValueError: If they have none.
    """
    seen = set()
    with path.open("rb") as file:
        head = file.read(16)
        order = ">" if head[:2] == b"MM" else "<"
        is_big = head[2:4] in (b"+\0", b"\0+")
        number, tag_bytes, offset = ("Q", 20, "Q") if is_big else ("H", 12, "I")
        place = head[8:16] if is_big else head[4:8]
        size = struct.calcsize(f"{order}{offset}")
        while len(place) == size and (start := struct.unpack(f"{order}{offset}", place)[0]):
            if start in seen:
                raise ValueError("its pages form a chain without end")
            seen.add(start)
            file.seek(start)
            tags = file.read(struct.calcsize(f"{order}{number}"))
            if (
                not tags
                or (count := int.from_bytes(tags, "big" if order == ">" else "little")) > MOST_TAGS
            ):
                return
            file.seek(count * tag_bytes, 1)
            place = file.read(size)


def _as_shown(voxels: NDArray[np.generic], page: Page) -> NDArray[np.generic]:
    """Return voxels as viewers show them: upright, and with white as the largest value.

    Masks of one bit stay as they are, because tifffile writes them with 0 as white.

    Source: TIFF 6.0, tags Orientation and PhotometricInterpretation.
    """
    if page.photometric == MIN_IS_WHITE and page.bitspersample > 1 and voxels.dtype.kind == "u":
        largest = (1 << page.bitspersample) - 1
        voxels = np.asarray(largest - voxels, voxels.dtype)
    tag = page.tags.get("Orientation")
    return upright(voxels, int(tag.value) if tag is not None else 1)


def _shown_shape(file: TiffFile) -> tuple[int, ...]:
    """Return channels and shape of the image, without reading it."""
    series = _only_series(file)
    placeholder = np.broadcast_to(np.uint8(0), series.shape)  # takes no memory
    return _as_shown(_channels_first(placeholder, series.axes), file.pages[0]).shape


def _only_series(file: TiffFile) -> Series:
    """Return the image of a file.

    Raises:
        ValueError: If there are several images or time points, or parts are in other files.
    """
    if len(file.series) != 1:
        shapes = format_names([format_shape(one.shape) for one in file.series], 4)
        msg = f"it holds {len(file.series)} images of different shapes ({shapes}); expected one"
        raise ValueError(msg)
    series = file.series[0]
    if TIME_AXIS in series.axes and series.sizes["time"] > 1:
        raise ValueError(_time_issue(series))
    if series.is_multifile or (file.is_ome and any(page is None for page in series.pages)):
        raise ValueError(
            "its OME metadata describes planes that this file does not contain; expected the whole "
            "image. Export it as one file"
        )
    page, stored = series.keyframe, file.filehandle.size
    for shape in (series.shape, (*page.tile, page.samplesperpixel) if page.is_tiled else (1,)):
        check_size(shape, series.dtype.itemsize, lambda: [stored])
    return series


def _time_issue(series: Series) -> str:
    times = series.sizes["time"]
    issue = f"it holds {times} time points ({series.axes}, {format_shape(series.shape)})"
    advice = "expected one. Export each time point as its own file"
    if "Z" not in series.axes or series.sizes["depth"] == 1:
        advice += (
            f". If they are slices, swap frames and slices in Fiji (Image > Properties: "
            f"{times} slices, 1 frame) and save it again"
        )
    return f"{issue}; {advice}"


def _channels_first(array: NDArray[np.generic], axes: str) -> StoredArray:
    """Return an array with the stored `axes` in tifffile's letters (e.g. `YXS`) channels first."""
    kept = [axis for axis in range(array.ndim) if array.shape[axis] > 1 or axes[axis] in "YX"]
    array = array.reshape([array.shape[axis] for axis in kept])
    axes = "".join(axes[axis] for axis in kept)
    channels = [axis for axis, letter in enumerate(axes) if letter in CHANNEL_AXES]
    are_known = all(letter in f"YX{CHANNEL_AXES}{SLICE_AXES}" for letter in axes)
    if not are_known or len(channels) > 1 or array.ndim - len(channels) > 3:
        shape = format_shape(array.shape)
        msg = f"it has the dimensions {axes} ({shape}); expected (Z)YX and at most one channel axis"
        raise ValueError(msg)
    return np.moveaxis(array, channels[0], 0) if channels else array[None]
