"""PNG, JPEG, BMP, GIF, WebP and PNM: 2-D images in grey or colour, without geometry."""

import gzip
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from autoseg.core.arrays import LabelArray
from autoseg.core.atomic_write import atomic_write
from autoseg.core.errors import CaseError
from autoseg.core.geometry import Geometry
from autoseg.readers.base import READERS, Header, Reader, StoredArray, StoredImage
from autoseg.readers.limits import DEFLATE_RATIO, GREATEST_RATIO, check_size
from autoseg.readers.orientation import TRANSPOSED

Picture: TypeAlias = Any
"""A `PIL.Image.Image`; Pillow is imported only where it is used."""

PILLOW_LIMIT_LOCK = Lock()
"""Held while Pillow's size limit, which is global for all threads, is lifted."""

JPEG_MARK = b"\xff\xd8"
"""First bytes of a JPEG (ITU-T T.81)."""

STRIP_PIXELS = 2**22
"""Pixels that are converted at a time."""

WHITE = 255
"""Grey value of white in a palette."""

EXIF_ORIENTATION = 0x0112
"""Exif tag of the camera's orientation (CIPA DC-008)."""

GREY_SCALES = {"L;2": 85, "L;4": 17}
"""Factor by which Pillow scales 2-bit and 4-bit grey values to 8 bits."""

RATIOS = {"PPM": 8, "PNG": 8 * DEFLATE_RATIO}
"""Greatest ratio of the bytes of the pixels in memory and in a file, by format: eight pixels of a
mask take one byte; only PNG compresses."""

PLAIN = Geometry.plain((1.0, 1.0))


@READERS.register
class NaturalReader(Reader):
    """Grey, grey + alpha, RGB and RGBA images; each band is a channel.

    Files with a palette are read as colours for images, and as palette indices for label maps.
    Pictures are shown upright according to their Exif orientation.
    """

    kind: Literal["natural"] = "natural"
    endings: ClassVar[tuple[str, ...]] = (
        *(".png", ".jpg", ".jpeg", ".bmp"),
        *(".gif", ".webp", ".ppm", ".pgm", ".pbm"),
        *(".ppm.gz", ".pgm.gz", ".pbm.gz"),
    )
    label_endings: ClassVar[tuple[str, ...]] = (".png", ".bmp")
    max_axes: ClassVar[int] = 2
    holds_opacity: ClassVar[bool] = True

    @override
    def read(self, path: Path) -> StoredImage:
        with _open_picture(path) as picture:
            voxels = (
                _read_16_bit(path)
                if _is_16_bit_colour(picture)
                else _channels_first(_expand_palette(_upright(picture)))
            )
        return StoredImage(voxels=voxels, geometry=PLAIN)

    @override
    def read_labels(self, path: Path) -> StoredImage:
        with _open_picture(path) as picture:
            scale = _grey_scale(picture)
            if _is_16_bit_colour(picture):
                return StoredImage(_read_16_bit(path), PLAIN)
            voxels, palette = _label_channels(_upright(picture))
        values = voxels if scale == 1 else voxels // scale
        return StoredImage(values, PLAIN, palette=palette)

    @override
    def read_header(self, path: Path) -> Header:
        with _open_picture(path) as picture:
            width, height = picture.size
            if _orientation(picture) in TRANSPOSED:
                width, height = height, width
            bands = len(_palette_mode(picture) if picture.mode == "P" else picture.getbands())
            size = 4 if picture.mode in ("I", "F") else 2 if _is_16_bit(picture) else 1
            return Header((height, width), bands, voxel_bytes=size)

    @override
    def is_lossy(self, path: Path) -> bool:
        """Return True for a JPEG, whatever its name."""
        with path.open("rb") as file:
            return file.read(len(JPEG_MARK)) == JPEG_MARK

    @override
    def write(self, labels: LabelArray, geometry: Geometry, path: Path) -> None:
        from PIL import Image

        largest = int(labels.max(initial=0))
        limit = 255 if path.name.lower().endswith(".bmp") else 65535
        if largest > limit:
            raise CaseError(
                f"{path} cannot store the label value {largest}; the maximum of its format is "
                f"{limit}. Write .tif or .nii.gz instead."
            )
        with atomic_write(path) as temporary:
            Image.fromarray(labels.astype(np.min_scalar_type(largest))).save(temporary)

    @override
    def knows_geometry(self, path: Path) -> bool:
        return False


@contextmanager
def _open_picture(path: Path) -> Iterator[Picture]:
    """Open an image of up to the limit; Pillow rejects more than 179 million pixels by default."""
    from PIL import Image

    with ExitStack() as stack:
        is_compressed = path.suffix.lower() == ".gz"
        source: Any = stack.enter_context(gzip.open(path)) if is_compressed else path
        with PILLOW_LIMIT_LOCK:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                picture = stack.enter_context(Image.open(source))
            finally:
                Image.MAX_IMAGE_PIXELS = limit
        item_bytes = 4 if picture.mode[:1] in "IF" else len(picture.getbands())
        stored = path.stat().st_size
        ratio = RATIOS.get(str(picture.format), GREATEST_RATIO)
        ratio *= DEFLATE_RATIO if is_compressed else 1
        check_size(picture.size, item_bytes, lambda: [stored], ratio=ratio)
        yield picture


def _is_16_bit(picture: Picture) -> bool:
    return any(";16" in str(tile[3]) for tile in getattr(picture, "tile", ()))


def _is_16_bit_colour(picture: Picture) -> bool:
    """Return True for colour images with 16 bits per band, which Pillow would reduce to 8."""
    return _is_16_bit(picture) and len(picture.getbands()) > 1


def _read_16_bit(path: Path) -> StoredArray:
    """Read a colour image with 16 bits per band as `channels rows columns`."""
    import SimpleITK

    return np.moveaxis(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))), -1, 0)


def _orientation(picture: Picture) -> int:
    """Return the Exif orientation (1 to 8); of a PNG, only once its pixels have been read."""
    is_unread_png = picture.format == "PNG" and "exif" not in picture.info
    return 1 if is_unread_png else int(picture.getexif().get(EXIF_ORIENTATION, 1))


def _upright(picture: Picture) -> Picture:
    """Apply the Exif orientation, as image viewers do."""
    from PIL import ImageOps

    picture.load()
    return picture if _orientation(picture) == 1 else ImageOps.exif_transpose(picture)


def _grey_scale(picture: Picture) -> int:
    """Return the factor by which Pillow scales grey values; call before the pixels are loaded."""
    modes = {str(tile[3]) for tile in getattr(picture, "tile", ())}
    return next((factor for mode, factor in GREY_SCALES.items() if mode in modes), 1)


def _expand_palette(picture: Picture) -> Picture:
    return picture.convert(_palette_mode(picture)) if picture.mode == "P" else picture


def _palette_mode(picture: Picture) -> str:
    """Return the mode of a palette's colours: RGBA if it has transparency, or else RGB."""
    return "RGBA" if "transparency" in picture.info else "RGB"


def _label_channels(picture: Picture) -> tuple[StoredArray, NDArray[np.uint8] | None]:
    """Return label values, and the colours of a palette.

    The values are the numbers of the palette, unless it shows 0 as white, in a mask or in a picture
    that is white everywhere.
    """
    voxels = _channels_first(picture)
    if picture.mode != "P":
        return voxels, None
    stored = np.reshape(picture.getpalette("RGB"), (-1, 3))
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(stored)] = stored
    used = np.unique(voxels)
    colours = palette[used].astype(int)
    greys = colours[:, 0] if np.ptp(colours, axis=1).max() == 0 else np.arange(len(used))
    is_white = len(used) == 1 and used[0] == 0 and greys[0] == WHITE
    if is_white or (len(used) == 2 and greys[0] > greys[1]):
        return np.asarray(np.where(voxels == used[0], greys[0], greys[-1]), np.uint8), None
    return voxels, palette


def _channels_first(picture: Picture) -> StoredArray:
    """Return the pixels as `channels rows columns`.

    Pillow needs twice the memory of the pixels that it converts, so large pictures are converted
    strip by strip.
    """
    width, height = picture.size
    length = max(1, STRIP_PIXELS // width)
    boxes = [(0, top, width, min(top + length, height)) for top in range(0, height, length)]
    if len(boxes) == 1:
        return _as_channels(picture)
    first = _as_channels(picture.crop(boxes[0]))
    voxels = np.empty((len(first), height, width), first.dtype)
    for box in boxes:
        voxels[:, box[1] : box[3]] = _as_channels(picture.crop(box))
    return voxels


def _as_channels(picture: Picture) -> StoredArray:
    pixels = np.asarray(picture)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
