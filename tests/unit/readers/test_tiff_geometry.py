"""Voxel sizes and axes of ImageJ and OME-TIFF files, as tifffile writes them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from autoseg.core.errors import CaseError
from autoseg.core.geometry import Geometry
from autoseg.readers import knows_geometry, read_header, read_image, read_labels, write_labels

STACK = np.random.default_rng(0).integers(0, 255, (5, 6, 9)).astype(np.uint8)


def imagej(path: Path, voxels: np.ndarray, pixels: tuple[float, float], **metadata: Any) -> Path:
    """Write a file with a resolution along y and x, in pixels per unit."""
    axes = "ZYX"[-voxels.ndim :]
    options = {"imagej": True, "resolution": pixels[::-1], "metadata": {"axes": axes, **metadata}}
    tifffile.imwrite(path, voxels, **options)
    return path


def ome(path: Path, voxels: np.ndarray, axes: str = "ZYX", **metadata: Any) -> Path:
    tifffile.imwrite(path, voxels, ome=True, metadata={"axes": axes, **metadata})
    return path


def geometry(path: Path) -> Geometry:
    return read_image((path,)).geometry


@pytest.mark.parametrize(
    ("metadata", "spacing", "unit"),
    [
        ({"unit": "um", "spacing": 0.5}, (0.5, 0.2, 0.16), "µm"),
        ({"unit": "micron", "spacing": -0.5}, (0.5, 0.2, 0.16), "µm"),
        ({"unit": "\\u00B5m"}, (1.0, 0.2, 0.16), "µm"),
        ({"unit": "microns", "zunit": "nm", "spacing": 500.0}, (0.5, 0.2, 0.16), "µm"),
        ({"unit": "nm", "spacing": 40.0}, (40.0, 0.2, 0.16), "nm"),
        ({"unit": "mm", "spacing": 2.0}, (2.0, 0.2, 0.16), "mm"),
        ({"unit": "cm", "spacing": 2.0}, (20.0, 2.0, 1.6), "mm"),
        ({"unit": "inch", "spacing": 1.0}, (25.4, 5.08, 4.064), "mm"),
        ({"unit": "pixel", "spacing": 3.0}, (3.0, 0.2, 0.16), "mm"),
        ({"spacing": 3.0}, (3.0, 0.2, 0.16), "mm"),
    ],
)
def test_imagej_files_have_the_voxel_size_that_fiji_shows(
    metadata: dict[str, Any], spacing: tuple[float, ...], unit: str, tmp_path: Path
) -> None:
    path = imagej(tmp_path / "case.tif", STACK, (1 / 0.2, 1 / 0.16), **metadata)
    assert geometry(path).spacing == pytest.approx(spacing, rel=1e-6)
    assert geometry(path).unit == unit
    assert knows_geometry(path)


def test_a_picture_of_imagej_has_its_pixel_size(tmp_path: Path) -> None:
    path = imagej(tmp_path / "case.tif", STACK[0], (1 / 0.103, 1 / 0.103), unit="um")
    assert geometry(path) == Geometry.plain((0.103, 0.103), "µm")


@pytest.mark.parametrize(
    ("dots", "unit"), [(72.0, "inch"), (1200.0, "inch"), (300 / 2.54, "cm"), (1.0, None)]
)
def test_print_resolutions_that_imagej_keeps_are_no_pixel_sizes(
    dots: float, unit: str | None, tmp_path: Path
) -> None:
    metadata = {} if unit is None else {"unit": unit}
    path = imagej(tmp_path / "case.tif", STACK[0], (dots, dots), **metadata)
    assert geometry(path) == Geometry.plain((1.0, 1.0))
    assert not knows_geometry(path)


@pytest.mark.parametrize(("dots", "micrometres"), [(10_000.0, 1.0), (2000.0, 5.0), (500.0, 20.0)])
def test_whole_numbers_of_pixels_that_no_printer_has_are_pixel_sizes(
    dots: float, micrometres: float, tmp_path: Path
) -> None:
    path = imagej(tmp_path / "case.tif", STACK[0], (dots, dots), unit="cm")
    assert geometry(path) == Geometry.plain((micrometres / 1000,) * 2)


@pytest.mark.parametrize("unit", ["INCH", "CENTIMETER"])
def test_the_resolution_of_a_plain_file_is_no_pixel_size(unit: str, tmp_path: Path) -> None:
    path = tmp_path / "case.tif"
    tifffile.imwrite(path, STACK, resolution=(40000, 40000), resolutionunit=unit)
    assert geometry(path).spacing == (1.0, 1.0, 1.0)
    assert not knows_geometry(path)


def test_an_unknown_unit_is_refused_unless_a_side_car_has_the_size(tmp_path: Path) -> None:
    path = imagej(tmp_path / "case.tif", STACK, (2.0, 2.0), unit="furlong")
    with pytest.raises(CaseError, match=r"'furlong'; expected one of m, (.*)Correct the unit"):
        read_image((path,))
    (tmp_path / "case.json").write_text('{"spacing": [5, 0.5, 0.5]}')
    assert geometry(path).spacing == (5.0, 0.5, 0.5)


def test_ome_files_have_the_voxel_size_of_their_metadata(tmp_path: Path) -> None:
    sizes = {"PhysicalSizeX": 0.16, "PhysicalSizeY": 0.2, "PhysicalSizeZ": 500}
    path = ome(tmp_path / "case.ome.tif", STACK, PhysicalSizeZUnit="nm", **sizes)
    assert geometry(path) == Geometry.plain((0.5, 0.2, 0.16), "µm")
    assert knows_geometry(path)


def test_ome_files_without_the_distance_of_slices_have_no_voxel_size(tmp_path: Path) -> None:
    sizes = {"PhysicalSizeX": 0.16, "PhysicalSizeY": 0.2}
    path = ome(tmp_path / "case.ome.tif", STACK, **sizes)
    assert geometry(path).spacing == (1.0, 1.0, 1.0)
    assert not knows_geometry(path)
    assert geometry(ome(tmp_path / "one.ome.tif", STACK[0], "YX", **sizes)).spacing == (0.2, 0.16)


@pytest.mark.parametrize("axes", ["ZCYX", "CZYX"])
def test_channels_of_ome_files_are_found_in_any_order(axes: str, tmp_path: Path) -> None:
    channels = np.stack([STACK, 255 - STACK], axes.index("C"))
    path = ome(tmp_path / "case.ome.tif", channels, axes)
    np.testing.assert_array_equal(read_image((path,)).voxels, [STACK, 255 - STACK])


def test_a_side_car_takes_precedence_and_may_state_its_unit(tmp_path: Path) -> None:
    path = imagej(tmp_path / "case.tif", STACK, (5.0, 5.0), unit="um", spacing=0.5)
    (tmp_path / "case.json").write_text('{"spacing": [7, 3, 2]}')
    assert geometry(path) == Geometry.plain((7.0, 3.0, 2.0))
    (tmp_path / "case.json").write_text('{"spacing": [7, 3, 2], "unit": "um"}')
    assert geometry(path) == Geometry.plain((7.0, 3.0, 2.0), "µm")
    (tmp_path / "case.json").write_text('{"spacing": [7, 3, 2], "unit": "ell"}')
    with pytest.raises(CaseError, match=r'"unit": "µm" or "nm" unless it is in mm'):
        geometry(path)


def test_slices_that_imagej_calls_time_points_are_refused_with_the_way_to_correct_them(
    tmp_path: Path,
) -> None:
    path = imagej(tmp_path / "case.tif", STACK, (1.0, 1.0), axes="TYX")
    for read in (read_header, read_labels, lambda path: read_image((path,))):
        with pytest.raises(CaseError, match=r"holds 5 time points.*Fiji.*5 slices, 1 frame"):
            read(path)


def test_time_points_of_volumes_are_refused(tmp_path: Path) -> None:
    path = ome(tmp_path / "case.ome.tif", np.stack([STACK] * 3), "TZYX")
    with pytest.raises(CaseError, match=r"3 time points.*Export each") as error:
        read_image((path,))
    assert "Fiji" not in str(error.value)


def test_a_single_time_point_is_an_image(tmp_path: Path) -> None:
    path = ome(tmp_path / "case.ome.tif", STACK[None], "TZYX")
    np.testing.assert_array_equal(read_image((path,)).voxels[0], STACK)


def test_an_ome_file_without_some_of_its_planes_is_refused(tmp_path: Path) -> None:
    path = ome(tmp_path / "case.ome.tif", STACK)
    with tifffile.TiffFile(path) as file:
        description = file.ome_metadata
    tifffile.tiffcomment(path, description.replace('SizeZ="5"', 'SizeZ="8"').encode())
    with pytest.raises(CaseError, match=r"planes that this file does not contain.*one file"):
        read_image((path,))


def test_of_a_pyramid_the_finest_level_is_read(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (256, 320, 3)).astype(np.uint8)
    options = {"tile": (64, 64), "photometric": "rgb"}
    with tifffile.TiffWriter(tmp_path / "case.ome.tif") as file:
        sizes = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
        file.write(picture, subifds=1, metadata={"axes": "YXS", **sizes}, **options)
        file.write(picture[::2, ::2], subfiletype=1, **options)
    image = read_image((tmp_path / "case.ome.tif",))
    np.testing.assert_array_equal(image.voxels, np.moveaxis(picture, -1, 0))
    assert image.geometry == Geometry.plain((0.25, 0.25), "µm")


def test_labels_of_an_imagej_image_are_calibrated_for_imagej(tmp_path: Path) -> None:
    path = imagej(tmp_path / "case.tif", STACK, (1 / 0.2, 1 / 0.16), unit="um", spacing=0.5)
    image, output = read_image((path,)), tmp_path / "out" / "case.tif"
    write_labels((STACK > 99).astype(np.uint8), image, output)
    assert read_labels(output).geometry == image.geometry
    assert [entry.name for entry in output.parent.iterdir()] == ["case.tif"]
    with tifffile.TiffFile(output) as file:
        assert file.imagej_metadata["unit"] == "micron"
        assert file.imagej_metadata["spacing"] == 0.5
        assert file.imagej_metadata["slices"] == 5
        assert file.series[0].axes == "ZYX"
        assert file.pages[0].tags["XResolution"].value == (25, 4)


def test_labels_of_an_ome_file_have_its_metadata(tmp_path: Path) -> None:
    sizes = {"PhysicalSizeX": 4, "PhysicalSizeY": 4, "PhysicalSizeZ": 40}
    units = {f"PhysicalSize{axis}Unit": "nm" for axis in "XYZ"}
    image = read_image((ome(tmp_path / "case.ome.tif", STACK, **sizes, **units),))
    write_labels(STACK, image, tmp_path / "labels.ome.tif")
    assert image.geometry == Geometry.plain((40.0, 4.0, 4.0), "nm")
    assert read_labels(tmp_path / "labels.ome.tif").geometry == image.geometry
    with tifffile.TiffFile(tmp_path / "labels.ome.tif") as file:
        assert 'PhysicalSizeZ="40.0" PhysicalSizeZUnit="nm"' in file.ome_metadata


def test_labels_that_imagej_cannot_hold_have_a_side_car(tmp_path: Path) -> None:
    path = imagej(tmp_path / "case.tif", STACK, (5.0, 5.0), unit="um", spacing=0.5)
    image = read_image((path,))
    write_labels(STACK.astype(np.int64) + 70000, image, tmp_path / "labels.tif")
    content = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))
    assert content == {"spacing": [0.5, 0.2, 0.2], "unit": "µm"}
    assert read_labels(tmp_path / "labels.tif").geometry == image.geometry


def test_an_outdated_side_car_is_replaced(tmp_path: Path) -> None:
    path = imagej(tmp_path / "case.tif", STACK, (5.0, 5.0), unit="um", spacing=0.5)
    image = read_image((path,))
    (tmp_path / "labels.json").write_text('{"spacing": [9, 9, 9]}')
    write_labels(STACK, image, tmp_path / "labels.tif")
    assert read_labels(tmp_path / "labels.tif").geometry == image.geometry
