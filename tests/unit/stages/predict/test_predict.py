"""`autoseg predict` on folders: outputs, failures, skipping existing outputs."""

import errno
import time

import numpy as np
import pytest
import SimpleITK
from fakes import save_model, threshold_model, tiny_configuration, tiny_plan
from skimage import io
from synthetic import balls, write_picture, write_volume

from autoseg.core.compute import Compute
from autoseg.core.errors import DatasetError
from autoseg.core.progress import Silent
from autoseg.inference.selected_model import as_selected_model
from autoseg.stages.predict import predict as stage
from autoseg.stages.predict import prefetching
from autoseg.stages.predict.outputs import label_map
from autoseg.stages.predict.predict import PredictOptions, predict
from autoseg.terminal import TerminalProgress


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Return options for a 3-D model in a folder, which thresholds once it is loaded."""
    configuration = tiny_configuration((8, 8, 8))
    plan = tiny_plan(configuration, axis_order=(0, 1, 2))
    folder = save_model(tmp_path / "work", plan, configuration, (0,))
    monkeypatch.setattr(
        stage, "load_selection", lambda choice, options: as_selected_model(threshold_model(plan))
    )
    return PredictOptions(model=folder, compute=Compute(device="cpu", workers=2))


@pytest.fixture
def inputs(tmp_path):
    """Return a folder of five volumes."""
    folder = tmp_path / "inputs"
    for index in range(5):
        voxels, _ = balls(np.random.default_rng(index), (12, 16 + index, 14))
        path = folder / f"case_{index}.nii.gz"
        write_volume(voxels, path, spacing=(1, 1, 1), origin=(index, 2, 3))
    (folder / ".DS_Store").write_bytes(b"junk")
    return folder


def test_every_image_gets_its_label_map_on_its_own_grid(inputs, options, tmp_path):
    report = predict(inputs, tmp_path / "out", options, Silent())
    assert not report.failures
    assert [path.name for path in report.written] == [f"case_{i}.nii.gz" for i in range(5)]
    for path in report.written:
        image = SimpleITK.ReadImage(str(inputs / path.name))
        labels = SimpleITK.ReadImage(str(path))
        voxels = SimpleITK.GetArrayFromImage(image)
        expected = np.select([voxels > 8, voxels > 4.5], [7, 3], 0)
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(labels), expected)
        assert labels.GetOrigin() == image.GetOrigin()


def test_files_that_look_like_channels_are_warned_of(inputs, options, tmp_path, capsys):
    (inputs / "case_0.nii.gz").rename(inputs / "case_0000.nii.gz")
    (inputs / "case_1.nii.gz").rename(inputs / "case_0001.nii.gz")
    predict(inputs, tmp_path / "out", options, TerminalProgress())
    assert "warning: case_0000 … case_0001 look like the channels" in capsys.readouterr().out


def test_the_stage_names_every_case_that_may_be_at_fault_in_a_crash(inputs, options, tmp_path):
    stages = []

    class Recording(Silent):
        def begin(self, stage):
            stages.append(stage)

    predict(inputs, tmp_path / "out", options, Recording())
    assert stages[0] == "loading the model"
    assert stages[1] == "predicting case_0 (in parallel: case_1)"
    assert stages[4] == "predicting case_3 (in parallel: case_1, case_2, case_4)"


@pytest.mark.parametrize("free", [None, 1, 10**9])
def test_an_image_is_read_ahead_only_if_there_is_memory_for_it(
    inputs, options, tmp_path, monkeypatch, free
):
    events = []
    reading, starting = stage.read_image, stage.start_prediction

    def read(paths):
        events.append("read")
        return reading(paths)

    def start(*given, **named):
        time.sleep(0.05)  # as networks take longer than reading does
        found = starting(*given, **named)
        events.append("predicted")
        return found

    monkeypatch.setattr(stage, "read_image", read)
    monkeypatch.setattr(stage, "start_prediction", start)
    monkeypatch.setattr(prefetching, "available_bytes", lambda: free)
    report = predict(inputs, tmp_path / "out", options, Silent())
    assert len(report.written) == 5
    if free == 1:
        assert events == ["read", "predicted"] * 5
    else:
        assert events[:3].count("read") == 2


def test_a_single_file_is_an_input_too(inputs, options, tmp_path):
    report = predict(inputs / "case_3.nii.gz", tmp_path / "out", options, Silent())
    assert [path.name for path in report.written] == ["case_3.nii.gz"]


def test_failed_cases_are_reported_and_the_others_continue(inputs, options, tmp_path):
    (inputs / "case_1.nii.gz").write_bytes(b"not an image")
    nothing = np.full((4, 4, 4), np.nan, np.float32)
    (inputs / "case_3.nii.gz").unlink()
    write_volume(nothing, inputs / "case_3.nrrd", spacing=(1, 1, 1))
    report = predict(inputs, tmp_path / "out", options, Silent())
    assert [failure.name for failure in report.failures] == ["case_1", "case_3"]
    assert "cannot be read" in report.failures[0].message
    assert "NaN" in report.failures[1].message
    assert [path.name for path in report.written] == [f"case_{i}.nii.gz" for i in (0, 2, 4)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"case_{i}.nii.gz" for i in (0, 2, 4)
    ]


def test_an_output_that_cannot_be_written_fails_alone(inputs, options, tmp_path):
    (tmp_path / "out" / "case_2.nii.gz").mkdir(parents=True)
    report = predict(inputs, tmp_path / "out", options, Silent())
    assert [failure.name for failure in report.failures] == ["case_2"]
    assert len(report.written) == 4


def test_existing_outputs_are_skipped(inputs, options, tmp_path):
    done = tmp_path / "out" / "case_2.nii.gz"
    done.parent.mkdir()
    done.write_bytes(b"finished before")
    skipping = PredictOptions(
        model=options.model, skip_existing=True, compute=Compute(device="cpu")
    )
    report = predict(inputs, tmp_path / "out", skipping, Silent())
    assert report.skipped == (done,)
    assert len(report.written) == 4
    assert done.read_bytes() == b"finished before"


def test_without_it_outputs_are_made_anew(inputs, options, tmp_path):
    done = tmp_path / "out" / "case_2.nii.gz"
    done.parent.mkdir()
    done.write_bytes(b"finished before")
    report = predict(inputs, tmp_path / "out", options, Silent())
    assert len(report.written) == 5
    assert done.read_bytes() != b"finished before"


def test_an_input_is_never_overwritten(inputs, options):
    with pytest.raises(DatasetError, match="would overwrite an input"):
        predict(inputs, inputs, options, Silent())


@pytest.mark.parametrize("is_there", [False, True])
def test_a_file_in_place_of_the_output_folder_is_refused(inputs, options, tmp_path, is_there):
    output = tmp_path / "labels.nii.gz"
    if is_there:
        output.write_bytes(b"kept")
    with pytest.raises(DatasetError, match="expected an output folder"):
        predict(inputs / "case_0.nii.gz", output, options, Silent())
    assert output.is_file() == is_there
    assert not output.is_dir()


def test_a_jpeg_becomes_a_png_and_a_picture_keeps_its_format(tmp_path, monkeypatch):
    configuration = tiny_configuration((8, 8))
    plan = tiny_plan(configuration, axis_order=(0, 1))
    folder = save_model(tmp_path / "work", plan, configuration, (0,))
    monkeypatch.setattr(
        stage, "load_selection", lambda choice, options: as_selected_model(threshold_model(plan))
    )
    voxels, _ = balls(np.random.default_rng(0), (24, 20))
    for name in ("a.jpg", "b.png", "c.bmp"):
        write_picture(voxels.astype(np.uint8), tmp_path / "inputs" / name)
    options = PredictOptions(model=folder, compute=Compute(device="cpu"))
    report = predict(tmp_path / "inputs", tmp_path / "out", options, Silent())
    assert [path.name for path in report.written] == ["a.png", "b.png", "c.bmp"]
    grey = voxels.astype(np.uint8)
    expected = np.select([grey > 8, grey > 4.5], [7, 3], 0)
    np.testing.assert_array_equal(io.imread(report.written[1]), expected)


def test_a_real_network_runs_from_its_folder(inputs, tmp_path):
    configuration = tiny_configuration((8, 8), name="2d")
    plan = tiny_plan(configuration, axis_order=(0, 1, 2))
    folder = save_model(tmp_path / "work", plan, configuration, (0, 1))
    options = PredictOptions(model=folder, compute=Compute(device="cpu"))
    report = predict(inputs / "case_0.nii.gz", tmp_path / "out", options, Silent())
    values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(report.written[0])))
    assert set(np.unique(values)) <= {0, 3, 7}


def test_a_full_disk_ends_the_run_at_once(inputs, options, tmp_path, monkeypatch):
    written = []

    def full(labels, image, path):
        written.append(path)
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(label_map, "write_labels", full)
    with pytest.raises(OSError, match="No space left"):
        predict(inputs, tmp_path / "out", options, Silent())
    assert len(written) < 5


def test_a_folder_that_is_closed_to_the_user_is_found_before_anything_is_computed(
    inputs, options, tmp_path, monkeypatch
):
    def closed(dir):  # noqa: A002  (called by this name)
        raise OSError(errno.EROFS, "Read-only file system", str(dir))

    monkeypatch.setattr(stage, "TemporaryFile", closed)
    monkeypatch.setattr(stage, "read_image", lambda _: pytest.fail("an image was read"))
    with pytest.raises(OSError, match="Read-only"):
        predict(inputs, tmp_path / "out", options, Silent())
