"""DICOM series are read with the grid and the values that their headers state."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from dicom_files import ORIGIN, SPACING, THICKNESS, compressed, multi_frame, new_file, save, slices
from numpy.typing import NDArray
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
)

from autoseg.core.errors import CaseError
from autoseg.readers import read_header, read_image, storage_state
from autoseg.readers.dicom import DicomReader
from autoseg.readers.storage import storage_digest

RANDOM = np.random.default_rng(0)
VOLUME = RANDOM.integers(-1000, 2000, (5, 6, 8)).astype(np.int16)


def volume_of(path: Path) -> NDArray[Any]:
    return DicomReader().read(path).voxels[0]


def heights(*steps: float) -> list[tuple[float, float, float]]:
    return [(ORIGIN[0], ORIGIN[1], ORIGIN[2] + step) for step in steps]


def test_slices_are_sorted_by_position_not_by_name(tmp_path: Path) -> None:
    made = slices(VOLUME)
    paths = save([made[place] for place in (3, 0, 4, 1, 2)], tmp_path)
    stored = DicomReader().read(paths[0])
    np.testing.assert_array_equal(stored.voxels[0], VOLUME)
    assert stored.geometry.spacing == (THICKNESS, *SPACING)
    assert stored.geometry.origin == ORIGIN[::-1]
    assert read_header(paths[2]).shape == VOLUME.shape


def test_a_change_of_any_slice_is_noticed(tmp_path: Path) -> None:
    paths = save(slices(VOLUME), tmp_path)
    state, digest = storage_state(paths[0]), storage_digest(paths[0])
    assert state[0] == sum(path.stat().st_size for path in paths)
    content = bytearray(paths[3].read_bytes())
    content[-1] ^= 1
    paths[3].write_bytes(content)
    assert storage_state(paths[0]) != state
    assert storage_digest(paths[0]) != digest


def test_slices_from_the_head_down_give_the_same_volume(tmp_path: Path) -> None:
    down = heights(*np.arange(0, -5 * THICKNESS, -THICKNESS))
    stored = DicomReader().read(save(slices(VOLUME, positions=down), tmp_path)[0])
    np.testing.assert_array_equal(stored.voxels[0], VOLUME[::-1])
    assert stored.geometry.origin[0] == down[-1][2]


def test_sagittal_slices_have_their_directions(tmp_path: Path) -> None:
    positions = [(step * 3.0, -12.0, 5.0) for step in range(5)]
    sagittal = {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}
    geometry = (
        DicomReader()
        .read(save(slices(VOLUME, positions=positions, **sagittal), tmp_path)[0])
        .geometry
    )
    direction = np.array(geometry.direction)[::-1, ::-1]  # x y z
    np.testing.assert_allclose(direction, np.array([[0, 1, 0], [0, 0, -1], [-1, 0, 0]]).T)
    assert geometry.spacing == (3.0, *SPACING)
    assert geometry.origin == (5.0, -12.0, 12.0)  # the slice at x = 12 is the first one


def test_each_slice_has_its_own_rescale_slope(tmp_path: Path) -> None:
    made = slices(VOLUME)
    for number, data in enumerate(made):
        data.RescaleSlope, data.RescaleIntercept = number + 0.5, -1024
    expected = VOLUME * (np.arange(5) + 0.5)[:, None, None] - 1024
    np.testing.assert_allclose(volume_of(save(made, tmp_path)[0]), expected)


def test_several_series_in_one_folder_stay_apart(tmp_path: Path) -> None:
    first = save(slices(VOLUME), tmp_path, "a{}")
    second = save(slices(VOLUME[:3] + 1, series="1.9"), tmp_path, "b{}")
    np.testing.assert_array_equal(volume_of(first[0]), VOLUME)
    np.testing.assert_array_equal(volume_of(second[0]), VOLUME[:3] + 1)


def test_slices_that_share_a_uid_by_mistake_are_all_read(tmp_path: Path) -> None:
    made = slices(VOLUME)
    for data in made:
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.3.1"
    np.testing.assert_array_equal(volume_of(save(made, tmp_path)[0]), VOLUME)


def test_values_with_a_unit_are_not_inverted(tmp_path: Path) -> None:
    made = slices(VOLUME, PhotometricInterpretation="MONOCHROME1", RescaleIntercept=-1000)
    for data in made:
        data.PhotometricInterpretation = "MONOCHROME1"
    np.testing.assert_array_equal(volume_of(save(made, tmp_path)[0]), VOLUME - 1000.0)


def test_single_frames_with_positions_in_a_sequence_form_a_volume(tmp_path: Path) -> None:
    made = []
    for number, plane in enumerate(VOLUME):
        data = multi_frame(plane[None], [ORIGIN[2] + THICKNESS * number], [1.0])
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.4.{number}"
        made.append(data)
    np.testing.assert_array_equal(volume_of(save(made, tmp_path)[0]), VOLUME - 10.0)


def test_a_copy_of_a_file_counts_once(tmp_path: Path) -> None:
    made = slices(VOLUME)
    paths = save([*made, made[2]], tmp_path)
    np.testing.assert_array_equal(volume_of(paths[0]), VOLUME)


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        (
            heights(0, 2.5, 5, 10, 12.5),
            r"1 slice missing: 5\.00 mm apart between 2\.dcm and 3",
        ),
        (heights(0, 2.5, 5, 8.5, 11), "unevenly spaced slices"),
        (heights(0, 2.5, 2.5, 5, 7.5), r"1\.dcm and 2\.dcm have the same position"),
        ([(0, 0.5 * n, 2.5 * n) for n in range(5)], r"gantry tilt of 11\.3°"),
    ],
)
def test_irregular_slices_are_refused(positions: Any, message: str, tmp_path: Path) -> None:
    paths = save(slices(VOLUME, positions=positions), tmp_path)
    with pytest.raises(CaseError, match=message):
        read_image((paths[0],))


def test_rounded_positions_are_accepted(tmp_path: Path) -> None:
    rounded = heights(0, 2.6, 5.0, 7.4, 10.0)
    (path, *_) = save(slices(VOLUME, positions=rounded), tmp_path)
    assert DicomReader().read(path).geometry.spacing[0] == pytest.approx(2.5)


def test_several_volumes_in_a_series_are_refused(tmp_path: Path) -> None:
    made = [*slices(VOLUME, TriggerTime=0), *slices(VOLUME, TriggerTime=40)]
    for number, data in enumerate(made):
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.3.{number + 1}"
    paths = save(made, tmp_path)
    with pytest.raises(CaseError, match="2 images at each of 5 positions, which differ in Trigger"):
        read_image((paths[0],))


def test_slices_of_two_directions_are_refused(tmp_path: Path) -> None:
    made = slices(VOLUME)
    made[1].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    with pytest.raises(CaseError, match=r"different directions, for example 0\.dcm and 1\.dcm"):
        read_image((save(made, tmp_path)[0],))


def test_slices_of_two_sizes_are_refused(tmp_path: Path) -> None:
    made = [*slices(VOLUME[:4]), *slices(VOLUME[:, :5], positions=heights(*[10] * 5))[4:]]
    with pytest.raises(CaseError, match="different sizes"):
        read_image((save(made, tmp_path)[0],))


def test_frames_are_sorted_by_position_and_have_their_own_slope(tmp_path: Path) -> None:
    order = [2, 0, 1, 4, 3]
    at = [ORIGIN[2] + THICKNESS * place for place in order]
    slopes = [1.0, 2.0, 3.0, 4.0, 5.0]
    (path,) = save([multi_frame(VOLUME, at, slopes)], tmp_path)
    stored = DicomReader().read(path)
    expected = VOLUME * np.array(slopes)[:, None, None] - 10
    np.testing.assert_allclose(stored.voxels[0], expected[np.argsort(order)])
    assert stored.geometry.spacing == (THICKNESS, *SPACING)


def jpeg_ls(pixels: NDArray[Any]) -> bytes:
    return imagecodecs.jpegls_encode(pixels)


def jpeg_2000(pixels: NDArray[Any]) -> bytes:
    return imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", reversible=True)


def jpeg_lossless(pixels: NDArray[Any]) -> bytes:
    return imagecodecs.ljpeg_encode(pixels)


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        (JPEGLSLossless, jpeg_ls),
        (JPEG2000Lossless, jpeg_2000),
        (JPEGLosslessSV1, jpeg_lossless),
        (RLELossless, None),
    ],
)
def test_compressed_slices_are_read_exactly(
    syntax: str, encode: Callable[[NDArray[Any]], bytes] | None, tmp_path: Path
) -> None:
    volume = RANDOM.integers(0, 4096, (3, 32, 48)).astype(np.uint16)
    made = slices(volume)
    for data, pixels in zip(made, volume, strict=True):
        if encode is None:
            data.compress(syntax)
        else:
            compressed(data, syntax, [encode(pixels)])
    np.testing.assert_array_equal(volume_of(save(made, tmp_path)[0]), volume)


def test_a_radiograph_is_a_picture_in_which_white_is_bright(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 1024, (6, 8)).astype(np.uint16)
    (data,) = slices(pixels[None], series="1.7")
    del data.ImagePositionPatient, data.ImageOrientationPatient
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = (
        DigitalXRayImageStorageForPresentation
    )
    data.PhotometricInterpretation, data.BitsStored, data.HighBit = "MONOCHROME1", 10, 9
    (path,) = save([data], tmp_path, "IM{}")
    image = read_image((path,))
    np.testing.assert_array_equal(image.voxels[0], 1023 - pixels)
    assert image.geometry.spacing == SPACING


def test_frames_without_positions_are_refused(tmp_path: Path) -> None:
    (data,) = slices(VOLUME[:1])
    film = new_file(UltrasoundMultiFrameImageStorage, "1.8.1", "1.8", Modality="US")
    for element in data.group_dataset(0x0028):
        film.add(element)
    film.NumberOfFrames, film.PixelData = 5, VOLUME.tobytes()
    with pytest.raises(CaseError, match="5 frames without positions"):
        read_image((save([film], tmp_path)[0],))


def test_a_truncated_slice_is_an_error_of_its_case(tmp_path: Path) -> None:
    paths = save(slices(VOLUME), tmp_path)
    paths[2].write_bytes(paths[2].read_bytes()[:-20])
    with pytest.raises(CaseError, match=r"2\.dcm cannot be read"):
        read_image((paths[0],))
