"""`autoseg predict`: probabilities, entropy, statistics, masks, previews and other formats."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK
import tifffile
from fakes import save_model, threshold_model, tiny_configuration, tiny_plan
from skimage import io
from synthetic import balls, write_picture, write_volume
from typer.testing import CliRunner

from autoseg.cli import app
from autoseg.core.compute import Compute
from autoseg.core.errors import CaseError, DatasetError, DocumentError
from autoseg.core.labels import LabelScheme, Region
from autoseg.core.progress import Silent
from autoseg.inference.selected_model import as_selected_model
from autoseg.readers import read_segments
from autoseg.stages.predict import predict as stage
from autoseg.stages.predict.outputs.options import DicomKind, OutputOptions
from autoseg.stages.predict.predict import PredictOptions, predict
from autoseg.stages.predict.predictor import Predictor

SPACING = (3.0, 0.5, 0.7)
OBLIQUE = np.array([[0.8, 0.6, 0], [-0.6, 0.8, 0], [0, 0, -1]])
ALL = OutputOptions(
    probabilities=True, uncertainty=True, statistics=True, preview=True, file_per_class=True
)
REGIONS = (
    Region(name="dark", values=(3,), written_as=3),
    Region(name="all / both", values=(3, 7), written_as=3),
    Region(name="bright", values=(7,), written_as=7),
)


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


class Sentences(Silent):
    def __init__(self):
        self.said = []

    def say(self, message):
        self.said.append(message)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Return a function that makes options for a model which thresholds."""

    def make(outputs, *, axes=3, regions=(), **more):
        spacing = SPACING if axes == 3 else (1.0, 1.0)
        configuration = tiny_configuration((8,) * axes, spacing=spacing)
        plan = tiny_plan(configuration, axis_order=tuple(range(axes)))
        if regions:
            labels = LabelScheme(
                names=plan.labels.names, values=plan.labels.values, regions=regions
            )
            plan = plan.model_copy(update={"labels": labels})
        folder = tmp_path / "work" / "models" / "tiny"
        if not folder.exists():
            save_model(tmp_path / "work", plan, configuration, (0,))
        monkeypatch.setattr(
            stage,
            "load_selection",
            lambda *_: as_selected_model(threshold_model(plan)),
        )
        compute = Compute(device="cpu", workers=2)
        return PredictOptions(model=folder, outputs=outputs, compute=compute, **more)

    return make


@pytest.fixture
def volume(tmp_path):
    """Return an anisotropic, oblique volume, and its voxels."""
    voxels, _ = balls(np.random.default_rng(0), (10, 20, 16))
    path = tmp_path / "in" / "case.nii.gz"
    write_volume(voxels, path, spacing=SPACING, origin=(5, -3, 7), direction=OBLIQUE)
    return path, voxels


def array(path):
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))


def expected_labels(voxels):
    return np.select([voxels > 8, voxels > 4.5], [7, 3], 0)


def softmax(voxels):
    logits = np.stack([4.5 - voxels, 0 * voxels, voxels - 8]).astype(float)
    powers = np.exp(logits - logits.max(axis=0))
    return powers / powers.sum(axis=0)


def assert_probable(found, voxels):
    """Check probabilities, stored as multiples of 1/255, where the voxels are not cropped."""
    assert np.abs(found - softmax(voxels))[:, voxels != 0].max() < 0.5 / 255 + 1e-5


def test_probabilities_of_a_volume_have_its_geometry_and_a_fourth_axis(model, volume, tmp_path):
    path, voxels = volume
    report = predict(path, tmp_path / "out", model(ALL), Silent())
    assert not report.failures
    found = SimpleITK.ReadImage(str(tmp_path / "out" / "probabilities" / "case.nii.gz"))
    image = SimpleITK.ReadImage(str(path))
    assert_probable(SimpleITK.GetArrayFromImage(found), voxels)
    np.testing.assert_allclose(found.GetSpacing()[:3], image.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(found.GetOrigin()[:3], image.GetOrigin(), rtol=1e-5)
    turned = np.reshape(found.GetDirection(), (4, 4))[:3, :3]
    np.testing.assert_allclose(turned.ravel(), image.GetDirection(), atol=1e-5)
    names = json.loads((tmp_path / "out" / "probabilities" / "classes.json").read_text())["names"]
    assert names == ["background", "dim", "bright"]


def test_uncertainty_is_the_normalised_entropy(model, volume, tmp_path):
    path, voxels = volume
    predict(path, tmp_path / "out", model(ALL), Silent())
    found = array(tmp_path / "out" / "uncertainty" / "case.nii.gz")
    p = softmax(voxels)
    entropy = -(p * np.log(p)).sum(axis=0) / np.log(3)
    assert found.shape == voxels.shape
    assert entropy.max() > 0.5
    assert np.abs(found - entropy)[voxels != 0].max() < 0.03  # probabilities are multiples of 1/255


def test_statistics_are_those_of_the_label_map(model, volume, tmp_path):
    path, voxels = volume
    predict(path, tmp_path / "out", model(ALL), Silent())
    with (tmp_path / "out" / "statistics.csv").open(newline="") as file:
        rows = {row["class"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["dim", "bright"]
    mask = expected_labels(voxels) == 3
    shape = SimpleITK.LabelShapeStatisticsImageFilter()
    image = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
    image.CopyInformation(SimpleITK.ReadImage(str(path)))
    shape.Execute(image)
    row = rows["dim"]
    assert int(row["voxels"]) == mask.sum()
    assert float(row["volume_ml"]) == pytest.approx(shape.GetPhysicalSize(1) / 1000, rel=1e-4)
    centroid = [float(row[f"centroid_{axis}"]) for axis in "xyz"]
    np.testing.assert_allclose(centroid, shape.GetCentroid(1), atol=1e-2)
    assert float(row["mean_channel 0"]) == pytest.approx(voxels[mask].mean(), rel=1e-4)
    assert float(row["std_channel 0"]) == pytest.approx(voxels[mask].std(), rel=1e-4)
    parts = SimpleITK.ConnectedComponent(image, True)
    assert int(row["components"]) == SimpleITK.GetArrayFromImage(parts).max()
    corners = [float(row[f"{end}_{axis}"]) for axis in "xyz" for end in ("min", "max")]
    assert corners == sorted(corners[:2]) + sorted(corners[2:4]) + sorted(corners[4:])


def test_an_empty_prediction_has_all_outputs(model, tmp_path):
    write_volume(np.zeros((9, 10, 11), np.float32), tmp_path / "in" / "a.nii.gz", spacing=(1, 1, 1))
    report = predict(tmp_path / "in", tmp_path / "out", model(ALL), Silent())
    assert not report.failures
    found = json.loads((tmp_path / "out" / "statistics.json").read_text())["cases"][0]
    assert [entry["voxels"] for entry in found["structures"]] == [0, 0]
    assert found["structures"][0]["centroid"] is None
    assert not array(tmp_path / "out" / "masks" / "a" / "dim.nii.gz").any()
    assert array(tmp_path / "out" / "probabilities" / "a.nii.gz")[0].min() > 0.9
    assert (tmp_path / "out" / "preview" / "a.png").is_file()


def test_regions_are_written_one_by_one_and_may_overlap(model, volume, tmp_path):
    path, voxels = volume
    report = predict(path, tmp_path / "out", model(ALL, regions=REGIONS), Silent())
    assert not report.failures
    labels = array(tmp_path / "out" / "case.nii.gz")
    masks = tmp_path / "out" / "masks" / "case"
    assert sorted(file.name for file in masks.iterdir()) == [
        *("all_both.nii.gz", "bright.nii.gz", "dark.nii.gz")
    ]
    np.testing.assert_array_equal(array(masks / "all_both.nii.gz"), np.isin(labels, (3, 7)))
    found = array(tmp_path / "out" / "probabilities" / "case.nii.gz")
    logits = np.stack([4.5 - voxels, 0 * voxels, voxels - 8])
    inside = np.broadcast_to(voxels != 0, found.shape)  # outside of the crop all are 0
    difference = np.abs(found - 1 / (1 + np.exp(-logits)))[inside]
    assert difference.max() < 0.5 / 255 + 1e-5
    names = json.loads((tmp_path / "out" / "statistics.json").read_text())["cases"][0]
    assert [entry["name"] for entry in names["structures"]] == ["dark", "all / both", "bright"]


def test_pictures_get_pages_per_class_and_areas_in_pixels(model, tmp_path):
    voxels, _ = balls(np.random.default_rng(0), (24, 20))
    write_picture(voxels.astype(np.uint8), tmp_path / "in" / "a.png")
    report = predict(tmp_path / "in", tmp_path / "out", model(ALL, axes=2), Silent())
    assert not report.failures
    grey = voxels.astype(np.uint8).astype(float)
    with tifffile.TiffFile(tmp_path / "out" / "probabilities" / "a.tif") as file:
        assert len(file.pages) == 3
        assert file.imagej_metadata["Labels"] == ["background", "dim", "bright"]
        assert_probable(file.asarray() / 255, grey)
    assert tifffile.imread(tmp_path / "out" / "uncertainty" / "a.tif").shape == (24, 20)
    case = json.loads((tmp_path / "out" / "statistics.json").read_text())["cases"][0]
    assert case["unit"] == "px"
    assert case["structures"][0]["area_mm2"] is None
    assert set(np.unique(io.imread(tmp_path / "out" / "masks" / "a" / "dim.png"))) == {0, 1}


def test_a_case_is_skipped_only_if_all_outputs_exist_and_tables_have_all_cases(
    model, volume, tmp_path
):
    path, voxels = volume
    for name in ("b", "c"):
        write_volume(voxels, path.with_name(f"{name}.nii.gz"), spacing=(1, 1, 1))
    out = tmp_path / "out"
    predict(path.with_name("b.nii.gz"), out, model(OutputOptions()), Silent())
    predict(path.with_name("c.nii.gz"), out, model(ALL), Silent())
    report = predict(path.parent, out, model(ALL, skip_existing=True), Silent())
    assert [file.name for file in report.skipped] == ["c.nii.gz"]
    assert [file.name for file in report.written] == ["b.nii.gz", "case.nii.gz"]
    found = json.loads((out / "statistics.json").read_text())["cases"]
    assert [case["name"] for case in found] == ["b", "c", "case"]


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".tif", ".nii", ".seg.nrrd"])
def test_label_maps_are_written_in_another_format(model, volume, tmp_path, ending):
    path, voxels = volume
    predict(path, tmp_path / "out", model(OutputOptions(ending=ending)), Silent())
    file = tmp_path / "out" / f"case{ending}"
    if ending == ".tif":
        np.testing.assert_array_equal(tifffile.imread(file), expected_labels(voxels))
        return
    np.testing.assert_array_equal(array(file), expected_labels(voxels))
    origin = SimpleITK.ReadImage(str(file)).GetOrigin()
    np.testing.assert_allclose(origin, SimpleITK.ReadImage(str(path)).GetOrigin(), rtol=1e-5)


def test_segments_of_slicer_have_names_and_values(model, volume, tmp_path):
    predict(volume[0], tmp_path / "out", model(OutputOptions(ending=".seg.nrrd")), Silent())
    found = read_segments(tmp_path / "out" / "case.seg.nrrd")
    assert [(segment.name, segment.value) for segment in found] == [("dim", 3), ("bright", 7)]


def test_a_format_without_the_geometry_is_warned_of(model, volume, tmp_path):
    sentences = Sentences()
    predict(volume[0], tmp_path / "out", model(OutputOptions(ending=".tif")), sentences)
    assert any("store no origin or direction" in sentence for sentence in sentences.said)


def test_a_format_that_cannot_hold_volumes_fails_before_predicting(model, volume, tmp_path):
    options = model(OutputOptions(ending=".png"))
    report = predict(volume[0], tmp_path / "out", options, Silent())
    assert "which .png files cannot store" in report.failures[0].message


def test_micrometres_become_millimetres_in_formats_of_patients(model, tmp_path):
    voxels, _ = balls(np.random.default_rng(0), (10, 20, 16))
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "a.tif", voxels.astype(np.float32))
    (tmp_path / "in" / "a.json").write_text('{"spacing": [3, 2, 2], "unit": "µm"}')
    options = model(OutputOptions(ending=".nii.gz", probabilities=True))
    report = predict(tmp_path / "in", tmp_path / "out", options, Silent())
    assert not report.failures
    for name in ("a.nii.gz", "probabilities/a.nii.gz"):
        image = SimpleITK.ReadImage(str(tmp_path / "out" / name))
        np.testing.assert_allclose(image.GetSpacing()[:3], (0.002, 0.002, 0.003), rtol=1e-5)


@pytest.mark.parametrize("ending", [".jpg", ".h5", ".docx"])
def test_an_ending_that_label_maps_cannot_have_is_refused(model, volume, tmp_path, ending):
    with pytest.raises(DatasetError, match="not a format of label maps; expected one of"):
        predict(volume[0], tmp_path / "out", model(OutputOptions(ending=ending)), Silent())


def test_dicom_outputs_need_dicom_series(model, volume, tmp_path):
    with pytest.raises(DatasetError, match=r"found \.nii\.gz"):
        predict(volume[0], tmp_path / "out", model(OutputOptions(dicom=(DicomKind.SEG,))), Silent())
    codes = OutputOptions(dicom_codes=tmp_path / "codes.json")
    with pytest.raises(DatasetError, match="needs --dicom seg or --dicom rtstruct"):
        predict(volume[0], tmp_path / "out", model(codes), Silent())


def test_classes_whose_masks_would_have_one_name_are_refused(model, volume, tmp_path):
    regions = tuple(
        replace_name(region, name)
        for region, name in zip(REGIONS, ("a b", "A/B", "c"), strict=True)
    )
    options = model(OutputOptions(file_per_class=True), regions=regions)
    with pytest.raises(DatasetError, match="cannot name files after the classes"):
        predict(volume[0], tmp_path / "out", options, Silent())


def replace_name(region, name):
    return region.model_copy(update={"name": name})


def test_a_damaged_file_of_statistics_is_named(model, volume, tmp_path):
    options = model(OutputOptions(statistics=True))
    damaged = tmp_path / "out" / "statistics" / "other.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{")
    with pytest.raises(DocumentError, match=r"other\.json"):
        predict(volume[0], tmp_path / "out", options, Silent())


def test_larger_steps_take_fewer_tiles(model, volume, tmp_path):
    tiles = []

    class Counting(Silent):
        def status(self, line):
            tiles.append(int(line.split()[-1]))

    for step in (None, 1.0):
        predict(volume[0], tmp_path / "out", model(OutputOptions(), step_size=step), Counting())
    assert 1 < tiles[-1] < tiles[0]


@pytest.mark.parametrize("step", ["0", "1.5", "nan"])
def test_impossible_steps_are_refused(tmp_path, step):
    result = run("predict", str(tmp_path), str(tmp_path / "out"), "--step-size", step)
    assert result.exit_code == 2
    assert "above 0 and at most 1" in " ".join(result.output.split())


def test_the_command_passes_its_options(monkeypatch, tmp_path):
    passed = []

    def record(inputs, outputs, options, progress):
        passed.append(options)
        raise DatasetError("enough")

    monkeypatch.setattr(stage, "predict", record)
    options = "--output-format NRRD --file-per-class --probabilities --uncertainty --statistics"
    more = "--preview --dicom seg --dicom rtstruct --dicom-codes codes.json --step-size 0.7"
    run("predict", str(tmp_path), "out", *options.split(), *more.split())
    (found,) = passed
    assert found.step_size == 0.7
    assert found.outputs.ending == ".nrrd"
    assert found.outputs.dicom == ("seg", "rtstruct")
    flags = replace(found.outputs, ending="", dicom=(), dicom_codes=None)
    assert flags == ALL


def test_probabilities_are_available_from_python(model, volume):
    options = model(OutputOptions())
    path, voxels = volume
    predictor = Predictor(options.model, device="cpu")
    predictor.model = stage.load_selection(None, None)
    found = predictor.segment(path, with_probabilities=True)
    np.testing.assert_array_equal(found.values, expected_labels(voxels))
    assert_probable(found.probabilities, voxels)
    with pytest.raises(CaseError, match="were not kept"):
        _ = predictor.segment(path).probabilities
