"""TIFF images and stacks; the spacing is stored in a JSON sidecar file."""

import json
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
from autoseg.readers.names import without_channel_suffix
from autoseg.readers.orientation import upright

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


@READERS.register
class TiffReader(Reader):
    """Grey and colour images, and stacks whose pages are the first axis (z).

    The sidecar file `CASE.json` next to `CASE.tif` (or `CASE_0000.tif`) contains
    `{"spacing": [z, y, x]}`. Without it, every spacing is 1.
    """

    kind: Literal["tiff"] = "tiff"
    endings: ClassVar[tuple[str, ...]] = (".tif", ".tiff", ".ome.tif", ".ome.tiff")
    label_endings: ClassVar[tuple[str, ...]] = endings
    holds_opacity: ClassVar[bool] = True

    @override
    def read(self, path: Path) -> StoredImage:
        import tifffile

        with tifffile.TiffFile(path) as file:
            series = _only_series(file.series)
            page = file.pages[0]
            voxels = _channels_first(np.asarray(series.asarray()), series.axes)
            voxels = _as_shown(voxels, page)
        return StoredImage(voxels=voxels, geometry=_geometry(path, voxels.ndim - 1))

    @override
    def read_labels(self, path: Path) -> StoredImage:
        import tifffile

        with tifffile.TiffFile(path) as file:
            if any(page.compression in LOSSY for page in file.pages):
                raise CaseError(
                    f"{path.name} is compressed as a JPEG, which alters label values. Export the "
                    "labels without JPEG compression from the original annotation."
                )
        return self.read(path)

    @override
    def read_header(self, path: Path) -> Header:
        import tifffile

        with tifffile.TiffFile(path) as file:
            series = _only_series(file.series)
            placeholder = np.broadcast_to(np.uint8(0), series.shape)  # takes no memory
            upright = _as_shown(_channels_first(placeholder, series.axes), file.pages[0])
            channels, *shape = upright.shape
        return Header(shape=tuple(shape), num_channels=channels)

    @override
    def write(self, labels: LabelArray, geometry: Geometry, path: Path) -> None:
        import tifffile

        # written before the labels, so that no label map exists with a missing or outdated sidecar
        if set(geometry.spacing) != {1.0} or self.companion_files(path):
            with atomic_write(path.with_suffix(".json")) as temporary:
                text = json.dumps({"spacing": geometry.spacing}) + "\n"
                temporary.write_text(text, encoding="utf-8")
        with atomic_write(path) as temporary:
            tifffile.imwrite(
                temporary,
                labels,
                compression="zlib",
                photometric="minisblack",
                metadata={"axes": "ZYX"[-labels.ndim :]},
            )

    @override
    def knows_geometry(self, path: Path) -> bool:
        return bool(self.companion_files(path))

    @override
    def companion_files(self, path: Path) -> tuple[Path, ...]:
        stem = path.name[: -len(path.suffix)]
        names = dict.fromkeys((f"{stem}.json", f"{without_channel_suffix(stem)}.json"))
        found = [path.with_name(name) for name in names if path.with_name(name).is_file()]
        return tuple(found[:1])


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


def _only_series(series: list[Series]) -> Series:
    if len(series) != 1:
        shapes = format_names([format_shape(one.shape) for one in series], 4)
        msg = f"it holds {len(series)} images of different shapes ({shapes}); expected one"
        raise ValueError(msg)
    return series[0]


def _channels_first(array: NDArray[np.generic], axes: str) -> StoredArray:
    """Return an array with the stored `axes` in tifffile's letters (e.g. `YXS`) channels first."""
    kept = [axis for axis in range(array.ndim) if array.shape[axis] > 1 or axes[axis] in "YX"]
    array = array.reshape([array.shape[axis] for axis in kept])
    axes = "".join(axes[axis] for axis in kept)
    channels = [axis for axis, letter in enumerate(axes) if letter in CHANNEL_AXES]
    if len(channels) > 1 or array.ndim - len(channels) > 3:
        shape = format_shape(array.shape)
        msg = f"it has the dimensions {axes} ({shape}); expected (Z)YX and at most one channel axis"
        raise ValueError(msg)
    return np.moveaxis(array, channels[0], 0) if channels else array[None]


def _geometry(path: Path, num_axes: int) -> Geometry:
    """Return the geometry of the sidecar file, or a plain one of spacing 1."""
    sidecars = TiffReader().companion_files(path)
    if not sidecars:
        return Geometry.plain((1.0,) * num_axes)
    text = sidecars[0].read_text(encoding="utf-8-sig", errors="replace")
    try:
        content = json.loads(text)
    except ValueError:
        content = text
    spacing = content.get("spacing") if isinstance(content, dict) else None
    if isinstance(spacing, list) and all(map(_is_length, spacing)):
        own = spacing[1:] if (len(spacing), num_axes) == (3, 2) else spacing  # of a single page
        if len(own) == num_axes:
            return Geometry.plain(tuple(float(value) for value in own))
    raise CaseError(
        f'{sidecars[0].name} should contain {{"spacing": [{num_axes} positive numbers]}} in array '
        f"order (z, y, x); found {str(content)[:80]}. Correct it. If it does not describe the "
        f"spacing of {path.name}, move it to another folder."
    )


def _is_length(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value < float("inf")
