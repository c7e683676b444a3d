"""PNG, JPEG and BMP pictures: truly two-dimensional, grey or colour, without geometry."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from typing_extensions import override

from autoseg.core.arrays import LabelArray
from autoseg.core.atomic_write import atomic_write
from autoseg.core.errors import CaseError
from autoseg.core.geometry import Geometry
from autoseg.readers.base import READERS, Header, Reader, StoredArray, StoredImage

Picture: TypeAlias = Any
"""A `PIL.Image.Image`; Pillow is imported only where it is used."""

OPENING = Lock()
"""Held while Pillow's limit, which is one for all threads, is lifted."""

EXIF_ORIENTATION = 0x0112
"""Tag of what Exif says about how a camera was held (CIPA DC-008)."""

LYING = (5, 6, 7, 8)
"""Its values for pictures whose rows are stored as columns."""

STRETCHES = {"L;2": 85, "L;4": 17}
"""By how much Pillow multiplies grey values of 2 and 4 bits, so that they span 8 bits."""

PLAIN = Geometry.plain((1.0, 1.0))


@READERS.register
class NaturalReader(Reader):
    """Grey, grey + alpha, RGB and RGBA pictures; each of their bands is a channel.

    A picture with a palette is read as its colours when it is an image, and as its palette
    positions when it is a label map. A JPEG is turned upright as its Exif data ask for.
    """

    kind: Literal["natural"] = "natural"
    endings: ClassVar[tuple[str, ...]] = (".png", ".jpg", ".jpeg", ".bmp")
    label_endings: ClassVar[tuple[str, ...]] = (".png", ".bmp")
    max_axes: ClassVar[int] = 2

    @override
    def read(self, path: Path) -> StoredImage:
        with _opened(path) as picture:
            voxels = (
                _deep(path)
                if _is_deep(picture)
                else _channels_first(_with_colours(_upright(picture)))
            )
        return StoredImage(voxels=voxels, geometry=PLAIN)

    @override
    def read_labels(self, path: Path) -> StoredImage:
        with _opened(path) as picture:
            stretch = _stretch(picture)
            voxels = _deep(path) if _is_deep(picture) else _channels_first(picture) // stretch
        return StoredImage(voxels=voxels, geometry=PLAIN)

    @override
    def read_header(self, path: Path) -> Header:
        with _opened(path) as picture:
            width, height = picture.size
            if _orientation(picture) in LYING:
                width, height = height, width
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
        with atomic_write(path) as temporary:
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


def _orientation(picture: Picture) -> int:
    """Return how a camera was held, 1 to 8 as Exif counts, where files tell: in JPEGs."""
    is_jpeg = picture.format in ("JPEG", "MPO")
    return int(picture.getexif().get(EXIF_ORIENTATION, 1)) if is_jpeg else 1


def _upright(picture: Picture) -> Picture:
    """Return a picture turned as its camera was held, which is how every viewer shows it."""
    from PIL import ImageOps

    return picture if _orientation(picture) == 1 else ImageOps.exif_transpose(picture)


def _stretch(picture: Picture) -> int:
    """Return by how much Pillow multiplies the values of a picture that is not yet loaded."""
    modes = {str(tile[3]) for tile in getattr(picture, "tile", ())}
    return next((factor for mode, factor in STRETCHES.items() if mode in modes), 1)


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
