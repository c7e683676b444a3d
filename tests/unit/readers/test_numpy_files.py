"""Arrays in .npy and .npz files: which axis holds channels, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from autoseg.core.errors import CaseError
from autoseg.core.geometry import Geometry
from autoseg.readers import (
    knows_geometry,
    label_ending,
    read_header,
    read_image,
    read_labels,
    storage_of,
    write_labels,
)

RANDOM = np.random.default_rng(0)
STACK = RANDOM.integers(0, 255, (9, 30, 20)).astype(np.uint8)
COLOURS = RANDOM.integers(0, 255, (30, 20, 4)).astype(np.uint8)
CHANNELS = RANDOM.normal(size=(2, 9, 30, 20)).astype(np.float32)


@pytest.mark.parametrize("ending", [".npy", ".npz"])
@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (STACK[0], STACK[:1]),
        (STACK, STACK[None]),
        (np.asfortranarray(STACK).astype(">i2"), STACK[None]),
        (STACK > 99, (STACK > 99)[None]),
        (COLOURS[..., :3], np.moveaxis(COLOURS[..., :3], -1, 0)),
        (COLOURS, np.moveaxis(COLOURS, -1, 0)),
        (CHANNELS, CHANNELS),
        (np.moveaxis(CHANNELS, 0, -1), CHANNELS),
        (CHANNELS[:, :1], CHANNELS[:, 0]),
        (CHANNELS[None, 0, :3], CHANNELS[None, 0, :3]),
        (CHANNELS[0, ..., None], CHANNELS[:1]),
        (COLOURS[None], np.moveaxis(COLOURS, -1, 0)),
    ],
    ids=[
        *("2d", "3d", "big endian", "bool", "rgb", "rgba", "channels first", "channels last"),
        *("channels of one slice", "few slices of one channel", "one channel last", "one picture"),
    ],
)
def test_the_axis_of_channels_is_found(
    stored: np.ndarray, expected: np.ndarray, ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"case{ending}"
    if ending == ".npy":
        np.save(path, stored)
    else:
        np.savez_compressed(path, stored)
    image = read_image((path,))
    np.testing.assert_array_equal(image.voxels, expected)
    header = read_header(path)
    assert (header.num_channels, *header.shape) == expected.shape
    assert not knows_geometry(path)


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((3, 30, 20), np.float32, "axis of 3 may hold channels or slices.*four axes"),
        ((30, 20, 3), np.float32, "axis of 3 may hold channels or slices.*four axes"),
        ((4, 30, 20, 9), np.uint8, "4 × 30 × 20 × 9, and it is unclear which axis"),
        ((20, 30, 20, 30), np.uint8, "20 × 30 × 20 × 30, and it is unclear which axis"),
        ((30,), np.uint8, "an array of 1 axes"),
        ((2, 2, 2, 2, 2), np.uint8, "an array of 5 axes"),
        ((0, 30), np.uint8, "0 × 30"),
        ((3, 30), "U5", "values of type <U5; expected numbers"),
    ],
)
def test_arrays_that_may_be_read_in_several_ways_are_refused(
    shape: tuple[int, ...], dtype: type | str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "case.npy"
    np.save(path, np.zeros(shape, dtype))
    with pytest.raises(CaseError, match=message):
        read_image((path,))


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "case.npy", np.array([[{}, 1]], object), allow_pickle=True)
    for read in (read_labels, read_header):
        with pytest.raises(
            CaseError,
            match=r"case\.npy cannot be read: .*(allow_pickle=False|Python objects|type object)",
        ):
            read(tmp_path / "case.npy")


def test_an_archive_of_several_arrays_is_refused_with_their_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "case.npz", image=STACK, label=STACK)
    for read in (read_labels, read_header):
        with pytest.raises(CaseError, match=r"holds 2 arrays \(image, label\); expected one"):
            read(tmp_path / "case.npz")


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "case.npy", STACK)
    content = (tmp_path / "case.npy").read_bytes()
    (tmp_path / "case.npy").write_bytes(content[:-50])
    for read in (read_labels, read_header):
        with pytest.raises(CaseError, match="cannot be read"):
            read(tmp_path / "case.npy")


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_labels_are_written_as_npy_with_the_spacing_of_the_image(
    ending: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "case.npz", STACK)
    np.save(tmp_path / "case.npy", STACK)
    (tmp_path / "case.json").write_text('{"spacing": [5, 0.5, 0.25], "unit": "µm"}', "utf-8")
    image = read_image((tmp_path / f"case{ending}",))
    assert image.geometry == Geometry.plain((5.0, 0.5, 0.25), "µm")
    output = tmp_path / "out" / f"case{label_ending(ending)}"
    write_labels((STACK > 99).astype(np.uint8), image, output)
    np.testing.assert_array_equal(np.load(output), STACK > 99)
    assert read_labels(output).geometry == image.geometry
    assert storage_of(output)[1:] == (output.with_suffix(".json"),)


def test_labels_are_not_written_as_archives(tmp_path: Path) -> None:
    np.save(tmp_path / "case.npy", STACK)
    with pytest.raises(CaseError, match=r"case\.npz cannot be written.*Write case\.npy instead"):
        write_labels(STACK, read_image((tmp_path / "case.npy",)), tmp_path / "case.npz")


def test_labels_of_few_slices_are_written_so_that_they_stay_slices(tmp_path: Path) -> None:
    np.save(tmp_path / "case.npy", STACK[None, :3])
    write_labels(STACK[:3], read_image((tmp_path / "case.npy",)), tmp_path / "labels.npy")
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.npy").values, STACK[:3])
