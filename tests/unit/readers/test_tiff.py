import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from autoseg.core.errors import CaseError
from autoseg.core.geometry import Geometry
from autoseg.readers import read_header, read_image, read_labels, storage_of, write_labels
from autoseg.readers.tiff import TiffReader

RANDOM = np.random.default_rng(0)
STACK = RANDOM.integers(0, 255, (5, 6, 9)).astype(np.uint8)


@pytest.mark.parametrize(
    ("stored", "options", "shape"),
    [
        (STACK[0], {}, (1, 6, 9)),
        (STACK, {}, (1, 5, 6, 9)),
        (STACK[:1], {}, (1, 6, 9)),
        (np.stack([STACK[0]] * 3, -1), {"photometric": "rgb"}, (3, 6, 9)),
        (np.stack([STACK[0]] * 4, -1), {"photometric": "rgb"}, (4, 6, 9)),
        (np.stack([STACK] * 3, -1), {"photometric": "rgb"}, (3, 5, 6, 9)),
        (np.stack([STACK] * 2, 1), {"imagej": True, "metadata": {"axes": "ZCYX"}}, (2, 5, 6, 9)),
        (STACK.astype(np.float32), {"compression": "zlib"}, (1, 5, 6, 9)),
    ],
    ids=["2d", "3d", "one page", "rgb", "rgba", "rgb stack", "imagej channels", "compressed"],
)
def test_pages_are_the_first_axis_and_samples_are_channels(
    stored: np.ndarray, options: dict, shape: tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / "case.tif"
    tifffile.imwrite(path, stored, **options)
    image = read_image((path,))
    assert image.voxels.shape == shape
    np.testing.assert_array_equal(np.sort(image.voxels.ravel()), np.sort(stored.ravel()))
    header = read_header(path)
    assert (header.num_channels, *header.shape) == shape


@pytest.mark.parametrize("pages", [1, 5])
def test_lzw_compression_is_read(pages: int, tmp_path: Path) -> None:
    path = tmp_path / "case.tif"
    first, *others = [Image.fromarray(page) for page in STACK[:pages]]
    first.save(path, compression="tiff_lzw", save_all=True, append_images=others)
    np.testing.assert_array_equal(read_image((path,)).voxels[0], STACK[:pages].squeeze())


@pytest.mark.parametrize("name", ["case.tif", "case_0000.tif"])
def test_a_side_car_gives_the_spacing(name: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / name, STACK)
    assert read_image((tmp_path / name,)).geometry.spacing == (1.0, 1.0, 1.0)
    (tmp_path / "case.json").write_text(json.dumps({"spacing": [5, 0.5, 0.25]}))
    assert read_image((tmp_path / name,)).geometry.spacing == (5.0, 0.5, 0.25)
    assert storage_of(tmp_path / name)[1:] == (tmp_path / "case.json",)


@pytest.mark.parametrize(
    "content",
    ['{"spacing": [1, 2]}', "[1, 2, 3]", '{"spacing": [0, 1, 1]}', '{"shapes": []}', "5 1 1"],
)
def test_a_wrong_side_car_is_refused(content: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "case.tif", STACK)
    (tmp_path / "case.json").write_text(content)
    with pytest.raises(
        CaseError, match=r"case\.json should contain.*3 positive numbers.*move it to another folder"
    ):
        read_image((tmp_path / "case.tif",))


def test_labels_come_with_a_side_car(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "case.tif", STACK)
    (tmp_path / "case.json").write_text('{"spacing": [5, 0.5, 0.25]}')
    image = read_image((tmp_path / "case.tif",))
    write_labels((STACK > 99).astype(np.int64), image, tmp_path / "out" / "case.tif")
    labels = read_labels(tmp_path / "out" / "case.tif")
    np.testing.assert_array_equal(labels.values, STACK > 99)
    assert labels.geometry == image.geometry


def test_a_time_series_is_refused(tmp_path: Path) -> None:
    options = {"imagej": True, "metadata": {"axes": "TZYX"}}
    tifffile.imwrite(tmp_path / "case.tif", np.stack([STACK] * 3), **options)
    with pytest.raises(CaseError, match="TZYX"):
        read_image((tmp_path / "case.tif",))


def test_pages_of_different_shapes_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "case.tif") as file:
        file.write(STACK[0])
        file.write(STACK[0, :3])
    with pytest.raises(CaseError, match="2 images of different shapes"):
        read_image((tmp_path / "case.tif",))


def test_labels_may_have_one_bit(tmp_path: Path) -> None:
    mask = np.zeros((5, 8), bool)
    mask[1:3, 2:6] = True
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    found = read_labels(tmp_path / "mask.tif").values
    assert found.dtype == np.uint8
    assert np.array_equal(found, mask)


@pytest.mark.parametrize("compression", ["tiff_lzw", "group4", "raw"])
def test_labels_of_one_bit_may_be_compressed(compression: str, tmp_path: Path) -> None:
    mask = np.zeros((40, 50), bool)
    mask[5:30, 7:44] = True
    Image.fromarray(mask).save(tmp_path / "mask.tif", compression=compression)
    assert np.array_equal(read_labels(tmp_path / "mask.tif").values, mask)


def test_labels_with_a_palette_are_its_positions(tmp_path: Path) -> None:
    values = np.arange(2000, dtype=np.uint8).reshape(40, 50) % 3
    picture = Image.fromarray(values, mode="P")
    picture.putpalette([0, 0, 0, 250, 10, 10, 10, 250, 10])
    picture.save(tmp_path / "labels.tif", compression="tiff_lzw")
    assert np.array_equal(read_labels(tmp_path / "labels.tif").values, values)


def test_images_may_be_jpegs_within_and_labels_not(tmp_path: Path) -> None:
    grey = np.full((40, 50), 100, np.uint8)
    Image.fromarray(grey).save(tmp_path / "case.tif", compression="jpeg")
    assert np.array_equal(read_image((tmp_path / "case.tif",)).voxels, grey[None])
    with pytest.raises(CaseError, match=r"case\.tif is compressed as a JPEG, which alters"):
        read_labels(tmp_path / "case.tif")


def test_a_side_car_of_three_axes_serves_a_single_page(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "case.tif", STACK[0])
    (tmp_path / "case.json").write_text('{"spacing": [999, 0.5, 0.25]}')
    assert read_image((tmp_path / "case.tif",)).geometry.spacing == (0.5, 0.25)


def test_labels_written_anew_leave_no_spacing_of_those_before(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    labels = np.ones((3, 4, 5), np.uint8)
    for spacing in ((3.0, 1.0, 1.0), (1.0, 1.0, 1.0)):
        TiffReader().write(labels, Geometry.plain(spacing), path)
        assert read_labels(path).geometry.spacing == spacing
