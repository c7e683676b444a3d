"""Files that are stored in unusual ways, and mean what other readers show."""

import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import tifffile
from PIL import Image, PngImagePlugin
from synthetic import write_picture, write_volume

from autoseg.core.errors import CaseError
from autoseg.readers import (
    ending_of,
    label_ending,
    read_header,
    read_image,
    read_labels,
    stem_of,
    storage_of,
    write_labels,
)
from autoseg.readers.orientation import upright

SHAPE = (4, 5, 6)
VALUES = np.arange(120, dtype=np.float32).reshape(SHAPE)


def nifti(
    path: Path,
    voxels: np.ndarray,
    *,
    dims: tuple[int, ...],
    code: int,
    scale: tuple[float, float] = (1.0, 0.0),
    order: str = "<",
) -> Path:
    """Write a NIfTI-1 file by its fields alone; voxels in the order of the file."""
    header = bytearray(352)
    padded = (len(dims), *dims, *([1] * (7 - len(dims))))
    struct.pack_into(f"{order}i", header, 0, 348)
    struct.pack_into(f"{order}8h", header, 40, *padded)
    struct.pack_into(
        f"{order}3h", header, 68, 1007 if len(dims) == 5 else 0, code, voxels.itemsize * 8
    )
    struct.pack_into(f"{order}8f", header, 76, 1, 1, 1, 2, 1, 1, 1, 1)
    struct.pack_into(f"{order}3f", header, 108, 352, *scale)
    struct.pack_into(f"{order}2h", header, 252, 1, 0)
    header[344:348] = b"n+1\0"
    path.write_bytes(bytes(header) + voxels.astype(voxels.dtype.newbyteorder(order)).tobytes())
    return path


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nan_in_a_nifti_file_stays_nan(tmp_path: Path, ending: str) -> None:
    values = VALUES.copy()
    values[1, 2, 3], values[0, 0, 0] = np.nan, np.inf
    write_volume(values, tmp_path / f"a{ending}", spacing=(1.0, 1.0, 1.0))
    voxels = read_image((tmp_path / f"a{ending}",)).voxels
    assert np.isnan(voxels).sum() == 1
    assert np.isinf(voxels).sum() == 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_floats_of_either_byte_order_are_scaled(tmp_path: Path, order: str) -> None:
    path = nifti(tmp_path / "a.nii", VALUES, dims=(6, 5, 4), code=16, scale=(2.0, 3.0), order=order)
    like = nifti(tmp_path / "b.nii", VALUES * 2 + 3, dims=(6, 5, 4), code=16)
    image, plain = read_image((path,)), read_image((like,))
    assert np.array_equal(image.voxels, plain.voxels)
    assert image.geometry == plain.geometry


def test_vectors_are_scaled(tmp_path: Path) -> None:
    channels = np.stack([VALUES, VALUES * 2, VALUES * 3]).astype(np.int16)
    path = nifti(tmp_path / "v.nii", channels, dims=(6, 5, 4, 1, 3), code=4, scale=(0.5, 1.0))
    plain = nifti(tmp_path / "p.nii", VALUES, dims=(6, 5, 4), code=16)
    image = read_image((path,))
    expected = read_image((plain,)).voxels[0]
    assert image.voxels.shape[0] == 3
    for number, channel in enumerate(image.voxels, start=1):
        assert np.array_equal(channel, expected * number * 0.5 + 1)


def test_a_truncated_file_of_floats_is_refused(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", VALUES, dims=(6, 5, 4), code=16)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CaseError, match="truncated"):
        read_image((path,))


def test_labels_that_are_rounded_are_whole(tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.float32)
    labels[1] = 1.0000001
    labels[2] = 2.00004
    write_volume(labels, tmp_path / "a.nii.gz", spacing=(1.0, 1.0, 1.0))
    assert sorted(np.unique(read_labels(tmp_path / "a.nii.gz").values)) == [0, 1, 2]
    labels[3] = 1.01
    write_volume(labels, tmp_path / "a.nii.gz", spacing=(1.0, 1.0, 1.0))
    with pytest.raises(CaseError, match=r"fractional values such as 1\.01"):
        read_labels(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("components", [2, 4])
def test_layers_of_a_volume_are_not_an_opacity(tmp_path: Path, components: int) -> None:
    layers = np.zeros((*SHAPE, components), np.uint8)
    layers[1, ..., -1] = 1
    image = SimpleITK.GetImageFromArray(layers, isVector=True)
    SimpleITK.WriteImage(image, str(tmp_path / "a.nrrd"))
    with pytest.raises(CaseError, match=rf"{components} channels that differ.*--mask onehot"):
        read_labels(tmp_path / "a.nrrd")


def test_an_opacity_that_holds_the_labels_is_read(tmp_path: Path) -> None:
    picture = np.zeros((6, 9, 4), np.uint8)
    picture[..., :3] = 255
    picture[2:4, 3, 3] = 255
    write_picture(picture, tmp_path / "a.png")
    assert np.array_equal(read_labels(tmp_path / "a.png").values, picture[..., 3])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_of_one_slice_is_two_dimensional(tmp_path: Path, axis: int) -> None:
    slice_values = np.arange(30, dtype=np.float32).reshape(5, 6)
    path = tmp_path / "a.nii.gz"
    spacing = tuple(np.insert([2.0, 3.0], axis, 7.0))
    write_volume(np.expand_dims(slice_values, axis), path, spacing=spacing)
    image = read_image((path,))
    assert read_header(path).shape == (5, 6)
    assert np.array_equal(image.reorientation.invert(image.voxels[0]), slice_values)
    assert image.geometry.spacing == (2.0, 3.0)
    labels = (image.voxels[0] > 7).astype(np.uint8)
    write_labels(labels, image, tmp_path / "out.nii.gz")
    written = SimpleITK.ReadImage(str(tmp_path / "out.nii.gz"))
    original = SimpleITK.ReadImage(str(path))
    assert written.GetSize() == original.GetSize()
    assert written.GetSpacing() == pytest.approx(original.GetSpacing())
    assert np.array_equal(read_labels(tmp_path / "out.nii.gz", like=image).values, labels)


def test_white_of_0_is_shown_as_white(tmp_path: Path) -> None:
    mask = np.zeros((6, 9), np.uint8)
    mask[2:4, 3] = 255
    tifffile.imwrite(tmp_path / "a.tif", 255 - mask, photometric="miniswhite")
    assert np.array_equal(read_labels(tmp_path / "a.tif").values, mask)
    assert np.array_equal(read_image((tmp_path / "a.tif",)).voxels[0], mask)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_upright(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    values = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    picture = Image.fromarray(values)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "a.png", exif=exif, pnginfo=PngImagePlugin.PngInfo())
    with Image.open(tmp_path / "a.png") as opened:
        shown = np.asarray(ImageOps.exif_transpose(opened))
    tifffile.imwrite(tmp_path / "a.tif", values, extratags=[(274, 3, 1, orientation, False)])
    assert np.array_equal(upright(values[None], orientation)[0], shown)
    for name in ("a.png", "a.tif"):
        assert np.array_equal(read_image((tmp_path / name,)).voxels[0], shown)
        assert np.array_equal(read_labels(tmp_path / name).values, shown)
    assert read_header(tmp_path / "a.tif").shape == shown.shape


def test_a_palette_that_shows_0_as_white_is_a_mask(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 0, 1], [0, 1, 1]], np.uint8), mode="P")
    picture.putpalette([255, 255, 255, 0, 0, 0])
    picture.save(tmp_path / "a.gif")
    assert read_labels(tmp_path / "a.gif").values.tolist() == [[255, 255, 0], [255, 0, 0]]
    picture = Image.fromarray(np.zeros((2, 3), np.uint8), mode="P")
    picture.putpalette([255, 255, 255, 0, 0, 0])
    picture.save(tmp_path / "white.gif")
    assert read_labels(tmp_path / "white.gif").values.tolist() == [[255] * 3] * 2


@pytest.mark.parametrize(
    ("name", "stem", "ending", "output"),
    [
        ("c0.seg.nrrd", "c0", ".seg.nrrd", ".nrrd"),
        ("c0.ome.tif", "c0", ".ome.tif", ".tif"),
        ("c0.OME.TIFF", "c0", ".ome.tiff", ".tiff"),
        ("c0.gif", "c0", ".gif", ".png"),
    ],
)
def test_endings_of_two_parts_are_endings(name: str, stem: str, ending: str, output: str) -> None:
    path = Path(name)
    assert (stem_of(path), ending_of(path), label_ending(ending)) == (stem, ending, output)


def test_the_data_file_of_an_nrrd_header_belongs_to_it(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(8))
    header = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: a.raw\n"
    (tmp_path / "a.nrrd").write_text(header)
    assert storage_of(tmp_path / "a.nrrd")[1:] == (tmp_path / "a.raw",)
    write_volume(VALUES, tmp_path / "b.nrrd", spacing=(1.0, 1.0, 1.0))
    assert storage_of(tmp_path / "b.nrrd")[1:] == ()


def test_a_broken_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    with pytest.raises(CaseError, match=r"is a link to .*b\.png, which does not exist"):
        read_image((tmp_path / "a.png",))
