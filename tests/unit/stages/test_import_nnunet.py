import json
import shutil
import tempfile
from pathlib import Path

import nnunet_folder
import numpy as np
import pytest
import SimpleITK
from full_disk import fill_disk
from synthetic import write_volume
from typer.testing import CliRunner

from autoseg.cli import app
from autoseg.core.compute import Compute
from autoseg.core.errors import DiskError, ModelError
from autoseg.core.progress import Silent
from autoseg.models.archive.reader import ModelArchive
from autoseg.readers import read_image
from autoseg.stages.import_nnunet import ImportOptions, import_nnunet
from autoseg.stages.predict.predict import PredictOptions, predict

FLIPPED = np.diag([-1.0, -1.0, 1.0])


@pytest.fixture
def model(tmp_path):
    return nnunet_folder.write_model(tmp_path / "results", folds=2)


def imported(model, tmp_path, **options):
    output = tmp_path / "model.autoseg"
    import_nnunet(model, output, ImportOptions(**options), Silent())
    return output


def test_the_command_writes_a_file_that_predicts(model, tmp_path) -> None:
    output = tmp_path / "hand.autoseg"
    shown = CliRunner().invoke(app, ["import", "nnunet", str(model), "-o", str(output)])
    assert shown.exit_code == 0, shown.output
    card = ModelArchive(output).read_card()
    assert card.origin == "nnU-Net v2 (nnUNetTrainer, nnUNetPlans, Dataset007_Hand)"
    random = np.random.default_rng(0)
    image = random.normal(40, 20, (7, 12, 13)).astype(np.float32)
    write_volume(image, tmp_path / "in" / "case.nii.gz", spacing=(2.0, 1.0, 1.0))
    options = PredictOptions(
        model=output, compute=Compute(device="cpu", precision="float32", workers=1)
    )
    report = predict(tmp_path / "in", tmp_path / "out", options, Silent())
    assert not report.failures
    found = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(report.written[0])))
    assert found.shape == image.shape
    assert set(np.unique(found)) <= {0, 1, 2}
    assert len(np.unique(found)) > 1


def test_a_full_disk_is_named_and_other_folders_need_no_space(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "does not exist"))
    output = imported(model, tmp_path)
    before = output.read_bytes()
    fill_disk(monkeypatch)
    with pytest.raises(DiskError, match=r"No space left on device .*model\.autoseg"):
        imported(model, tmp_path)
    assert output.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"model.autoseg", "results"}


def test_images_are_used_as_they_are_stored(model, tmp_path) -> None:
    output = imported(model, tmp_path)
    image = np.random.default_rng(0).normal(40, 20, (7, 12, 13)).astype(np.float32)
    for name, direction in (("plain", np.eye(3)), ("flipped", FLIPPED)):
        path = tmp_path / "in" / f"{name}.nii.gz"
        write_volume(image, path, spacing=(2.0, 1.0, 1.0), direction=direction)
    options = PredictOptions(
        model=output, compute=Compute(device="cpu", precision="float32", workers=1)
    )
    report = predict(tmp_path / "in", tmp_path / "out", options, Silent())
    flipped, plain = (
        SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))) for path in report.written
    )
    np.testing.assert_array_equal(flipped, plain)


def test_an_image_turns_to_where_nnunet_puts_it(tmp_path) -> None:
    path = tmp_path / "case.nii.gz"
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    write_volume(values, path, spacing=(3.0, 2.0, 1.0), direction=FLIPPED)
    image = read_image((path,))
    stored = image.reoriented("stored")
    np.testing.assert_array_equal(stored.voxels[0], values)
    reoriented = sitk_reoriented(path, "RAS")
    np.testing.assert_array_equal(image.reoriented("SAR").voxels[0], reoriented)
    assert stored.reoriented("SPL").voxels.tobytes() == image.voxels.tobytes()
    assert image.reoriented("SPL") is image


def sitk_reoriented(path, orientation):
    image = SimpleITK.ReadImage(str(path))
    return SimpleITK.GetArrayFromImage(SimpleITK.DICOMOrient(image, orientation))


def test_an_earlier_stage_is_found_beside_the_later_one(tmp_path) -> None:
    plans = nnunet_folder.plans()
    plans["configurations"]["heir"]["previous_stage"] = "3d_fullres"
    later = nnunet_folder.write_model(tmp_path / "results", plan=plans, name="heir")
    import torch

    tensors = nnunet_folder.weights()
    stem = torch.randn(nnunet_folder.FEATURES[0], 3, *nnunet_folder.KERNELS[0])
    tensors["encoder.stages.0.0.convs.0.conv.weight"] = stem
    content = nnunet_folder.checkpoint(network_weights=tensors, init_args={"configuration": "heir"})
    torch.save(content, later / "fold_0" / "checkpoint_final.pth")
    with pytest.raises(ModelError, match=r"its previous stage .* was not found"):
        imported(later, tmp_path)
    nnunet_folder.write_model(tmp_path / "results", plan=plans)
    manifest = import_nnunet(later, tmp_path / "model.autoseg", ImportOptions(), Silent())
    assert {"heir/plan.json", "3d_fullres/plan.json"} <= {part.name for part in manifest.parts}
    both = later.parent
    again = imported(both, tmp_path, configuration="heir")
    assert again.read_bytes() == (tmp_path / "model.autoseg").read_bytes()
    with pytest.raises(ModelError, match="several models"):
        imported(both, tmp_path)
    with pytest.raises(ModelError, match="no '2d'"):
        imported(both, tmp_path, configuration="2d")


def test_an_earlier_stage_of_another_trainer_is_not_taken(tmp_path) -> None:
    plans = nnunet_folder.plans()
    plans["configurations"]["heir"]["previous_stage"] = "3d_fullres"
    later = nnunet_folder.write_model(tmp_path / "results", plan=plans, name="heir")
    import torch

    content = nnunet_folder.checkpoint(init_args={"configuration": "heir"})
    torch.save(content, later / "fold_0" / "checkpoint_final.pth")
    other = "nnUNetTrainerNoMirroring__nnUNetPlans"
    nnunet_folder.write_model(tmp_path / "results", plan=plans, training=other)
    with pytest.raises(ModelError, match="stage 'nnUNetTrainer__nnUNetPlans__3d_fullres' was"):
        imported(later.parent, tmp_path, configuration="heir")


def test_of_two_trainings_of_a_configuration_one_is_named_in_full(tmp_path) -> None:
    first = nnunet_folder.write_model(tmp_path / "results")
    other = "nnUNetTrainer__nnUNetResEncUNetMPlans"
    second = nnunet_folder.write_model(tmp_path / "results", training=other)
    for options in ({}, {"configuration": "3d_fullres"}):
        with pytest.raises(ModelError, match=rf"several models.*{first.name}.*{second.name}"):
            imported(first.parent, tmp_path, **options)
    imported(first.parent, tmp_path, configuration=second.name)


def test_the_current_folder_may_be_the_model(model, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(model)
    output = tmp_path / "model.autoseg"
    import_nnunet(Path(), output, ImportOptions(configuration="3d_fullres"), Silent())
    assert output.is_file()


@pytest.mark.parametrize("place", [".", "crossval_results_folds_0_1"])
def test_post_processing_is_said_not_to_be_imported(place, model, tmp_path) -> None:
    class Recorder(Silent):
        said = ()

        def say(self, message):
            self.said = (*self.said, message)

    (model / place).mkdir(exist_ok=True)
    (model / place / "postprocessing.pkl").write_bytes(b"junk")
    progress = Recorder()
    import_nnunet(model, tmp_path / "model.autoseg", ImportOptions(), progress)
    assert any("post-processing is a pickle" in message for message in progress.said)


def test_a_folder_without_a_model_is_refused(tmp_path) -> None:
    with pytest.raises(ModelError, match="holds no trained nnU-Net model"):
        imported(tmp_path, tmp_path)


def test_the_output_needs_its_ending(model, tmp_path) -> None:
    with pytest.raises(ModelError, match="does not end in"):
        import_nnunet(model, tmp_path / "model.zip", ImportOptions(), Silent())


def test_folds_of_two_trainings_are_not_mixed(model, tmp_path) -> None:
    import torch

    other = nnunet_folder.checkpoint(1, trainer_name="OtherTrainer")
    torch.save(other, model / "fold_1" / "checkpoint_final.pth")
    with pytest.raises(ModelError, match="trained differently"):
        imported(model, tmp_path)


def test_damaged_plans_are_explained(model, tmp_path) -> None:
    plans = json.loads((model / "plans.json").read_text())
    del plans["configurations"]["3d_fullres"]["spacing"]
    (model / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(ModelError, match="spacing"):
        imported(model, tmp_path)


def test_what_is_left_out_is_said(model, tmp_path) -> None:
    (model / "fold_0" / "checkpoint_final.pth").rename(model / "fold_0" / "checkpoint_best.pth")
    shutil.rmtree(model / "fold_1")
    shown = CliRunner().invoke(
        app, ["import", "nnunet", str(model), "-o", str(tmp_path / "best.autoseg")]
    )
    assert "using fold_0/checkpoint_best.pth" in shown.output
