import gzip
import struct
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import tifffile
from synthetic import write_picture, write_volume

from autoseg.core.errors import CaseError, affects_all
from autoseg.readers import (
    read_header,
    read_image,
    read_labels,
    storage_of,
    write_labels,
)
from autoseg.readers.names import container_endings, known_endings
from autoseg.readers.nifti_header import NiftiHeader

RANDOM = np.random.default_rng(0)
VOLUME = RANDOM.integers(0, 200, (3, 5, 7)).astype(np.int16)


def oblique(degrees: float = 20.0) -> np.ndarray:
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])


ORIENTATIONS = [
    np.eye(3)[:, list(order)] * signs
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]


@pytest.mark.parametrize("direction", [*ORIENTATIONS, oblique()], ids=str)
def test_one_object_reads_the_same_from_any_orientation(
    direction: np.ndarray, tmp_path: Path
) -> None:
    """World coordinates of a voxel, computed by SimpleITK, lead to its value after reading."""
    path = tmp_path / "case.nii.gz"
    write_volume(
        VOLUME, path, spacing=(3.0, 2.0, 1.0), origin=(10.0, -4.0, 7.0), direction=direction
    )
    image = read_image((path,))
    turned = np.asarray(image.geometry.direction)
    assert np.all(np.diag(turned) > 0.9)
    itk = SimpleITK.ReadImage(str(path))
    for index in [(0, 0, 0), (6, 4, 2), (3, 1, 2)]:
        world = np.array(itk.TransformIndexToPhysicalPoint(index))[::-1]
        steps = np.linalg.solve(turned, world - image.geometry.origin) / image.geometry.spacing
        at = tuple(np.rint(steps).astype(int))
        assert image.voxels[(0, *at)] == itk[index]


@pytest.mark.parametrize("direction", [*ORIENTATIONS[::5], oblique()], ids=str)
def test_an_output_has_exactly_the_geometry_of_its_input(
    direction: np.ndarray, tmp_path: Path
) -> None:
    source, output = tmp_path / "image.nii.gz", tmp_path / "out" / "labels.nii.gz"
    write_volume(
        VOLUME, source, spacing=(3.3, 0.7, 1.1), origin=(10.7, -4.3, 7.9), direction=direction
    )
    image = read_image((source,))
    labels = (image.voxels[0] > 100).astype(np.uint8)
    write_labels(labels, image, output)
    before, after = SimpleITK.ReadImage(str(source)), SimpleITK.ReadImage(str(output))
    assert before.GetSize() == after.GetSize()
    assert before.GetSpacing() == after.GetSpacing()
    assert before.GetOrigin() == after.GetOrigin()
    assert before.GetDirection() == pytest.approx(after.GetDirection(), abs=1e-6)
    stored = SimpleITK.GetArrayFromImage(after)
    np.testing.assert_array_equal(stored, VOLUME > 100)


def test_files_of_one_channel_each_are_stacked_in_order(tmp_path: Path) -> None:
    paths = []
    for channel in range(3):
        paths.append(tmp_path / f"case_{channel:04d}.nrrd")
        write_volume(VOLUME + channel, paths[-1], spacing=(2.0, 1.0, 1.0))
    image = read_image(tuple(paths))
    np.testing.assert_array_equal(image.voxels, [VOLUME, VOLUME + 1, VOLUME + 2])


@pytest.mark.parametrize("as_vector", [True, False], ids=["components", "fourth axis"])
def test_one_file_may_hold_all_channels(as_vector: bool, tmp_path: Path) -> None:
    path = tmp_path / "case.nii.gz"
    channels = np.stack([VOLUME, VOLUME * 2])
    if as_vector:
        image = SimpleITK.GetImageFromArray(np.moveaxis(channels, 0, -1), isVector=True)
    else:
        image = SimpleITK.JoinSeries([SimpleITK.GetImageFromArray(one) for one in channels])
    SimpleITK.WriteImage(image, str(path))
    np.testing.assert_array_equal(read_image((path,)).voxels, channels)
    header = read_header(path)
    assert (header.shape, header.num_channels) == ((3, 5, 7), 2)


def test_channels_on_different_grids_are_refused(tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"case_{index:04d}.mha" for index in range(3))
    write_volume(VOLUME, first, spacing=(2.0, 1.0, 1.0))
    write_volume(VOLUME[:, :4], second, spacing=(2.0, 1.0, 1.0))
    write_volume(VOLUME, third, spacing=(2.5, 1.0, 1.0))
    with pytest.raises(CaseError, match=r"case_0001\.mha.*3 × 4 × 7 against 3 × 5 × 7"):
        read_image((first, second))
    with pytest.raises(CaseError, match=r"case_0002\.mha.*spacing"):
        read_image((first, third))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_file_with_a_single_slice_is_two_dimensional_and_comes_back_as_it_was(
    ending: str, tmp_path: Path
) -> None:
    source, output = tmp_path / f"slice{ending}", tmp_path / f"labels{ending}"
    write_volume(VOLUME[:1], source, spacing=(5.0, 0.5, 0.7), origin=(30.0, 1.0, 2.0))
    image = read_image((source,))
    assert image.voxels.shape == (1, 5, 7)
    assert image.geometry.spacing == pytest.approx((0.5, 0.7))
    assert len(read_header(source).shape) == 2
    write_labels((image.voxels[0] > 9).astype(np.uint8), image, output)
    before, after = SimpleITK.ReadImage(str(source)), SimpleITK.ReadImage(str(output))
    assert after.GetSize() == before.GetSize() == (7, 5, 1)
    assert after.GetSpacing() == before.GetSpacing()
    assert after.GetOrigin() == before.GetOrigin()
    write_labels((image.voxels[0] > 9).astype(np.uint8), image, tmp_path / "labels.png")
    assert read_labels(tmp_path / "labels.png").values.shape == (5, 7)


def test_a_file_with_two_axes_stays_two_dimensional(tmp_path: Path) -> None:
    path = tmp_path / "flat.nii.gz"
    write_volume(VOLUME[0], path, spacing=(0.5, 0.7))
    image = read_image((path,))
    assert image.geometry.num_axes == 2
    write_labels(VOLUME[0].astype(np.uint8), image, tmp_path / "labels.nii.gz")
    assert SimpleITK.ReadImage(str(tmp_path / "labels.nii.gz")).GetSize() == (7, 5)


def test_labels_without_geometry_lie_over_a_turned_image(tmp_path: Path) -> None:
    image_path, labels_path = tmp_path / "case.nii.gz", tmp_path / "case.tif"
    write_volume(VOLUME, image_path, spacing=(3.0, 1.0, 1.0), direction=np.diag([1.0, -1, -1]))
    tifffile.imwrite(labels_path, VOLUME.astype(np.uint8), photometric="minisblack")
    image = read_image((image_path,))
    labels = read_labels(labels_path, like=image)
    np.testing.assert_array_equal(labels.values, image.voxels[0])
    assert labels.geometry == image.geometry


def test_labels_are_turned_as_their_image_where_rounding_would_decide(tmp_path: Path) -> None:
    image_path, labels_path = tmp_path / "case.nrrd", tmp_path / "labels.nrrd"
    spacing = (3.0, 1.0, 1.0)
    turns = oblique(45 - 1e-3), oblique(45 + 1e-3)
    write_volume(VOLUME, image_path, spacing=spacing, direction=turns[0])
    write_volume(VOLUME.astype(np.uint8), labels_path, spacing=spacing, direction=turns[1])
    image = read_image((image_path,))
    labels = read_labels(labels_path, like=image)
    np.testing.assert_array_equal(labels.values, image.voxels[0])
    assert labels.geometry.difference(image.geometry, image.shape) is None


def test_a_volume_of_labels_for_a_single_slice_keeps_its_shape(tmp_path: Path) -> None:
    write_volume(VOLUME[:1], tmp_path / "case.nii.gz", spacing=(3.0, 1.0, 1.0))
    write_volume(VOLUME, tmp_path / "labels.nii.gz", spacing=(3.0, 1.0, 1.0))
    labels = read_labels(tmp_path / "labels.nii.gz", like=read_image((tmp_path / "case.nii.gz",)))
    assert labels.values.shape == VOLUME.shape


def test_a_header_with_sheared_axes_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "case.nii"
    write_volume(VOLUME, path, spacing=(3.0, 1.0, 1.0))
    content = bytearray(path.read_bytes())
    struct.pack_into("<hh", content, 252, 0, 1)  # the sform alone counts
    struct.pack_into("<12f", content, 280, 1, 0.2, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    path.write_bytes(content)
    with pytest.raises(CaseError, match=r"read: ITK only supports.*not at right angles: correct"):
        read_image((path,))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([[0, 1.5]]), "fractional values such as 1.5"),
        (np.array([[0, np.nan]]), "NaN"),
        (np.array([[0, -3.0]]), "negative values such as -3"),
    ],
)
def test_labels_that_are_no_whole_numbers_are_refused(
    values: np.ndarray, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "labels.nii"
    write_volume(values.astype(np.float32), path, spacing=(1.0, 1.0))
    with pytest.raises(CaseError, match=f"labels.nii.*{words}"):
        read_labels(path)


def test_complex_values_are_neither_intensities_nor_labels(tmp_path: Path) -> None:
    path = tmp_path / "case.tif"
    tifffile.imwrite(path, np.full((4, 5), 1 + 2j, np.complex64))
    with pytest.raises(CaseError, match="complex values"):
        read_image((path,))
    with pytest.raises(CaseError, match="complex64"):
        read_labels(path)


def test_whole_numbers_stored_as_floats_are_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.nii.gz"
    write_volume(np.full((3, 4, 5), 300, np.float64), path, spacing=(1.0, 1.0, 1.0))
    labels = read_labels(path)
    assert labels.values.dtype == np.uint16
    assert labels.values.max() == 300


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_file_that_was_cut_off_is_noticed(ending: str, tmp_path: Path) -> None:
    whole, cut = tmp_path / f"whole{ending}", tmp_path / f"cut{ending}"
    write_volume(RANDOM.integers(0, 255, (9, 20, 20)), whole, spacing=(1.0, 1.0, 1.0))
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) * 2 // 3])
    assert read_image((whole,)).shape == (9, 20, 20)
    with pytest.raises(CaseError, match=f"cut{ending} cannot be read"):
        read_image((cut,))


def test_a_file_of_the_other_byte_order_and_version_is_understood() -> None:
    for order, size, code_at, dims_at, dims, start_at, layout in [
        ("<", 348, 70, 40, "8h", 108, "f"),
        (">", 348, 70, 40, "8h", 108, "f"),
        ("<", 540, 12, 16, "8q", 168, "q"),
        (">", 540, 12, 16, "8q", 168, "q"),
    ]:
        header = bytearray(540)
        struct.pack_into(f"{order}i", header, 0, size)
        struct.pack_into(f"{order}2h", header, code_at, 64, 64)
        struct.pack_into(f"{order}{dims}", header, dims_at, 3, 4, 5, 6, 9, 9, 9, 9)
        struct.pack_into(f"{order}{layout}", header, start_at, 544)
        header[344:348] = b"n+1\0" if size == 348 else bytes(4)
        parsed = NiftiHeader.from_bytes(bytes(header))
        expected = 544 + 4 * 5 * 6 * 8
        assert parsed == NiftiHeader(
            byte_order=order,
            number_type="f8",
            shape=(4, 5, 6),
            version=2 if size == 540 else 1,
            scale=(1.0, 0.0),
            start=544,
            size=expected,
            pixdim=(0.0, 0.0, 0.0),
        )


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("number_type", [np.uint8, np.int16, np.float32])
def test_a_header_tells_the_size_of_its_file(ending, number_type, tmp_path: Path) -> None:
    path = tmp_path / f"case{ending}"
    write_volume(VOLUME.astype(number_type), path, spacing=(1.0, 1.0, 1.0))
    header = NiftiHeader.from_file(path)
    content = path.read_bytes()
    whole = gzip.decompress(content) if ending.endswith("gz") else content
    assert header.size == len(whole)
    values = np.frombuffer(whole[header.start :], np.dtype(number_type))
    assert np.array_equal(values, VOLUME.astype(number_type).ravel())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"nowhere\.png does not exist"):
        read_image((tmp_path / "nowhere.png",))


def test_an_unknown_format_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"scan\.xyz.*\.nii\.gz"):
        read_header(tmp_path / "scan.xyz")


def test_labels_that_a_format_cannot_hold_are_refused(tmp_path: Path) -> None:
    write_volume(VOLUME, tmp_path / "case.nii.gz", spacing=(1.0, 1.0, 1.0))
    volume = read_image((tmp_path / "case.nii.gz",))
    write_picture(VOLUME[0].astype(np.uint8), tmp_path / "case.png")
    picture = read_image((tmp_path / "case.png",))
    labels = np.full((3, 5, 7), 300, np.int64)
    for values, like, name, words in [
        (labels, volume, "out.png", "3-D"),
        (labels[0], picture, "out.jpg", "Write out.png instead"),
        (labels[0], picture, "out.bmp", "300.*255"),
        (labels[0], volume, "out.nii.gz", "expected the same shape"),
        (-labels, volume, "out.nii.gz", "0 or more"),
    ]:
        with pytest.raises(CaseError, match=words):
            write_labels(values, like, tmp_path / name)
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"])
def test_endings_may_be_in_capitals(ending: str, tmp_path: Path) -> None:
    write_volume(VOLUME, tmp_path / f"case{ending}", spacing=(3.0, 2.0, 1.0))
    path = (tmp_path / f"case{ending}").rename(tmp_path / f"OTHER{ending.upper()}")
    assert read_header(path).shape == VOLUME.shape
    assert np.array_equal(read_image((path,)).voxels[0], VOLUME)


def test_a_metaimage_header_may_name_a_file_below_it_and_hold_any_text(tmp_path: Path) -> None:
    write_volume(VOLUME, tmp_path / "case.mhd", spacing=(3.0, 2.0, 1.0))
    (tmp_path / "voxels").mkdir()
    voxels = (tmp_path / "case.raw").rename(tmp_path / "voxels" / "case.raw")
    header = (tmp_path / "case.mhd").read_text().replace("case.raw", "voxels/case.raw")
    (tmp_path / "case.mhd").write_text(f"Comment = exported 2019/03/01\n{header}")
    assert np.array_equal(read_image((tmp_path / "case.mhd",)).voxels[0], VOLUME)
    assert storage_of(tmp_path / "case.mhd")[1:] == (voxels,)


def test_a_metaimage_header_may_list_a_file_per_slice(tmp_path: Path) -> None:
    names = [f"slice_{index}.raw" for index in range(2)]
    for name in names:
        (tmp_path / name).write_bytes(b"0")
    (tmp_path / "case.mhd").write_text("ElementDataFile = LIST\n" + "\n".join([*names, "gone"]))
    assert storage_of(tmp_path / "case.mhd")[1:] == tuple(tmp_path / name for name in names)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kept", [0, 100, 200])
def test_a_label_map_that_a_full_disk_cut_off_is_no_label_map(
    ending: str, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"labels{ending}"
    write_volume(VOLUME, tmp_path / "image.nii.gz", spacing=(3.0, 2.0, 1.0))
    image = read_image((tmp_path / "image.nii.gz",))
    labels = RANDOM.integers(0, 200, image.shape).astype(np.uint8)
    write_labels(labels, image, path)
    before, write = path.read_bytes(), SimpleITK.WriteImage

    def cut(written: SimpleITK.Image, name: str, **options: bool) -> None:
        write(written, name, **options)
        Path(name).write_bytes(Path(name).read_bytes()[:kept])

    monkeypatch.setattr(SimpleITK, "WriteImage", cut)
    with pytest.raises(OSError, match=f"No space left.*labels{ending}") as caught:
        write_labels(labels, image, path)
    assert affects_all(caught.value)
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [tmp_path / "image.nii.gz", path]


def test_a_file_is_compressed_or_not_whatever_its_name_says(tmp_path: Path) -> None:
    write_volume(VOLUME.astype(np.float32), tmp_path / "a.nii", spacing=(1, 1, 1))
    plain = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "plain.nii.gz").write_bytes(plain)
    members = gzip.compress(plain[:100]) + gzip.compress(plain[100:])
    (tmp_path / "members.nii.gz").write_bytes(members)
    for name in ("plain.nii.gz", "members.nii.gz"):
        np.testing.assert_array_equal(read_image((tmp_path / name,)).voxels[0], VOLUME)
    (tmp_path / "cut.nii.gz").write_bytes(plain[:-40])
    with pytest.raises(CaseError, match=r"cut\.nii\.gz cannot be read"):
        read_image((tmp_path / "cut.nii.gz",))


def test_the_known_endings_are_collected_once() -> None:
    assert known_endings() is known_endings()
    assert container_endings("file") is container_endings("file")
    assert set(container_endings("file")) < set(known_endings())


@pytest.mark.parametrize(
    ("stored", "kept"),
    [("u1", "u1"), ("<i2", "i2"), (">u2", "u2"), ("i4", "f4"), ("u8", "f4"), ("f8", "f4")],
)
def test_small_integers_stay_integers_in_memory(stored, kept, tmp_path) -> None:
    voxels = np.arange(24, dtype=stored).reshape(4, 6)
    tifffile.imwrite(tmp_path / "image.tif", voxels, byteorder=">" if ">" in stored else "<")
    found = read_image((tmp_path / "image.tif",)).voxels
    assert found.dtype == np.dtype(kept)
    assert np.array_equal(found[0], voxels)
