import json
import shutil
import zipfile

import nnunet_folder
import pytest

from autoseg.core.errors import ModelError
from autoseg.models.nnunet.sources import PLANS, ZipSource, open_source

MODEL = "Dataset007_Hand/nnUNetTrainer__nnUNetPlans__3d_fullres"


@pytest.fixture
def results(tmp_path):
    nnunet_folder.write_model(tmp_path / "results", folds=2)
    return tmp_path / "results"


@pytest.fixture
def exported(results, tmp_path):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(results.rglob("*")):
            archive.write(file, file.relative_to(results))
    return path


def test_a_folder_and_its_zip_hold_the_same_model(results, exported) -> None:
    folder, zipped = open_source(results / MODEL), open_source(exported)
    assert folder.models() == (".",)
    assert zipped.models() == (MODEL,)
    assert list(folder.checkpoints(".")) == list(zipped.checkpoints(MODEL)) == [0, 1]
    assert folder.read(".", PLANS) == zipped.read(MODEL, PLANS)


def test_the_folder_of_a_dataset_lists_its_models(results) -> None:
    assert open_source(results / "Dataset007_Hand").models() == (
        "nnUNetTrainer__nnUNetPlans__3d_fullres",
    )


def test_the_final_checkpoint_goes_before_the_best(results) -> None:
    fold = results / MODEL / "fold_0"
    shutil.copy(fold / "checkpoint_final.pth", fold / "checkpoint_best.pth")
    (results / MODEL / "fold_1" / "checkpoint_final.pth").rename(
        results / MODEL / "fold_1" / "checkpoint_best.pth"
    )
    found = open_source(results / MODEL).checkpoints(".")
    assert found == {0: "fold_0/checkpoint_final.pth", 1: "fold_1/checkpoint_best.pth"}


def test_a_network_of_all_cases_is_used_only_alone(results) -> None:
    shutil.copytree(results / MODEL / "fold_0", results / MODEL / "fold_all")
    assert list(open_source(results / MODEL).checkpoints(".")) == [0, 1]
    shutil.rmtree(results / MODEL / "fold_0")
    shutil.rmtree(results / MODEL / "fold_1")
    assert list(open_source(results / MODEL).checkpoints(".")) == ["all"]


@pytest.mark.parametrize("name", ["../out.json", "/etc/plans.json", "a\\..\\b", "C:/plans.json"])
def test_entries_that_lead_elsewhere_are_refused(tmp_path, name) -> None:
    path = tmp_path / "hostile.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "{}")
    with pytest.raises(ModelError, match="outside"):
        ZipSource(path)


def test_an_entry_that_swells_is_refused_before_it_is_read(tmp_path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/plans.json", bytes(20 * 2**20))
    with pytest.raises(ModelError, match="expand to"):
        open_source(path).read("m", PLANS)


def test_documents_of_unlikely_size_are_refused(results) -> None:
    with (results / MODEL / PLANS).open("r+b") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(ModelError, match="at most"):
        open_source(results / MODEL).read(".", PLANS)


def test_what_is_no_zip_and_what_is_not_there_are_refused(tmp_path) -> None:
    (tmp_path / "text.zip").write_text(json.dumps({}))
    with pytest.raises(ModelError, match="not a valid export"):
        open_source(tmp_path / "text.zip")
    with pytest.raises(ModelError, match="does not exist"):
        open_source(tmp_path / "nowhere")


def test_a_missing_document_is_named(results) -> None:
    (results / MODEL / "dataset.json").unlink()
    with pytest.raises(ModelError, match=r"has no dataset\.json"):
        open_source(results / MODEL).read(".", "dataset.json")
