"""`autoseg evaluate` on folders: pairing, issues, the saved report."""

import json

import numpy as np
import pytest
import SimpleITK
import tifffile
from synthetic import balls, write_picture, write_volume
from typer.testing import CliRunner

from autoseg.cli import app
from autoseg.core.errors import DatasetError
from autoseg.core.labels import LabelScheme
from autoseg.core.progress import Silent
from autoseg.documents.report import Report
from autoseg.documents.store import load
from autoseg.evaluation.cases import Measurement
from autoseg.evaluation.metrics import LABEL_MAP_METRICS
from autoseg.evaluation.table import title
from autoseg.stages.evaluate.evaluate import evaluate


def scores(predictions, references, **settings):
    return evaluate(predictions, references, workers=1, progress=Silent(), **settings)


@pytest.fixture
def folders(tmp_path):
    """Return folders of predictions, which are their references shifted by one voxel."""
    predictions, references = tmp_path / "predictions", tmp_path / "references"
    for index in range(3):
        _, labels = balls(np.random.default_rng(index), (12, 20, 16))
        write_volume(labels, references / f"case_{index}.nii.gz", spacing=(2, 1, 1))
        shifted = np.roll(labels, 1, axis=2)
        write_volume(shifted, predictions / f"case_{index}.nii.gz", spacing=(2, 1, 1))
    return predictions, references


def test_all_pairs_are_scored_and_the_report_is_saved(folders):
    report = scores(*folders)
    assert [case.name for case in report.cases] == ["case_0", "case_1", "case_2"]
    assert [entry.label for entry in report.classes] == [1, 2]
    assert 0.5 < report.foreground.dice.value < 1
    assert report.foreground.metric("nsd").value == 1
    assert report.cases[0].tolerance_mm == 2
    assert load(Report, folders[0] / Report.FILE_NAME) == report


def test_distances_are_in_millimetres(folders):
    assert (
        scores(*folders, measurement=Measurement(tolerance_mm=0.5)).foreground.metric("nsd").value
        < 1
    )


def test_distances_are_in_pixels_if_neither_file_knows_its_size(folders, tmp_path):
    _, labels = balls(np.random.default_rng(0), (20, 16))
    write_picture(labels, tmp_path / "a" / "x.png")
    write_picture(labels, tmp_path / "b" / "x.png")
    assert scores(tmp_path / "a", tmp_path / "b").distance_unit == "px"
    assert scores(*folders).distance_unit == "mm"


def test_distances_are_in_the_unit_of_microscopy_files(tmp_path):
    labels = np.zeros((20, 16), np.uint8)
    labels[5:12, 4:9] = 1
    options = {"imagej": True, "resolution": (4, 4), "metadata": {"unit": "um"}}
    for folder, shift in (("a", 0), ("b", 2)):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "x.tif", np.roll(labels, shift, axis=1), **options)
    report = scores(tmp_path / "a", tmp_path / "b")
    assert report.distance_unit == "µm"
    assert report.foreground.metric("hd95_mm").value == 0.5
    assert title("hd95_mm", "µm") == "HD95 µm"


def test_several_processes_give_the_same_report(folders):
    report = evaluate(*folders, workers=2, progress=Silent())
    assert report == scores(*folders)


def test_missing_partners_are_listed(folders):
    predictions, references = folders
    (predictions / "case_0.nii.gz").unlink()
    (references / "case_2.nii.gz").unlink()
    report = scores(*folders)
    assert report.missing_predictions == ("case_0",)
    assert report.missing_references == ("case_2",)
    assert [case.name for case in report.cases] == ["case_1"]


def test_no_partner_at_all_is_an_error(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no file in"):
        scores(tmp_path / "empty", folders[1])


def test_a_folder_that_is_not_there_is_an_error(folders, tmp_path):
    with pytest.raises(DatasetError, match="is not a folder"):
        scores(tmp_path / "nowhere", folders[1])


def test_a_prediction_on_another_grid_is_a_issue_of_its_case(folders):
    predictions, _ = folders
    labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(predictions / "case_0.nii.gz")))
    write_volume(labels[:-1], predictions / "case_0.nii.gz", spacing=(2, 1, 1))
    write_volume(labels, predictions / "case_1.nii.gz", spacing=(1, 1, 1))
    (predictions / "case_2.nii.gz").write_bytes(b"junk")
    report = scores(*folders)
    assert [issue.name for issue in report.issues] == ["case_0", "case_1", "case_2"]
    shape, spacing, unreadable = (issue.message for issue in report.issues)
    assert "shape 11 × 20 × 16 against 12 × 20 × 16" in shape
    assert "spacing (1, 1, 1) against (2, 1, 1)" in spacing
    assert "cannot be read" in unreadable


def test_files_may_be_stored_in_different_orientations(folders):
    predictions, references = folders
    path = references / "case_0.nii.gz"
    turned = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(path)), "RAS")
    SimpleITK.WriteImage(turned, str(predictions / "case_0.nii.gz"))
    report = scores(*folders)
    assert not report.issues
    assert [entry.dice for entry in report.cases[0].classes] == [1, 1]


def test_endings_may_differ_and_names_come_from_the_dataset(tmp_path):
    _, labels = balls(np.random.default_rng(0), (24, 20))
    write_picture(labels * 100, tmp_path / "a" / "x.png")
    write_picture(labels * 100, tmp_path / "b" / "x.bmp")
    names = LabelScheme(names=("ground", "big", "small"), values=(0, 100, 200))
    report = scores(tmp_path / "a", tmp_path / "b", labels=names)
    assert [entry.name for entry in report.classes] == ["big", "small"]
    assert report.foreground.dice.value == 1


def test_a_stack_without_geometry_lies_as_its_partner_does(folders, tmp_path):
    """A .tif has no directions; its voxels are taken to be stored as the partner's are."""
    path = folders[1] / "case_0.nii.gz"
    values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    turned = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(path)), "RAS")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    SimpleITK.WriteImage(turned, str(tmp_path / "b" / "x.nii.gz"))
    write_picture(SimpleITK.GetArrayFromImage(turned), tmp_path / "a" / "x.tif")
    report = scores(tmp_path / "a", tmp_path / "b")
    assert values.shape == (12, 20, 16)
    assert not report.issues
    assert report.foreground.dice.value == 1
    assert report.cases[0].tolerance_mm == 2


def test_two_files_of_one_name_are_refused(folders):
    labels = np.zeros((4, 4), dtype=np.uint8)
    write_picture(labels, folders[0] / "case_0.png")
    with pytest.raises(DatasetError, match=r"case_0\.nii\.gz and case_0\.png"):
        scores(*folders)


def test_the_command_scores_regions_where_somebody_annotated(folders, tmp_path):
    predictions, references = folders
    for path in sorted(references.iterdir()):
        values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
        values[:, :5] = 3
        write_volume(values, path, spacing=(2, 1, 1))
    declared = {"background": 0, "balls": [1, 2], "dim": 2, "ignore": 3}
    described = {"labels": declared, "regions_class_order": [1, 2]}
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    arguments = ["evaluate", str(predictions), str(references), "--labels", str(tmp_path)]
    done = CliRunner().invoke(app, [*arguments, "--workers", "1"])
    assert done.exit_code == 0, done.output
    report = load(Report, predictions / Report.FILE_NAME)
    assert [entry.name for entry in report.classes] == ["balls", "dim"]
    seen = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(references / "case_0.nii.gz")))
    balls_and_dim = [scores.reference_voxels for scores in report.cases[0].classes]
    assert balls_and_dim == [np.isin(seen, (1, 2)).sum(), (seen == 2).sum()]


def invoke(folders, *options):
    return CliRunner().invoke(app, ["evaluate", *map(str, folders), "--workers", "1", *options])


def test_the_command_measures_and_shows_what_is_asked_for(folders):
    done = invoke(folders, "--metrics", "cldice, lesion_f1,iou")
    assert done.exit_code == 0, done.output
    report = load(Report, folders[0] / Report.FILE_NAME)
    assert report.metrics == ("iou", "cldice", "lesion_f1")
    assert report.foreground.metric("lesion_f1").value == 1
    assert (
        0 < report.foreground.metric("cldice").low <= report.foreground.metric("cldice").high <= 1
    )
    assert report.foreground.dice.value is None
    assert ("clDice" in done.output, "HD95" in done.output) == (True, False)
    assert max(map(len, done.output.splitlines()[:-2])) <= 80  # two lines with paths follow


def test_the_command_prints_cases_and_names_files_without_a_partner(folders):
    predictions, _ = folders
    (predictions / "case_0.nii.gz").rename(predictions / "other.nii.gz")
    done = invoke(folders, "--cases")
    assert done.exit_code == 0, done.output
    assert "prediction missing: case_0" in done.output
    assert "reference missing: other" in done.output
    assert "case_1" in done.output[done.output.index("Cases") :]


def test_all_metrics_of_label_maps_can_be_asked_for(folders):
    done = invoke(folders, "--metrics", "all")
    report = load(Report, folders[0] / Report.FILE_NAME)
    assert report.metrics == LABEL_MAP_METRICS
    assert all(report.foreground.metric(name).value is not None for name in report.metrics)
    assert done.exit_code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--metrics", "dise"), "found 'dise'"),
        (("--metrics", "ece"), "label maps do not have"),
        (("--tolerance", "wide"), "found 'wide'"),
        (("--tolerance", "-1"), "found '-1'"),
        (("--tolerance", "nowhere.json"), "nowhere.json"),
    ],
)
def test_options_that_are_not_understood_are_named(folders, options, message):
    done = invoke(folders, *options)
    assert done.exit_code == 2
    assert message in " ".join(done.output.replace("│", "").split())


def test_classes_have_tolerances_of_their_own(folders, tmp_path):
    (tmp_path / "mm.json").write_text('{"label_1": 0.5}')
    options = ("--tolerance", "3", "--tolerance", str(tmp_path / "mm.json"))
    assert invoke(folders, *options).exit_code == 0
    first = load(Report, folders[0] / Report.FILE_NAME)
    assert invoke(folders, "--tolerance", "3", "--tolerance", "label_1=0.5").exit_code == 0
    assert load(Report, folders[0] / Report.FILE_NAME) == first
    one, two = first.classes
    assert one.means.metric("nsd").value < two.means.metric("nsd").value == 1


@pytest.mark.parametrize("labels", [None, LabelScheme(names=("a", "b", "c"), values=(0, 1, 2))])
def test_a_tolerance_of_no_class_is_an_error(folders, labels):
    measurement = Measurement(class_tolerances_mm=(("lever", 1.0),))
    with pytest.raises(DatasetError, match="tolerance for 'lever'"):
        scores(*folders, labels=labels, measurement=measurement)
    assert not (folders[0] / Report.FILE_NAME).exists()


def test_archives_of_probabilities_next_to_label_maps_are_left_out(folders):
    np.savez(folders[0] / "case_0.npz", probabilities=np.zeros((3, 12, 20, 16)))
    assert len(scores(*folders).cases) == 3
