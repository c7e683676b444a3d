import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from synthetic import balls, write_volume

from autoseg.core.errors import CaseError, DocumentError, PlanError
from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.plan import Plan
from autoseg.documents.workspace import Workspace
from autoseg.preprocessing import memory
from autoseg.preprocessing.storage import open_case
from autoseg.stages import preprocess as stage
from autoseg.stages.plan.plan import plan
from autoseg.stages.preprocess import PreprocessReport, preprocess


class Spoken(Silent):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def say(self, message: str) -> None:
        self.messages.append(message)


def planned(dataset: Path, root: Path) -> Workspace:
    workspace = Workspace(root / "work")
    plan(dataset, workspace, workers=1, progress=Silent())
    return workspace


def prepare(workspace: Workspace, configuration: str | None = "3d_fullres") -> PreprocessReport:
    return preprocess(workspace, configuration=configuration, workers=1, progress=Silent())


@pytest.fixture
def dataset(volumes_dataset: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may damage."""
    return shutil.copytree(volumes_dataset, tmp_path / volumes_dataset.name)


@pytest.fixture
def workspace(dataset: Path, tmp_path: Path) -> Workspace:
    return planned(dataset, tmp_path)


NAMES = tuple(f"ball_{index:02d}" for index in range(6))


def test_every_case_is_prepared_once_and_reused_afterwards(workspace) -> None:
    first, second = prepare(workspace), prepare(workspace)
    assert (first.prepared, first.reused) == (NAMES, ())
    assert (second.prepared, second.reused) == ((), NAMES)
    case = open_case(workspace.preprocessed("3d_fullres") / "ball_00")
    assert case.record.restoration.full_shape == (12, 24, 20)
    assert case.shape == (10, 22, 18)  # without the empty border
    assert set(np.unique(case.read_classes())) == {0, 1, 2}
    assert min(map(len, case.foreground[1:])) > 0


def test_one_and_several_processes_prepare_the_same(workspace) -> None:
    prepare(workspace)
    folder = workspace.preprocessed("3d_fullres")
    alone = [open_case(folder / name).read_image() for name in NAMES]
    shutil.rmtree(folder)
    preprocess(workspace, configuration="3d_fullres", workers=2, progress=Silent())
    for name, image in zip(NAMES, alone, strict=True):
        assert np.array_equal(open_case(folder / name).read_image(), image)


def test_pictures_stay_two_dimensional(pictures_dataset, tmp_path) -> None:
    workspace = planned(pictures_dataset, tmp_path)
    assert len(prepare(workspace, None).prepared) == 6
    case = open_case(workspace.preprocessed("2d") / "disc_0")
    assert len(case.shape) == 2
    assert case.read_image().shape[0] == 3


def test_an_edited_spacing_redoes_everything_and_an_edited_batch_nothing(workspace) -> None:
    prepare(workspace)
    document = json.loads(workspace.plan.read_text())
    edited = [entry for entry in document["configurations"] if entry["data_name"] == "3d_fullres"]
    edited[0]["batch_size"] += 1
    workspace.plan.write_text(json.dumps(document))
    assert prepare(workspace).prepared == ()
    for entry in edited:
        entry["spacing"][0] *= 0.5
    workspace.plan.write_text(json.dumps(document))
    assert prepare(workspace).prepared == NAMES
    case = open_case(workspace.preprocessed("3d_fullres") / "ball_00")
    assert case.shape[0] == 20


def test_a_changed_file_redoes_its_case_alone(workspace, dataset) -> None:
    prepare(workspace)
    image, _ = balls(np.random.default_rng(9), (12, 24, 20))
    write_volume(image, dataset / "imagesTr" / "ball_00.nii.gz", spacing=(2.0, 1.0, 1.0))
    assert prepare(workspace).prepared == ("ball_00",)


def test_files_that_were_copied_or_touched_are_not_prepared_again(workspace, dataset) -> None:
    prepare(workspace)
    folder = workspace.preprocessed("3d_fullres")
    before = open_case(folder / "ball_00").record
    for path in dataset.rglob("*.nii.gz"):
        os.utime(path, ns=(0, 0))
    assert prepare(workspace).reused == NAMES
    after = open_case(folder / "ball_00").record
    assert after.content_key == before.content_key
    assert after.key != before.key  # so that the next time nothing is read


def test_prepared_cases_outlive_the_dataset(workspace, dataset) -> None:
    prepare(workspace)
    shutil.rmtree(dataset)
    assert prepare(workspace).reused == NAMES


def test_bad_cases_name_themselves_and_the_others_are_done(workspace, dataset) -> None:
    (dataset / "imagesTr" / "ball_02.nii.gz").write_bytes(b"not an image")
    (dataset / "labelsTr" / "ball_04.nii.gz").unlink()
    with pytest.raises(CaseError, match="2 of 6 cases") as caught:
        prepare(workspace)
    assert "ball_02: " in str(caught.value)
    assert "ball_04: " in str(caught.value)
    folder = workspace.preprocessed("3d_fullres")
    good = [name for name in NAMES if name not in ("ball_02", "ball_04")]
    assert sorted(path.name for path in folder.iterdir()) == good


def test_a_case_that_another_training_prepared_meanwhile_stays(workspace, monkeypatch) -> None:
    real, folder = stage.prepare_case, workspace.preprocessed("3d_fullres")

    def overtaken(case, plan, configuration):
        monkeypatch.setattr(stage, "prepare_case", real)
        prepare(workspace)
        (folder / case.name / "is_in_use").touch()
        return real(case, plan, configuration)

    monkeypatch.setattr(stage, "prepare_case", overtaken)
    prepare(workspace)
    assert (folder / "ball_00" / "is_in_use").exists()


def test_a_fingerprint_of_other_cases_names_the_command_that_mends_it(workspace) -> None:
    spec = store.load(DatasetSpec, workspace.dataset)
    store.save(spec.model_copy(update={"cases": spec.cases[1:]}), workspace.dataset)
    with pytest.raises(DocumentError, match=r"ball_00.*Run `autoseg plan DATASET`"):
        prepare(workspace)


def test_an_interrupted_run_goes_on_where_it_stopped(workspace, monkeypatch) -> None:
    real, done = stage.prepare, []

    def until_the_third(task: stage.PreparationTask) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(task.files.name)
        real(task)

    monkeypatch.setattr(stage, "prepare", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        prepare(workspace)
    monkeypatch.setattr(stage, "prepare", real)
    report = prepare(workspace)
    assert report.reused == NAMES[:2]
    assert report.prepared == NAMES[2:]


def test_too_little_memory_for_all_workers_is_reported(workspace, monkeypatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    spoken = Spoken()
    preprocess(workspace, configuration="3d_fullres", workers=4, progress=spoken)
    assert spoken.messages[0].startswith("Preparing cases 1 at a time instead of 4")


def test_a_dataset_without_a_plan_names_the_command(tmp_path) -> None:
    with pytest.raises(DocumentError, match="autoseg plan"):
        prepare(Workspace(tmp_path))


def test_an_unknown_configuration_lists_those_there_are(workspace) -> None:
    with pytest.raises(PlanError, match="3d_fullres"):
        prepare(workspace, "4d")


@pytest.mark.real
@pytest.mark.slow
def test_hippocampi_are_prepared_whole(real_data: Path, tmp_path: Path) -> None:
    workspace = planned(real_data / "Task04_Hippocampus", tmp_path)
    report = preprocess(workspace, configuration="3d_fullres", workers=2, progress=Silent())
    assert len(report.prepared) == 200
    made = store.load(Plan, workspace.plan)
    for name in report.prepared[:5]:
        case = open_case(workspace.preprocessed("3d_fullres") / name)
        assert case.record.restoration.prepared_spacing == made.configuration("3d_fullres").spacing
        assert abs(float(case.read_image().mean())) < 0.01
        assert set(np.unique(case.read_classes())) == {0, 1, 2}
