"""PNG, JPEG and BMP pictures: truly two-dimensional, grey or colour, without geometry."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from typing_extensions import override

from autoseg.core.arrays import LabelArray
from autoseg.core.atomic import replacing
from autoseg.core.errors import CaseError
from autoseg.core.geometry import Geometry
from autoseg.readers.base import READERS, Header, Reader, StoredArray, StoredImage

Picture: TypeAlias = Any
"""A `PIL.Image.Image`; Pillow is imported only where it is used."""

OPENING = Lock()
"""Held while Pillow's limit, which is one for all threads, is lifted."""

PLAIN = Geometry.plain((1.0, 1.0))


@READERS.register
class NaturalReader(Reader):
    """Grey, grey + alpha, RGB and RGBA pictures; each of their bands is a channel.

    A picture with a palette is read as its colours when it is an image, and as its palette
    positions when it is a label map.
    """

    kind: Literal["natural"] = "natural"
    endings: ClassVar[tuple[str, ...]] = (".png", ".jpg", ".jpeg", ".bmp")
    label_endings: ClassVar[tuple[str, ...]] = (".png", ".bmp")
    max_axes: ClassVar[int] = 2

    @override
    def read(self, path: Path) -> StoredImage:
        with _opened(path) as picture:
            voxels = _deep(path) if _is_deep(picture) else _channels_first(_with_colours(picture))
        return StoredImage(voxels=voxels, geometry=PLAIN)

    @override
    def read_labels(self, path: Path) -> StoredImage:
        with _opened(path) as picture:
            return StoredImage(voxels=_channels_first(picture), geometry=PLAIN)

    @override
    def read_header(self, path: Path) -> Header:
        with _opened(path) as picture:
            width, height = picture.size
            bands = len(_palette_mode(picture) if picture.mode == "P" else picture.getbands())
            return Header(shape=(height, width), num_channels=bands)

    @override
    def write(self, labels: LabelArray, geometry: Geometry, path: Path) -> None:
        from PIL import Image

        largest = 255 if path.name.lower().endswith(".bmp") else 65535
        if labels.max(initial=0) > largest:
            msg = (
                f"{path} cannot hold label value {int(labels.max())}; its format ends at "
                f"{largest}. Write .tif or .nii.gz instead."
            )
            raise CaseError(msg)
        with replacing(path) as temporary:
            smallest = np.uint8 if labels.max(initial=0) <= 255 else np.uint16
            Image.fromarray(labels.astype(smallest)).save(temporary)

    @override
    def knows_geometry(self, path: Path) -> bool:
        return False


@contextmanager
def _opened(path: Path) -> Iterator[Picture]:
    """Open a picture of any size: Pillow takes those over 179 million pixels for attacks."""
    from PIL import Image

    with OPENING:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            picture = Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with picture:
        yield picture


def _is_deep(picture: Picture) -> bool:
    """Return whether a colour picture has 16 bits per band, of which Pillow would drop 8."""
    return any(";16" in str(tile[3]) for tile in getattr(picture, "tile", ())) and (
        len(picture.getbands()) > 1
    )


def _deep(path: Path) -> StoredArray:
    """Return the pixels of a colour picture with 16 bits per band as `channels rows columns`."""
    import SimpleITK

    return np.moveaxis(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))), -1, 0)


def _with_colours(picture: Picture) -> Picture:
    return picture.convert(_palette_mode(picture)) if picture.mode == "P" else picture


def _palette_mode(picture: Picture) -> str:
    """Return what a palette's colours are: RGBA if it is transparent somewhere, else RGB."""
    return "RGBA" if "transparency" in picture.info else "RGB"


def _channels_first(picture: Picture) -> StoredArray:
    """Return the pixels as `channels rows columns`."""
    pixels = np.asarray(picture)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
