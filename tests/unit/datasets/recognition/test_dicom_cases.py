"""DICOM series pair with the segmentations and structure sets that reference them."""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import ORIGIN, SPACING, THICKNESS, save, segmentation, slices, structure_set
from matplotlib.path import Path as Polygon
from synthetic import write_picture

from autoseg.core.errors import CaseError, DatasetError, MissingPackage
from autoseg.datasets.inputs import find_inputs, series_warning
from autoseg.datasets.layouts.recognition import Recognition, recognise
from autoseg.datasets.recognition.dicom_grid import SliceGrid
from autoseg.datasets.recognition.dicom_labels import draw_segmentations
from autoseg.datasets.recognition.inventory import take_inventory
from autoseg.documents.dataset import LayoutOptions
from autoseg.readers import read_image, read_labels

SHAPE = (5, 20, 24)


def volume(seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 900, SHAPE).astype(np.int16)


def disc(place: int, radius: float, *, rows: int = 10) -> Any:
    """A disc on two slices."""
    mask = np.zeros(SHAPE, bool)
    row, column = np.mgrid[: SHAPE[1], : SHAPE[2]]
    mask[place : place + 2] = (row - rows) ** 2 + (column - 12) ** 2 <= radius**2
    return mask


def in_mm(rows: Any, columns: Any, place: int) -> Any:
    x, y = ORIGIN[0] + np.asarray(columns) * SPACING[1], ORIGIN[1] + np.asarray(rows) * SPACING[0]
    return np.stack([x, y, np.full(x.shape, ORIGIN[2] + place * THICKNESS)], axis=1)


def circle(place: int, radius: float) -> Any:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return in_mm(10.2 + radius * np.sin(angle), 11.7 + radius * np.cos(angle), place)


def patients(root: Path, number: int = 3, seg: bool = True) -> None:
    for n in range(number):
        study = root / f"PAT-{n}" / "20240101"
        save(slices(volume(n), series=f"1.3.{n}", PatientID=f"P{n}"), study / "CT", "IM{}")
        masks = {"liver": disc(1, 6), "tumour": disc(1, 2)}
        data = segmentation(masks, series=f"1.3.{n}", instance=f"1.5.{n}")
        save([data], study / "SEG", "{}")


def found(root: Path, tmp_path: Path, **options: Any) -> Recognition:
    return recognise(root, LayoutOptions(**options), label_maps=tmp_path / "label_maps")


def test_a_study_per_patient_is_recognised(tmp_path: Path) -> None:
    patients(tmp_path / "data")
    spec = found(tmp_path / "data", tmp_path).spec
    assert [case.name for case in spec.cases] == ["PAT-0", "PAT-1", "PAT-2"]
    assert spec.channel_names == ("CT",)
    assert dict(zip(spec.labels.values, spec.labels.names, strict=True)) == {
        0: "background",
        1: "liver",
        2: "tumour",
    }
    case = spec.cases[1]
    labels = read_labels(case.labels, like=read_image(case.images))
    expected = np.where(disc(1, 2), 2, disc(1, 6).astype(int))
    # the canonical axes are those of the file here, with rows and columns as they are
    np.testing.assert_array_equal(labels.values, expected)


def test_classes_are_chosen_merged_and_renamed_by_name(tmp_path: Path) -> None:
    patients(tmp_path / "data", 1)
    recognition = found(tmp_path / "data", tmp_path, label_map={"tumour": "lesion"})
    assert recognition.spec.labels.names == ("background", "lesion")
    assert "left out by --label-map: liver" in recognition.notes
    (case,) = recognition.spec.cases
    np.testing.assert_array_equal(read_labels(case.labels).values, disc(1, 2))
    ignored = found(tmp_path / "data", tmp_path, label_map={"tumour": "Ignore", "liver": "x"}).spec
    assert ignored.labels.names == ("background", "x")
    assert ignored.labels.ignore == 2
    merged = found(tmp_path / "data", tmp_path, label_map={"tumour": "x", "liver": "x"}).spec
    np.testing.assert_array_equal(read_labels(merged.cases[0].labels).values, disc(1, 6))
    with pytest.raises(DatasetError, match=r"spleen, which no file has.*liver, tumour"):
        found(tmp_path / "data", tmp_path, label_map={"spleen": "x"})
    with pytest.raises(DatasetError, match="the files name their classes: liver, tumour"):
        found(tmp_path / "data", tmp_path, label_map={"0": "background", "1": "x"})


def test_contours_become_the_pixels_whose_centres_they_enclose(tmp_path: Path) -> None:
    (image, *_) = save(slices(volume()), tmp_path / "ct")
    rings = {"organ": [circle(2, 7.3), circle(2, 3.1), circle(3, 5.2)]}
    paths = save([structure_set(rings)], tmp_path / "rt")
    mask = draw_segmentations(paths, SliceGrid.of(image), {"organ": 1}) > 0
    row, column = np.mgrid[: SHAPE[1], : SHAPE[2]]
    centres = in_mm(row.ravel(), column.ravel(), 0)[:, :2]
    outer, inner, other = (
        Polygon(ring[:, :2]).contains_points(centres).reshape(SHAPE[1:]) for ring in rings["organ"]
    )
    np.testing.assert_array_equal(mask[2], outer & ~inner)
    np.testing.assert_array_equal(mask[3], other)
    assert not mask[[0, 1, 4]].any()


def drawn(folder: Path, data: Any, name: str = "organ") -> Any:
    (image, *_) = save(slices(volume()), folder / "ct")
    return draw_segmentations(save([data], folder / "seg"), SliceGrid.of(image), {name: 1})


def square(place: int, rows: tuple[float, float], columns: tuple[float, float]) -> Any:
    (top, bottom), (left, right) = rows, columns
    return in_mm([top, top, bottom, bottom], [left, right, right, left], place)


def test_equal_contours_count_once_whatever_their_first_point(tmp_path: Path) -> None:
    ring = circle(2, 6)
    again = np.roll(ring[::-1], 5, axis=0)
    mask = drawn(tmp_path, structure_set({"organ": [ring, again]}))
    np.testing.assert_array_equal(mask, drawn(tmp_path / "b", structure_set({"organ": [ring]})))
    assert mask.any()


def test_contours_side_by_side_are_joined(tmp_path: Path) -> None:
    sides = [square(2, (5, 9), (4, 8)), square(2, (5, 9), (8, 12))]
    mask = drawn(tmp_path, structure_set({"organ": sides}))
    assert mask[2, 5:10, 4:13].all()


def test_segments_of_every_second_slice_are_refused(tmp_path: Path) -> None:
    rings = [circle(place, 5) for place in (0, 2, 4)]
    with pytest.raises(CaseError, match="organ is drawn on one of 2 slices"):
        drawn(tmp_path, structure_set({"organ": rings}))


def test_segmentations_next_to_their_image_are_refused(tmp_path: Path) -> None:
    far = circle(2, 5) + np.array([500, 0, 0])
    with pytest.raises(CaseError, match=r"nothing in 0\.dcm is on the slices"):
        drawn(tmp_path, structure_set({"organ": [far]}))


def test_tilted_frames_are_refused(tmp_path: Path) -> None:
    data = segmentation({"organ": disc(1, 6)})
    (shared,) = data.SharedFunctionalGroupsSequence
    tilt = np.radians(8)
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [
        *(1, 0, 0),
        *(0, float(np.cos(tilt)), float(np.sin(tilt))),
    ]
    with pytest.raises(CaseError, match="away from the nearest slice"):
        drawn(tmp_path, data)


def test_label_maps_are_drawn_again_if_the_series_changes(tmp_path: Path) -> None:
    patients(tmp_path / "data", 1)
    folder = tmp_path / "data/PAT-0/20240101/CT"
    last = (folder / "IM4").read_bytes()
    (folder / "IM4").unlink()
    (case,) = found(tmp_path / "data", tmp_path).spec.cases
    assert read_labels(case.labels).values.shape == (4, 20, 24)
    (folder / "IM4").write_bytes(last)
    (case,) = found(tmp_path / "data", tmp_path).spec.cases
    assert read_labels(case.labels).values.shape == SHAPE


def test_copies_of_a_series_count_once_and_parts_are_refused(tmp_path: Path) -> None:
    patients(tmp_path / "data", 2)
    folder = tmp_path / "data/PAT-0/20240101"
    shutil.copytree(folder / "CT", folder / "backup")
    assert len(found(tmp_path / "data", tmp_path).spec.cases) == 2
    (folder / "backup/IM4").unlink()
    with pytest.raises(DatasetError, match=r"spread over several folders.*CT and .*backup"):
        found(tmp_path / "data", tmp_path)


def test_equal_names_of_series_get_a_number(tmp_path: Path) -> None:
    for n, name in enumerate(("a_b/c", "a/b_c", "a/c")):
        save(slices(volume(n), series=f"1.3.{n}"), tmp_path / name)
    names = [case.name for case in find_inputs(tmp_path, num_channels=1)]
    assert names == ["a_b_c", "a_b_c_2", "a_c"]


def test_a_damaged_segmentation_is_named(tmp_path: Path) -> None:
    patients(tmp_path / "data", 3)
    path = tmp_path / "data/PAT-1/20240101/SEG/0"
    path.write_bytes(path.read_bytes()[:200])
    recognition = found(tmp_path / "data", tmp_path)
    assert len(recognition.spec.cases) == 2
    strange = slices(volume(), series="1.9")
    for data in strange:
        data.add_new("NumberOfFrames", "LO", "many")
    save(strange, tmp_path / "data/PAT-2/strange")
    assert len(found(tmp_path / "data", tmp_path).spec.cases) == 2


def test_pictures_next_to_folders_of_series_are_reported(tmp_path: Path) -> None:
    patients(tmp_path, 2)
    write_picture(np.zeros((5, 5), np.uint8), tmp_path / "overview.png")
    cases = find_inputs(tmp_path, num_channels=1)
    assert [case.name for case in cases] == ["overview"]
    assert "2 DICOM series in subfolders are not predicted" in series_warning(tmp_path, cases)


def test_contours_between_slices_are_refused(tmp_path: Path) -> None:
    (image, *_) = save(slices(volume()), tmp_path / "ct")
    between = circle(2, 5) + np.array([0, 0, THICKNESS / 2])
    paths = save([structure_set({"organ": [between]})], tmp_path / "rt")
    with pytest.raises(CaseError, match=r"a contour of organ in 0\.dcm is up to 1\.25 mm away"):
        draw_segmentations(paths, SliceGrid.of(image), {"organ": 1})


def test_two_segmentations_of_one_class_are_refused_with_options(tmp_path: Path) -> None:
    root = tmp_path / "data"
    patients(root, 1)
    second = segmentation({"liver": disc(2, 5)}, series="1.3.0", instance="1.5.9")
    save([second], root / "PAT-0/20240101/SEG2")
    with pytest.raises(DatasetError, match=r"--label PAT-0/20240101/SEG2/0\.dcm"):
        found(root, tmp_path)
    spec = found(root, tmp_path, labels=("{group}/*/SEG2/*",)).spec
    assert spec.labels.names == ("background", "liver")


def test_segmentations_of_different_classes_are_joined(tmp_path: Path) -> None:
    root = tmp_path / "data"
    patients(root, 1)
    second = segmentation({"kidney": disc(3, 5)}, series="1.3.0", instance="1.5.9")
    save([second], root / "PAT-0/20240101/SEG2")
    assert found(root, tmp_path).spec.labels.names == ("background", "kidney", "liver", "tumour")


def test_series_without_a_segmentation_and_localizers_are_left_out(tmp_path: Path) -> None:
    root = tmp_path / "data"
    patients(root, 2)
    save(slices(volume(), series="1.8"), root / "PAT-1/20240101/other")
    scout = slices(volume()[:1], series="1.9", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    save(scout, root / "PAT-1/20240101/scout")
    recognition = found(root, tmp_path)
    assert len(recognition.spec.cases) == 2
    assert any("1 image without segmentations" in note for note in recognition.notes)
    assert take_inventory(root).unread["DICOM CT"] == 1


def test_series_are_chosen_by_their_descriptions(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for n in range(2):
        for kind in ("T1 axial", "T2 axial"):
            series = f"1.3.{n}.{kind[1]}"
            made = slices(volume(n), series=series, SeriesDescription=kind)
            save(made, root / f"P{n}", f"{kind[:2]}_{{}}.dcm")
            data = segmentation({"x": disc(1, 4)}, series=series, instance=f"{series}.5")
            save([data], root / f"P{n}" / f"seg{kind[1]}")
    spec = found(root, tmp_path, series=("t1*",)).spec
    assert [case.images[0].name for case in spec.cases] == ["T1_0.dcm", "T1_0.dcm"]
    with pytest.raises(DatasetError, match=r"'PD\*'; found T1 axial, T2 axial"):
        found(root, tmp_path, series=("PD*",))
    cases = find_inputs(root, num_channels=1, series=("T2*",))
    assert [case.images[0].name for case in cases] == ["T2_0.dcm", "T2_0.dcm"]


def test_two_visits_of_a_patient_are_one_group(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for n, patient in enumerate(("A", "A", "B")):
        folder = root / patient / f"visit{n}"
        save(slices(volume(n), series=f"1.3.{n}", PatientID=patient), folder / "ct")
        save([segmentation({"x": disc(1, 4)}, series=f"1.3.{n}")], folder / "seg")
    assert [case.group for case in found(root, tmp_path).spec.cases] == ["A", "A", "B"]


def test_series_pair_with_label_maps_of_other_formats_by_name(tmp_path: Path) -> None:
    import SimpleITK

    root = tmp_path / "data"
    for n in range(3):
        made = slices(volume(n), series=f"1.3.{n}", PatientID="AAB"[n])
        paths = save(made, root / f"case_{n}/image")
        image = read_image((paths[0],))
        label = SimpleITK.GetImageFromArray(disc(1, 5).astype(np.uint8))
        label.SetSpacing(image.stored_geometry.spacing[::-1])
        label.SetOrigin(image.stored_geometry.origin[::-1])
        SimpleITK.WriteImage(label, str(root / f"case_{n}/mask.nii.gz"))
    spec = found(root, tmp_path).spec
    assert len(spec.cases) == 3
    assert spec.channel_names == ("CT",)
    assert not recognise(root).issues
    assert [case.group for case in spec.cases] == ["A", "A", "B"]


def test_radiographs_pair_with_pictures_by_the_names_of_their_files(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for n in range(4):
        (data,) = slices(volume(n)[:1], series=f"1.3.{n}", SeriesNumber=n, Modality="DX")
        del data.ImagePositionPatient, data.ImageOrientationPatient
        save([data], root / "images", f"p{n}.dcm")
        write_picture(disc(0, 4)[0].astype(np.uint8), root / f"masks/p{n}.png")
    recognition = found(root, tmp_path)
    assert [case.name for case in recognition.spec.cases] == ["p0", "p1", "p2", "p3"]
    assert recognition.spec.channel_names == ("DX",)
    assert recognition.spec.num_axes == 2


def test_series_in_any_folders_are_inputs(tmp_path: Path) -> None:
    patients(tmp_path)
    cases = find_inputs(tmp_path, num_channels=1)
    assert [(case.name, case.ending) for case in cases] == [(f"PAT-{n}", ".dcm") for n in range(3)]
    (case,) = find_inputs(tmp_path / "PAT-1/20240101/CT", num_channels=1)
    assert case.name == "CT"
    (case,) = find_inputs(tmp_path / "PAT-1/20240101/CT/IM3", num_channels=1)
    assert read_image(case.images).shape == SHAPE


def test_without_pydicom_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patients(tmp_path / "data")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(DatasetError, match=r'pip install "autoseg\[dicom\]"'):
        found(tmp_path / "data", tmp_path)
    with pytest.raises(MissingPackage, match=r'pip install "autoseg\[dicom\]"'):
        find_inputs(tmp_path / "data", num_channels=1)
