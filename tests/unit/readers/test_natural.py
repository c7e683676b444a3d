import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from PIL import Image
from synthetic import write_picture

from autoseg.core.errors import CaseError
from autoseg.readers import natural, read_header, read_image, read_labels

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("ending", [".png", ".bmp", ".jpg", ".jpeg"])
@pytest.mark.parametrize("bands", [1, 3])
def test_bands_are_channels(ending: str, bands: int, tmp_path: Path) -> None:
    path = tmp_path / f"case{ending}"
    pixels = np.full((6, 9, bands), 40 * np.arange(1, bands + 1), np.uint8)
    write_picture(pixels.squeeze(), path)
    image = read_image((path,))
    assert image.voxels.shape == (bands, 6, 9)
    assert image.geometry.num_axes == 2
    np.testing.assert_allclose(image.voxels, np.moveaxis(pixels, -1, 0), atol=3)
    assert (read_header(path).shape, read_header(path).num_channels) == ((6, 9), bands)


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_sixteen_bits_are_kept(bands: int, tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    pixels = RANDOM.integers(0, 65535, (6, 9, bands)).astype(np.uint16)
    image = SimpleITK.GetImageFromArray(pixels.squeeze(), isVector=bands > 1)
    SimpleITK.WriteImage(image, str(path))
    np.testing.assert_array_equal(read_image((path,)).voxels, np.moveaxis(pixels, -1, 0))


def test_a_palette_means_colours_in_images_and_values_in_labels(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 3, (6, 9)).astype(np.uint8)
    picture = Image.new("P", (9, 6))
    picture.putdata(values.ravel().tolist())
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    picture.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "palette.png").values, values)
    image = read_image((tmp_path / "palette.png",))
    np.testing.assert_array_equal(image.voxels[0], 128.0 * (values == 1))
    assert read_header(tmp_path / "palette.png").num_channels == 3


def test_labels_may_be_grey_colours_or_one_bit(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 2, (6, 9)).astype(np.uint8) * 255
    opacity = np.full_like(values, 255)
    write_picture(np.stack([values] * 3, -1), tmp_path / "rgb.png")
    write_picture(np.stack([values, values, values, opacity], -1), tmp_path / "rgba.png")
    Image.fromarray(values > 0).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "rgb.png").values, values)
    np.testing.assert_array_equal(read_labels(tmp_path / "rgba.png").values, values)
    np.testing.assert_array_equal(read_labels(tmp_path / "bits.png").values, values // 255)


def test_coloured_labels_are_refused(tmp_path: Path) -> None:
    write_picture(RANDOM.integers(0, 255, (6, 9, 3)).astype(np.uint8), tmp_path / "colours.png")
    with pytest.raises(CaseError, match="3 channels that differ"):
        read_labels(tmp_path / "colours.png")


def test_labels_in_a_jpeg_are_refused(tmp_path: Path) -> None:
    write_picture(np.zeros((6, 9), np.uint8), tmp_path / "labels.jpg")
    with pytest.raises(CaseError, match=r"JPEG.*\.png"):
        read_labels(tmp_path / "labels.jpg")


@pytest.mark.filterwarnings("error")
def test_pictures_may_be_larger_than_pillow_expects(tmp_path: Path, monkeypatch) -> None:
    picture = RANDOM.integers(0, 255, (6, 9)).astype(np.uint8)
    write_picture(picture, tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert np.array_equal(read_image((tmp_path / "large.png",)).voxels[0], picture)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_labels_of_sixteen_bits_per_colour_are_kept(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 3, (6, 9)).astype(np.uint16)
    picture = SimpleITK.GetImageFromArray(np.stack([values] * 3, axis=-1), isVector=True)
    SimpleITK.WriteImage(picture, str(tmp_path / "labels.png"))
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.png").values, values)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_labels_are_the_same_in_as_few_bits_as_they_need(bits: int, tmp_path: Path) -> None:
    values = RANDOM.integers(0, 2, (6, 8)).astype(np.uint8)
    rows = np.unpackbits(values[..., None], axis=-1)[..., 8 - bits :].reshape(6, -1)
    filtered = b"".join(b"\0" + np.packbits(row).tobytes() for row in rows)
    header = struct.pack(">2I5B", 8, 6, bits, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered)), (b"IEND", b""))
    path = tmp_path / "labels.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in parts
        )
    )
    np.testing.assert_array_equal(read_labels(path).values, values)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_a_photograph_is_read_as_viewers_show_it(
    orientation: int, turns: int, tmp_path: Path
) -> None:
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:8, :8] = 200
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photograph.jpg"
    Image.fromarray(pixels).save(path, exif=exif, quality=100)
    expected = np.rot90(pixels, turns)
    np.testing.assert_allclose(read_image((path,)).voxels[0], expected, atol=3)
    assert read_header(path).shape == expected.shape


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "I;16"])
def test_a_large_picture_converted_in_strips_is_the_same(mode, tmp_path, monkeypatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (11, 7, 4), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    picture = (
        Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
        if mode == "I;16"
        else picture.convert(mode)
    )
    picture.save(tmp_path / "picture.png")
    at_once = read_image((tmp_path / "picture.png",)).voxels
    monkeypatch.setattr(natural, "STRIP_PIXELS", 20)
    in_strips = read_image((tmp_path / "picture.png",)).voxels
    assert in_strips.dtype == at_once.dtype == (np.uint16 if mode == "I;16" else np.uint8)
    assert np.array_equal(in_strips, at_once)
