import os
from pathlib import Path

import numpy as np
import pytest
from synthetic import balls, write_picture, write_volume

from autoseg.core.errors import CaseError
from autoseg.core.labels import LabelScheme
from autoseg.datasets import inspection
from autoseg.datasets.inspection import file_hashes, file_states, inspect_case
from autoseg.datasets.loading import load_case
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.fingerprint import QUANTILE_LEVELS

SPACING = (2.0, 1.0, 0.5)
IMAGE, LABELS = balls(np.random.default_rng(0), (8, 14, 12))


def dataset(root: Path, *, channels: int = 1, values: tuple[int, ...] = (0, 1, 2)) -> DatasetSpec:
    files = CaseFiles(name="a", images=(root / "image.nii.gz",), labels=root / "labels.nii.gz")
    return DatasetSpec(
        name="test",
        root=root,
        layout="folders",
        num_axes=3,
        channel_names=tuple(f"channel_{index}" for index in range(channels)),
        labels=LabelScheme(names=tuple(map(str, values)), values=values),
        cases=(files,),
    )


def write_case(
    root: Path, image: np.ndarray = IMAGE, labels: np.ndarray = LABELS, **labels_geometry: object
) -> DatasetSpec:
    write_volume(image, root / "image.nii.gz", spacing=SPACING)
    geometry = {"spacing": SPACING} | labels_geometry
    write_volume(labels, root / "labels.nii.gz", **geometry)
    return dataset(root)


def test_a_case_is_measured_as_numpy_measures_it(tmp_path: Path) -> None:
    spec = write_case(tmp_path)
    measured = inspect_case(spec.cases[0], spec)
    foreground = IMAGE[LABELS > 0]
    assert measured.shape == (8, 14, 12)
    assert measured.shape_after_crop == (6, 12, 10)
    assert measured.spacing == SPACING
    assert (measured.axis_directions, measured.tilt_degrees) == ("SPL", 0)
    assert measured.class_voxels == tuple(np.bincount(LABELS.ravel(), minlength=3).tolist())
    (intensities,) = measured.intensities
    assert intensities.mean == pytest.approx(foreground.mean(), rel=1e-6)
    assert intensities.std == pytest.approx(foreground.std(), rel=1e-5)
    expected = np.quantile(foreground, QUANTILE_LEVELS)
    np.testing.assert_allclose(intensities.quantiles, expected, rtol=1e-6)
    assert not measured.is_integer


def test_numbers_are_short(tmp_path: Path) -> None:
    spec = write_case(tmp_path)
    numbers = inspect_case(spec.cases[0], spec).intensities[0].quantiles
    assert max(len(repr(number)) for number in numbers) <= 10


def test_whole_intensities_are_noticed(tmp_path: Path) -> None:
    spec = write_case(tmp_path, image=np.rint(IMAGE * 10).astype(np.int16))
    assert inspect_case(spec.cases[0], spec).is_integer


@pytest.mark.parametrize(
    ("lowest", "highest", "expected"),
    [(0, 255, True), (0, 256, False), (-1, 200, False), (0.5, 200, False)],
)
def test_eight_bits_are_noticed_in_the_whole_image(lowest, highest, expected, tmp_path) -> None:
    image = np.full(IMAGE.shape, 100, np.float32)
    outside = np.argwhere(LABELS == 0)
    image[tuple(outside[0])], image[tuple(outside[1])] = lowest, highest
    spec = write_case(tmp_path, image=image)
    assert inspect_case(spec.cases[0], spec).fits_8_bits == expected


def test_many_voxels_are_summarised_by_some_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.ones_like(LABELS)
    spec = write_case(tmp_path, labels=labels)
    exact = inspect_case(spec.cases[0], spec).intensities[0]
    monkeypatch.setattr(inspection, "MAX_VOXELS_FOR_QUANTILES", 400)
    some = inspect_case(spec.cases[0], spec).intensities[0]
    assert (some.mean, some.std) == (exact.mean, exact.std)
    assert (some.quantiles[0], some.quantiles[-1]) == (exact.quantiles[0], exact.quantiles[-1])
    assert some.quantiles != exact.quantiles
    upper = QUANTILE_LEVELS.index(0.75)
    assert some.quantiles[upper] == pytest.approx(exact.quantiles[upper], abs=0.1)


def test_without_foreground_all_nonzero_voxels_count(tmp_path: Path) -> None:
    spec = write_case(tmp_path, labels=np.zeros_like(LABELS))
    (intensities,) = inspect_case(spec.cases[0], spec).intensities
    assert intensities.mean == pytest.approx(IMAGE[IMAGE != 0].mean(), rel=1e-6)


def test_an_image_of_nothing_but_zeros_is_measured(tmp_path: Path) -> None:
    spec = write_case(tmp_path, image=np.zeros_like(IMAGE), labels=np.zeros_like(LABELS))
    measured = inspect_case(spec.cases[0], spec)
    assert measured.shape_after_crop == measured.shape
    assert measured.intensities[0].mean == 0


def test_label_values_need_not_be_consecutive(tmp_path: Path) -> None:
    labels = np.array([0, 50, 200], np.uint8)[LABELS]
    write_case(tmp_path, labels=labels.astype(np.float32))
    spec = dataset(tmp_path, values=(0, 50, 200))
    measured = inspect_case(spec.cases[0], spec)
    assert measured.class_voxels == tuple(np.bincount(LABELS.ravel(), minlength=3).tolist())
    np.testing.assert_array_equal(load_case(spec.cases[0], spec.labels).classes, LABELS)


def test_a_case_in_other_orientations_measures_the_same(tmp_path: Path) -> None:
    spec = write_case(tmp_path)
    upright = inspect_case(spec.cases[0], spec)
    turned = tmp_path / "turned"
    flip = np.diag([-1.0, 1.0, -1.0])
    end = ((IMAGE.shape[0] - 1) * SPACING[0], 0.0, (IMAGE.shape[2] - 1) * SPACING[2])
    write_volume(
        IMAGE[::-1, :, ::-1], turned / "image.nii.gz", spacing=SPACING, origin=end, direction=flip
    )
    write_volume(LABELS, turned / "labels.nii.gz", spacing=SPACING)
    other = dataset(turned)
    measured = inspect_case(other.cases[0], other)
    assert measured.intensities == upright.intensities
    assert measured.class_voxels == upright.class_voxels


FLIPPED = {"direction": np.diag([1.0, -1.0, 1.0])}


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ({"labels": LABELS[:, :-1]}, "shape 8 × 13 × 12, but its image has 8 × 14 × 12"),
        ({"spacing": (2.0, 1.0, 0.6)}, "spacing.*labels against image"),
        ({"origin": (9.0, 0.0, 0.0)}, "origin"),
        (FLIPPED, "not on the grid of its image"),
        ({"labels": LABELS + 5}, r"unexpected label value 5 \(\d+ voxels\).*expected only 0, 1, 2"),
        ({"labels": LABELS + np.float32(0.25)}, "fractional values such as"),
        ({"image": np.where(LABELS == 2, np.nan, IMAGE)}, "NaN or infinite"),
        ({"image": np.where(LABELS == 2, np.inf, IMAGE)}, "NaN or infinite"),
        ({"image": IMAGE[4], "labels": LABELS[4]}, "2-D image in a 3-D dataset"),
    ],
    ids=[
        *("shape", "spacing", "origin", "direction", "value", "fraction", "nan", "inf", "axes"),
    ],
)
def test_what_is_wrong_is_said(case: dict, words: str, tmp_path: Path) -> None:
    if "image" in case and case["image"].ndim == 2:
        write_volume(case["image"], tmp_path / "image.nii.gz", spacing=(1.0, 1.0))
        write_volume(case["labels"], tmp_path / "labels.nii.gz", spacing=(1.0, 1.0))
        spec = dataset(tmp_path)
    else:
        spec = write_case(tmp_path, **case)
    with pytest.raises(CaseError, match=words):
        inspect_case(spec.cases[0], spec)


def test_small_differences_of_geometry_are_tolerated(tmp_path: Path) -> None:
    spec = write_case(tmp_path, spacing=(2.0005, 1.0, 0.5), origin=(0.001, -0.001, 0.0))
    assert inspect_case(spec.cases[0], spec).spacing == SPACING


def test_all_issues_of_a_case_are_found_at_once(tmp_path: Path) -> None:
    write_case(tmp_path, image=np.where(LABELS == 2, np.nan, IMAGE), labels=LABELS[1:] + 5)
    spec = dataset(tmp_path, channels=2)
    with pytest.raises(CaseError) as caught:
        inspect_case(spec.cases[0], spec)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    for words in ("1 channel found, expected 2", "NaN", "unexpected label value", "shape 7"):
        assert any(words in line for line in lines)


def test_image_and_labels_may_both_be_unreadable(tmp_path: Path) -> None:
    spec = dataset(tmp_path)
    (tmp_path / "image.nii.gz").write_bytes(b"nothing")
    with pytest.raises(CaseError, match=r"(?s)image.nii.gz cannot be read.*labels.nii.gz does not"):
        inspect_case(spec.cases[0], spec)


def test_pictures_take_any_labels_of_their_shape(tmp_path: Path) -> None:
    write_volume(IMAGE[4], tmp_path / "image.nii.gz", spacing=(0.3, 0.3))
    write_picture(LABELS[4], tmp_path / "labels.png")
    files = CaseFiles(name="a", images=(tmp_path / "image.nii.gz",), labels=tmp_path / "labels.png")
    spec = dataset(tmp_path).model_copy(update={"num_axes": 2, "cases": (files,)})
    assert inspect_case(files, spec).shape == (14, 12)


def test_the_source_changes_with_any_of_the_files(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "image.tif", LABELS)
    tifffile.imwrite(tmp_path / "labels.tif", LABELS)
    files = CaseFiles(name="a", images=(tmp_path / "image.tif",), labels=tmp_path / "labels.tif")
    spec = dataset(tmp_path)
    before, content = file_states(files, spec), file_hashes(files)
    assert [entry[0] for entry in before] == ["image.tif", "labels.tif"]
    os.utime(tmp_path / "image.tif", ns=(0, 0))
    assert file_states(files, spec) != before
    assert file_hashes(files) == content
    (tmp_path / "image.json").write_text('{"spacing": [2, 1, 1]}')
    assert file_hashes(files)[:2] == content
    assert len(file_hashes(files)) == 3


def test_the_content_of_a_missing_file_names_it(tmp_path: Path) -> None:
    spec = write_case(tmp_path)
    spec.cases[0].labels.unlink()
    with pytest.raises(CaseError, match=r"labels\.nii\.gz cannot be read"):
        file_hashes(spec.cases[0])


def test_loading_a_case_with_an_unknown_label_names_the_file(tmp_path: Path) -> None:
    spec = write_case(tmp_path, labels=LABELS * 9)
    with pytest.raises(CaseError, match=r"labels\.nii\.gz: found label values \[9, 18\]"):
        load_case(spec.cases[0], spec.labels)
    spec = write_case(tmp_path, labels=LABELS[1:])
    with pytest.raises(CaseError, match="shape 7 × 14 × 12"):
        load_case(spec.cases[0], spec.labels)


def ignoring(spec: DatasetSpec) -> DatasetSpec:
    return spec.model_copy(update={"labels": spec.labels.model_copy(update={"ignore": 9})})


def test_ignored_voxels_are_neither_foreground_nor_counted(tmp_path: Path) -> None:
    hidden = LABELS.copy()
    hidden[:, 7:] = 9
    spec = ignoring(write_case(tmp_path, labels=hidden))
    measured = inspect_case(spec.cases[0], spec)
    seen = LABELS[:, :7]
    assert measured.class_voxels == tuple(np.bincount(seen.ravel(), minlength=3).tolist())
    expected = IMAGE[:, :7][seen > 0].mean()
    assert measured.intensities[0].mean == pytest.approx(expected, rel=1e-6)
    assert len(measured.class_centres) == 3
    for index, centre in enumerate(measured.class_centres):
        if centre is not None:
            rows = np.argwhere(hidden == index)[:, 1] + 0.5
            assert centre[1] == pytest.approx(rows.mean() / 14, abs=1e-4)


def test_a_case_that_nobody_annotated_is_a_issue(tmp_path: Path) -> None:
    spec = ignoring(write_case(tmp_path, labels=np.full_like(LABELS, 9)))
    with pytest.raises(CaseError, match=r"all voxels have the ignore value 9.*remove the case"):
        inspect_case(spec.cases[0], spec)


def test_other_values_are_unexpected_beside_the_ignored_one(tmp_path: Path) -> None:
    labels = LABELS.copy()
    labels[0, 0, 0] = 8
    spec = ignoring(write_case(tmp_path, labels=labels))
    with pytest.raises(CaseError, match=r"value 8 \(1 voxels\); expected only 0, 1, 2, 9"):
        inspect_case(spec.cases[0], spec)


def test_slices_have_to_run_alike_also_along_the_axis_that_a_picture_lacks(tmp_path: Path) -> None:
    sagittal = np.eye(3)[:, [2, 0, 1]]
    flipped = sagittal * [1, -1, 1]
    image, labels = (array[2:3] for array in (IMAGE, LABELS))
    spec = dataset(tmp_path).model_copy(update={"num_axes": 2})
    write_volume(image, tmp_path / "image.nii.gz", spacing=SPACING, direction=sagittal)
    for direction in (sagittal, flipped):
        path = tmp_path / "labels.nii.gz"
        write_volume(labels, path, spacing=SPACING, direction=direction)
        if direction is sagittal:
            assert load_case(spec.cases[0], spec.labels).classes.shape == labels.shape[1:]
        else:
            with pytest.raises(CaseError, match="another direction"):
                load_case(spec.cases[0], spec.labels)


def test_a_case_that_went_wrong_after_planning_is_not_loaded(tmp_path: Path) -> None:
    spec = write_case(tmp_path, origin=(40.0, 0.0, 0.0))
    with pytest.raises(CaseError, match="not on the grid of its image: origin"):
        load_case(spec.cases[0], spec.labels)
    path = tmp_path / "image.mha"
    write_volume(np.where(IMAGE.max() == IMAGE, np.nan, IMAGE), path, spacing=SPACING)
    write_volume(LABELS, tmp_path / "labels.nii.gz", spacing=SPACING)
    files = spec.cases[0].model_copy(update={"images": (path,)})
    with pytest.raises(CaseError, match="NaN or infinite"):
        load_case(files, spec.labels)


@pytest.mark.parametrize("size", [7, 16, 1000, 12_345])
def testsquared_differences_are_summed_as_numpy_sums_them(size, monkeypatch) -> None:
    monkeypatch.setattr(inspection, "PART_VOXELS", 128)
    sample = np.random.default_rng(size).normal(100, 7, size).astype(np.float32)
    found = inspection.squared_differences(sample, sample.mean(dtype=np.float64))
    assert np.sqrt(found / size) == sample.std(dtype=np.float64)
