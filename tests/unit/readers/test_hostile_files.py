"""Files that claim anything are the fault of that file alone: no crash, no hang, no memory."""

import gzip
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import tifffile
from PIL import Image
from synthetic import write_picture, write_volume

from autoseg.core.errors import CaseError
from autoseg.core.formatting import printable
from autoseg.datasets.layouts.pairing import pair_by_stem
from autoseg.datasets.recognition.inventory import take_inventory
from autoseg.readers import read_header, read_image, read_labels, stem_of, storage_of
from autoseg.readers.limits import VARIABLE, check_chunks, check_size

VOXELS = np.arange(64, dtype=np.uint8).reshape(4, 4, 4)


def refusal(path: Path) -> str:
    """Return the message with which a file is refused, the same whatever is read."""
    with pytest.raises(CaseError) as header:
        read_header(path)
    with pytest.raises(CaseError) as image:
        read_image((path,))
    assert str(header.value) == str(image.value)
    return str(image.value)


def nrrd(path: Path, more: str = "", **fields: str) -> Path:
    fields = {"type": "uchar", "dimension": "3", "sizes": "4 4 4", "encoding": "raw"} | fields
    lines = "".join(f"{name}: {value}\n" for name, value in fields.items())
    path.write_bytes(f"NRRD0004\n{lines}{more}\n".encode() + VOXELS.tobytes())
    return path


def meta_image(path: Path, more: str = "", **fields: str) -> Path:
    own = {"NDims": "3", "DimSize": "4 4 4", "ElementType": "MET_UCHAR"}
    fields = own | fields | {"ElementDataFile": fields.get("ElementDataFile", "LOCAL")}
    lines = [f"{name} = {value}\n" for name, value in fields.items()]
    text = "".join((*lines[:-1], more, lines[-1]))
    path.write_bytes(text.encode() + VOXELS.tobytes())
    return path


def nifti(path: Path, shape: tuple[int, ...] = (4, 4, 4), **at: tuple[str, float]) -> Path:
    """Write a NIfTI-1 file; `at` are formats and values of fields by their offsets, `_280`."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, len(shape), *shape, *([1] * (7 - len(shape))))
    struct.pack_into("<2h", header, 70, 2, 8)
    struct.pack_into("<8f", header, 76, *([1] * 8))
    struct.pack_into("<f", header, 108, 352)
    header[344:348] = b"n+1\0"
    for place, (kind, value) in at.items():
        struct.pack_into(f"<{kind}", header, int(place[1:]), value)
    content = bytes(header) + VOXELS.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


SHEARED = "space: left-posterior-superior\nspace directions: (1,0,0) (0.5,1,0) (0,0,1)\n"
LARGE = "space: left-posterior-superior\nspace directions: (1e200,0,0) (0,1,0) (0,0,1)\n"


@pytest.mark.parametrize(
    ("fields", "more", "expected"),
    [
        ({"type": "x" * 5000}, "", "a line of 5006 characters"),
        ({"type": "block"}, "", "the field type of its header is 'block'"),
        ({"dimension": "17"}, "", "the field dimension of its header is '17'"),
        ({"sizes": "-4 4 4"}, "", "the field sizes of its header is '-4 4 4'"),
        ({"sizes": "9999 9999 9999"}, "", "the limit is 8 GiB. Raise it with --max-image-gib"),
        ({"sizes": "1000 1000 999"}, "", "but stores"),
        ({"data file": "%s%n.raw 1 4 1"}, "", "not a name or pattern of files"),
        ({"data file": "/dev/zero"}, "", "which is not a file"),
        ({}, SHEARED, "at right angles"),
        ({}, LARGE, "the field spacedirections of its header"),
    ],
)
def test_an_nrrd_header_is_checked_before_it_is_parsed_by_itk(
    fields: dict[str, str], more: str, expected: str, tmp_path: Path
) -> None:
    assert expected in refusal(nrrd(tmp_path / "a.nrrd", more, **fields))


@pytest.mark.parametrize(
    ("fields", "more", "expected"),
    [
        ({"NDims": "-1"}, "", "the field NDims of its header is '-1'; expected 1 whole number of"),
        ({"NDims": "1000000"}, "", "the field NDims"),
        ({"DimSize": "4 4"}, "", "the field DimSize"),
        ({"ElementType": "MET_OTHER"}, "", "expected a type of number"),
        ({"ElementDataFile": "%s%n.raw 1 4 1"}, "", "not a name or pattern of files"),
        ({"CompressedDataSize": "9000000000"}, "", "the field CompressedDataSize"),
        ({"TransformMatrix": "1 0 0 0 0 -1 1e308 1 0"}, "", "the field TransformMatrix"),
        ({"TransformMatrix": "1 0.5 0 0 1 0 0 0 1"}, "", "at right angles"),
        ({"TransformMatrix": "1 0 0 0 9 0 0 0 1"}, "", "at right angles"),
        ({"ElementSpacing": "1 inf 1"}, "", "the field ElementSpacing"),
        ({}, "Comment = \x01\n", "a line that is not text"),
    ],
)
def test_a_meta_image_header_is_checked_before_it_is_parsed_by_itk(
    fields: dict[str, str], more: str, expected: str, tmp_path: Path
) -> None:
    assert expected in refusal(meta_image(tmp_path / "a.mhd", more, **fields))


@pytest.mark.parametrize(
    ("shape", "at", "expected"),
    [
        ((4, 4, 4), {"_254": ("h", 1), "_280": ("f", float("inf"))}, "not finite, or too large"),
        ((4, 4, 4), {"_254": ("h", 1), "_280": ("f", -7e30)}, "not finite, or too large"),
        ((4, 4, 4), {"_40": ("h", -1)}, "states -1 axes; expected 1 to 7"),
        ((4, -4, 4), {}, "expected 1 or more along each axis"),
        ((4, 4, 4), {"_108": ("f", float("nan"))}, "its voxels begin at byte nan"),
        ((9999, 9999, 9999), {}, "the limit is 8 GiB"),
        ((999, 999, 1500), {}, "but stores"),
    ],
)
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_nifti_header_is_checked_before_it_is_parsed_by_itk(
    shape: tuple[int, ...],
    at: dict[str, tuple[str, float]],
    expected: str,
    ending: str,
    tmp_path: Path,
) -> None:
    assert expected in refusal(nifti(tmp_path / f"a{ending}", shape, **at))


def test_numbers_of_a_form_that_is_not_used_do_not_matter(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", _254=("h", 0), _280=("f", float("inf")))
    assert read_image((path,)).shape == (4, 4, 4)


def test_valid_text_headers_are_still_read(tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(VOXELS.astype(np.int16))
    image.SetDirection((0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1))
    image.SetSpacing((0.5, 1.5, 3))
    for name in ("a.nrrd", "a.mha", "a.mhd"):
        for compressed in (False, True):
            SimpleITK.WriteImage(image, str(tmp_path / name), useCompression=compressed)
            assert set(read_image((tmp_path / name,)).geometry.spacing) == {0.5, 1.5, 3.0}
    free = "segmentation:=" + "x" * 100_000 + "\ncontent: " + "x" * 5000 + "\n"
    assert read_image((nrrd(tmp_path / "b.nrrd", free),)).shape == (4, 4, 4)
    flipped = meta_image(tmp_path / "c.mha", ElementSpacing="-1 1 1")
    assert read_image((flipped,)).shape == (4, 4, 4)


def test_a_tiff_whose_pages_have_no_end_is_refused(tmp_path: Path) -> None:
    for is_big in (False, True):
        tifffile.imwrite(tmp_path / "a.tif", VOXELS[0], bigtiff=is_big)
        content = bytearray((tmp_path / "a.tif").read_bytes())
        start, number, tag, offset = (16, "Q", 20, "Q") if is_big else (8, "H", 12, "I")
        (count,) = struct.unpack_from(f"<{number}", content, start)
        place = start + struct.calcsize(f"<{number}") + count * tag
        struct.pack_into(f"<{offset}", content, place, start)
        (tmp_path / "a.tif").write_bytes(content)
        assert "its pages form a chain without end" in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("tag", "value", "expected"),
    [(257, 2**29, "but stores"), (257, 0, "1 or more along each axis"), (256, 0, "1 or more")],
)
def test_a_tiff_of_an_impossible_size_is_refused(
    tag: int, value: int, expected: str, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", VOXELS[0])
    content = bytearray((tmp_path / "a.tif").read_bytes())
    tags = range(10, 10 + 12 * struct.unpack_from("<H", content, 8)[0], 12)
    at = next(place for place in tags if struct.unpack_from("<H", content, place)[0] == tag)
    struct.pack_into("<HII", content, at + 2, 4, 1, value)
    (tmp_path / "a.tif").write_bytes(content)
    assert expected in refusal(tmp_path / "a.tif")


def test_ome_metadata_that_describes_a_billion_planes_are_refused(tmp_path: Path) -> None:
    pixels = '<Pixels DimensionOrder="XYCZT" Type="uint8" SizeX="4" SizeY="4" SizeZ="1000000000"/>'
    space = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    text = f'<?xml version="1.0"?><OME xmlns="{space}"><Image>{pixels}</Image></OME>'
    tifffile.imwrite(tmp_path / "a.ome.tif", VOXELS, description=text, metadata=None)
    assert "1000000000 planes" in refusal(tmp_path / "a.ome.tif")


def test_pictures_of_an_impossible_size_are_refused(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    for size, expected in ((2**31 - 1, "the limit is 8 GiB"), (30_000, "but stores")):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0))
        body = chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)
        assert expected in refusal(tmp_path / "a.png")
        (tmp_path / "a.pgm").write_bytes(b"P5 %d %d 255\n" % (size, size))
        assert expected in refusal(tmp_path / "a.pgm")


def test_arrays_of_an_impossible_size_are_refused(tmp_path: Path) -> None:
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    shape = (10**6, 10**6, 10**6)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", shape=shape, dtype="u1", chunks=(64, 64, 64))
    zarr.create_array(str(tmp_path / "a.zarr"), shape=shape, dtype="u1", chunks=(64, 64, 64))
    description = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(description))
    (tmp_path / "a.npy").write_bytes(start + description)
    for name in ("a.h5", "a.zarr", "a.npy"):
        assert "the limit is 8 GiB" in refusal(tmp_path / name)


def test_chunks_that_expand_to_more_than_an_array_are_refused() -> None:
    check_chunks((100, 100), (64, 64), 1, [5000, 5000])
    with pytest.raises(ValueError, match="2000000 bytes, more than 100 × 100 values need"):
        check_chunks((100, 100), (64, 64), 1, [1_000_000, 1_000_000])
    with pytest.raises(ValueError, match="the limit is 8 GiB"):
        check_chunks((100, 100), (10**9, 10**9), 1, [100])


def test_what_follows_the_voxels_in_an_archive_is_not_decompressed(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii.gz")
    rest = gzip.compress(bytes(2**24))
    path.write_bytes(path.read_bytes() + rest * 200)  # 3 GiB
    assert read_image((path,)).shape == (4, 4, 4)


def test_the_limit_is_raised_by_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="14901 GiB in memory; the limit is 8 GiB"):
        check_size((10**4, 10**4, 4 * 10**4), 1, lambda: [10**12])
    monkeypatch.setenv(VARIABLE, "20000")
    check_size((10**4, 10**4, 4 * 10**4), 1, lambda: [10**12])


def test_small_claims_are_not_compared_with_the_size_of_the_file() -> None:
    check_size((4000, 4000), 4, lambda: [1])
    with pytest.raises(ValueError, match="but stores 1 bytes"):
        check_size((8000, 8000), 4, lambda: [1])


def test_arrays_without_stored_chunks_are_read(tmp_path: Path) -> None:
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    shape, small = (513, 1024, 1024), (64, 64, 64)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", shape=shape, dtype="u1", chunks=small)
    zarr.create_array(str(tmp_path / "a.zarr"), shape=shape, dtype="u1", chunks=small)
    for path in (tmp_path / "a.h5", tmp_path / "a.zarr"):
        assert read_header(path).shape == shape


def test_large_chunks_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    monkeypatch.setattr("autoseg.readers.limits.SMALL", 2**16)
    shape, shards = (40, 64, 64), (64, 64, 64)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", shape=shape, dtype="u1", chunks=shape, compression="gzip")
    options = {"shape": shape, "dtype": "u1", "chunks": (8, 64, 64), "shards": shards}
    zarr.create_array(str(tmp_path / "a.zarr"), **options)[0, 0, 0] = 1
    for path in (tmp_path / "a.h5", tmp_path / "a.zarr"):
        assert read_labels(path).values.shape == shape


def test_pictures_without_content_may_have_few_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoseg.readers.limits.SMALL", 2**16)
    Image.new("RGB", (2048, 2048)).save(tmp_path / "a.webp", lossless=True)
    assert (tmp_path / "a.webp").stat().st_size * 8256 < 3 * 2048**2
    assert read_header(tmp_path / "a.webp").shape == (2048, 2048)


def test_tiles_of_a_tiff_that_are_not_stored_are_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoseg.readers.limits.SMALL", 2**16)
    path, shape = tmp_path / "a.tif", (1024, 1024)
    tifffile.imwrite(path, iter([b""] * 16), shape=shape, dtype="u1", tile=(256, 256))
    assert path.stat().st_size < 2**10
    voxels = read_labels(path).values
    assert voxels.shape == shape
    assert not voxels.any()


def test_types_in_any_case_and_colons_of_text_headers_are_read(tmp_path: Path) -> None:
    assert read_image((nrrd(tmp_path / "a.nrrd", type="Unsigned Char"),)).shape == (4, 4, 4)
    path = meta_image(tmp_path / "a.mha")
    path.write_bytes(path.read_bytes().replace(b"NDims =", b"NDims :"))
    assert read_image((path,)).shape == (4, 4, 4)
    path = meta_image(tmp_path / "b.mha", "Offset : nan 0 1e300\n")
    assert "the field Offset of its header is" in refusal(path)


def test_values_stored_as_text_may_need_fewer_bytes(tmp_path: Path) -> None:
    edge = 260
    sizes, axes = f"{edge} {edge} {edge}", {"NDims": "3", "BinaryData": "False"}
    path = nrrd(tmp_path / "a.nrrd", type="uint", sizes=sizes, encoding="ascii")
    other = meta_image(tmp_path / "a.mha", DimSize=sizes, ElementType="MET_UINT", **axes)
    for file in (path, other):
        with file.open("ab") as end:
            end.truncate(2 * edge**3)  # "0 " for each voxel
        assert read_header(file).shape == (edge,) * 3


def test_a_low_limit_of_size_leaves_time_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "1e-5")
    limits = []
    monkeypatch.setattr(
        "autoseg.readers.reading.READING.call",
        lambda read, action, path, seconds: limits.append(seconds) or read(action, path),
    )
    write_picture(VOXELS[0], tmp_path / "a.png")
    read_image((tmp_path / "a.png",))
    assert min(limits) >= 300


def test_a_name_that_is_not_utf_8_is_refused_and_the_rest_is_read(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.nii.gz")
    for folder in ("images", "labels"):
        write_volume(VOXELS, tmp_path / folder / "good.nii.gz", spacing=(1.0, 1.0, 1.0))
        try:
            os.link(tmp_path / folder / "good.nii.gz", tmp_path / folder / odd)
        except OSError:
            pytest.skip("the file system only has names in UTF-8")
    assert "its name is not text in UTF-8" in refusal(tmp_path / "images" / odd)
    assert stem_of(Path(odd)) == r"caf\xe9"
    assert printable(odd) == r"caf\xe9.nii.gz"
    pairs = [sorted((tmp_path / folder).iterdir()) for folder in ("images", "labels")]
    found = pair_by_stem(*pairs)
    assert [case.name for case in found.cases] == ["good"]
    assert r"caf\xe9.nii.gz is not text in UTF-8" in found.issues[0].sentence
    inventory = take_inventory(tmp_path)
    assert [item.stem for item in inventory.items] == ["good", "good"]
    assert [path.name for path in inventory.damaged] == [r"caf\xe9.nii.gz"] * 2


def test_an_umlaut_in_a_name_is_read(tmp_path: Path) -> None:
    write_picture(VOXELS[0], tmp_path / "käse.png")
    assert read_labels(tmp_path / "käse.png").values.shape == (4, 4)


@pytest.mark.parametrize("kind", ["PPM", "PPM gzip", "PNG"])
def test_pictures_that_store_too_few_bytes_are_refused(kind: str, tmp_path: Path) -> None:
    if kind == "PNG":
        path = tmp_path / "a.png"
        write_picture(np.zeros((8, 8), np.uint8), path)
        content = bytearray(path.read_bytes())
        content[16:24] = struct.pack(">2I", 20_000, 20_000)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    else:
        path = tmp_path / ("a.pgm.gz" if "gzip" in kind else "a.pgm")
        content = bytearray(b"P5 20000 20000 255 " + bytes(1000))
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    assert "it claims 20000 × 20000 values" in refusal(path)


def test_a_comment_does_not_hide_the_data_file(tmp_path: Path) -> None:
    for name, size in (("small.raw", 64), ("other.raw", 10)):
        (tmp_path / name).write_bytes(bytes(size))
    comment = "Comment = ElementDataFile = small.raw\n"
    path = meta_image(tmp_path / "a.mhd", comment, ElementDataFile="other.raw")
    assert set(storage_of(path)) == {path, tmp_path / "other.raw"}
    with pytest.raises(CaseError):
        read_image((path,))
