"""`autoseg predict --dicom`: SEG and RTSTRUCT of a series, read back."""

import json

import numpy as np
import pytest
from dicom_files import multi_frame, save, slices
from fakes import tiny_configuration, tiny_plan
from scipy.ndimage import gaussian_filter

from autoseg.core.errors import CaseError, DatasetError, DocumentError
from autoseg.core.labels import LabelScheme, Region
from autoseg.datasets.inputs import InputCase, find_inputs
from autoseg.datasets.recognition.dicom_grid import SliceGrid
from autoseg.datasets.recognition.dicom_labels import draw_segmentations, read_segmentation
from autoseg.readers import read_image
from autoseg.readers.dicom_series import load
from autoseg.stages.predict.outputs.base import CasePrediction
from autoseg.stages.predict.outputs.build import case_outputs
from autoseg.stages.predict.outputs.dicom_rtstruct import RtstructOutput, outlines
from autoseg.stages.predict.outputs.dicom_source import load_codes
from autoseg.stages.predict.outputs.options import DicomKind, OutputOptions

pytest.importorskip("highdicom")
from autoseg.stages.predict.outputs.dicom_seg import DicomSegOutput

NAMES = ("background", "Tumör µ", "core")
OBLIQUE = [0.8, 0.6, 0, 0, 0, -1]


def plan_of(regions=()):
    plan = tiny_plan(tiny_configuration((8, 8, 8)), axis_order=(0, 1, 2))
    labels = LabelScheme(names=NAMES, values=(0, 3, 7), regions=regions)
    return plan.model_copy(update={"labels": labels})


@pytest.fixture
def series(tmp_path):
    """Return the case of an oblique series whose files are in reverse order."""
    files = slices(
        np.arange(6 * 30 * 20, dtype=np.int16).reshape(6, 30, 20),
        positions=[(1.5 * n, -2 * n, 4) for n in range(6)][::-1],
        ImageOrientationPatient=OBLIQUE,
        SpecificCharacterSet="ISO_IR 100",
        PatientName="Müller^Änne",
    )
    save(files, tmp_path / "series")
    (case,) = find_inputs(tmp_path / "series", num_channels=1)
    return case


def prediction_of(case, image, seed=0):
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(image.shape), 1.5)
    low, high = np.quantile(noise, (0.3, 0.85))
    ring = (noise < low) & (noise > np.quantile(noise, 0.05))  # with holes
    values = np.select([ring, noise > high], [3, 7], 0).astype(np.uint8)
    values[0, 0, 0], values[-1, -1, -1] = 3, 7  # single voxels in corners
    return CasePrediction(case, image, values)


def drawn(path, case, names):
    return draw_segmentations([path], SliceGrid.of(case.images[0]), names)


@pytest.mark.parametrize("output", [DicomSegOutput, RtstructOutput])
def test_labels_are_read_back_voxel_by_voxel(series, tmp_path, output):
    image = read_image(series.images)
    prediction = prediction_of(series, image)
    made = output(tmp_path / "out", plan_of())
    made.check(series, image)
    made.write(prediction)
    (path,) = made.paths(series)
    expected = image.reorientation.invert(prediction.values)
    np.testing.assert_array_equal(drawn(path, series, {"Tumör µ": 3, "core": 7}), expected)


@pytest.mark.parametrize("output", [DicomSegOutput, RtstructOutput])
def test_patient_and_references_are_those_of_the_series(series, tmp_path, output):
    image, made = read_image(series.images), output(tmp_path / "out", plan_of())
    made.write(prediction_of(series, image))
    (path,) = made.paths(series)
    found, source = load(path), load(series.images[0])
    assert str(found.PatientName) == "Müller^Änne"
    assert found.StudyInstanceUID == source.StudyInstanceUID
    assert found.SeriesInstanceUID != source.SeriesInstanceUID
    header = read_segmentation(path)
    assert header.names == ("Tumör µ", "core")
    assert header.series == {source.SeriesInstanceUID}
    assert header.frame_of_reference == source.FrameOfReferenceUID


@pytest.mark.parametrize("output", [DicomSegOutput, RtstructOutput])
def test_frames_of_one_file_are_referred_to_in_any_order(tmp_path, output):
    volume = np.arange(4 * 20 * 18, dtype=np.int16).reshape(4, 20, 18)
    (file,) = save([multi_frame(volume, (15, 5, 10, 20), (1, 1, 1, 1))], tmp_path / "series")
    case = InputCase("frames", (file,), ".dcm")
    image, made = read_image(case.images), output(tmp_path / "out", plan_of())
    prediction = prediction_of(case, image)
    made.check(case, image)
    made.write(prediction)
    (path,) = made.paths(case)
    expected = image.reorientation.invert(prediction.values)
    np.testing.assert_array_equal(drawn(path, case, {"Tumör µ": 3, "core": 7}), expected)


@pytest.mark.parametrize("output", [DicomSegOutput, RtstructOutput])
def test_overlapping_regions_are_separate(series, tmp_path, output):
    regions = (
        Region(name="whole", values=(3, 7), written_as=3),
        Region(name="core", values=(7,), written_as=7),
    )
    image, made = read_image(series.images), output(tmp_path / "out", plan_of(regions))
    prediction = prediction_of(series, image)
    made.write(prediction)
    (path,) = made.paths(series)
    stored = image.reorientation.invert(prediction.values)
    np.testing.assert_array_equal(drawn(path, series, {"whole": 1}), stored > 0)
    np.testing.assert_array_equal(drawn(path, series, {"core": 1}), stored == 7)


@pytest.mark.parametrize("output", [DicomSegOutput, RtstructOutput])
def test_an_empty_prediction_still_lists_its_classes(series, tmp_path, output):
    image, made = read_image(series.images), output(tmp_path / "out", plan_of())
    made.write(CasePrediction(series, image, np.zeros(image.shape, np.uint8)))
    (path,) = made.paths(series)
    found = load(path)
    entries = found.get("SegmentSequence") or found.StructureSetROISequence
    assert [entry.get("SegmentLabel") or entry.ROIName for entry in entries] == list(NAMES[1:])


def test_codes_of_the_user_replace_the_general_ones(series, tmp_path):
    file = tmp_path / "codes.json"
    code = {"value": "86049000", "scheme": "SCT", "meaning": "Neoplasm, Primary"}
    file.write_text(json.dumps({"classes": {"Tumör µ": {"type": code}}}), encoding="utf-8")
    plan = plan_of()
    image = read_image(series.images)
    outputs = case_outputs(
        OutputOptions(dicom=tuple(DicomKind), dicom_codes=file), [series], tmp_path / "out", plan
    )
    for output in outputs[:-1]:
        output.write(prediction_of(series, image))
    first, second = load(outputs[0].paths(series)[0]).SegmentSequence
    assert first.SegmentedPropertyTypeCodeSequence[0].CodeValue == "86049000"
    assert first.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "85756007"
    assert second.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Tissue"
    assert first.SegmentAlgorithmName == "autoseg"
    assert first.TrackingID == "Tumör µ"
    regions = load(outputs[1].paths(series)[0]).RTROIObservationsSequence
    assert regions[0].RTROIIdentificationCodeSequence[0].CodeValue == "86049000"
    assert "RTROIIdentificationCodeSequence" not in regions[1]


def test_wrong_codes_are_refused(tmp_path):
    file = tmp_path / "codes.json"
    file.write_text('{"classes": {"liver": {}}}')
    with pytest.raises(DatasetError, match="has codes of liver; expected names"):
        load_codes(file, plan_of())
    file.write_text('{"classes": {"core": {"type": "liver"}}}')
    with pytest.raises(DocumentError, match="not a valid DicomCodes"):
        load_codes(file, plan_of())


def test_series_that_cannot_be_referred_to_fail_before_predicting(series, tmp_path):
    image = read_image(series.images)
    made = RtstructOutput(tmp_path / "out", plan_of())
    with pytest.raises(CaseError, match="not a DICOM series"):
        made.check(InputCase("a", series.images, ".nii.gz"), image)
    (file,) = save(slices(np.zeros((1, 9, 9), np.int16), FrameOfReferenceUID=""), tmp_path / "x")
    with pytest.raises(CaseError, match="lack FrameOfReferenceUID"):
        made.check(InputCase("b", (file,), ".dcm"), image)


def test_outlines_keep_only_corners_and_holes():
    mask = np.zeros((9, 9), bool)
    mask[1:8, 2:8] = True
    mask[4, 4] = False
    outer, hole = sorted(outlines(mask), key=len, reverse=True)
    assert len(outer) == 8  # a rectangle with cut corners
    assert len(hole) == 4
    assert outer.min() == 0.5
