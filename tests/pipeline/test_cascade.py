"""A coarse stage and a cascade that refines it, from the edited plan to the label map."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from fakes import load_model
from safetensors.torch import load_file, save_file

from autoseg.augmentations.cascade_components import CascadeComponents
from autoseg.augmentations.cascade_morphology import CascadeMorphology
from autoseg.core.case import PreparedImage
from autoseg.core.compute import Compute
from autoseg.core.errors import ModelError, TrainingError
from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.report import Report
from autoseg.documents.splits import Splits
from autoseg.documents.workspace import Workspace
from autoseg.inference.prediction import predict_classes
from autoseg.inference.selected_model import ReadyModel
from autoseg.models.loader import find_model
from autoseg.preprocessing.storage import StoredCase, open_cascade_input, open_case
from autoseg.stages.export import ExportOptions, export
from autoseg.stages.predict.predict import PredictOptions, predict
from autoseg.stages.preprocess import prepare_cases
from autoseg.stages.project import load_project
from autoseg.stages.train.cascade import (
    note_on_newer_stage,
    with_cascade_inputs,
)
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest
from autoseg.stages.train.train import train

CPU = Compute(device="cpu", workers=1)


def staged(plan: Plan) -> Plan:
    """Return the plan with a coarse stage and a cascade instead of its only configuration."""
    single = plan.configuration(None)
    coarse = single.model_copy(
        update={
            "name": "coarse",
            "data_name": "coarse",
            "spacing": tuple(1.5 * mm for mm in single.spacing),
        }
    )
    cascade = single.model_copy(
        update={
            "name": "cascade",
            "previous_stage": "coarse",
            "architecture": single.architecture.model_copy(update={"in_channels": 1 + 2}),
            "recipe": single.recipe.model_copy(
                update={
                    "augmentations": (
                        *single.recipe.augmentations,
                        CascadeMorphology(probability=1.0),
                        CascadeComponents(probability=1.0),
                    )
                }
            ),
        }
    )
    return Plan.model_validate_json(
        plan.model_copy(
            update={"configurations": (coarse, cascade), "default_configuration": "cascade"}
        ).model_dump_json()
    )


def trained(workspace: Workspace, name: str, fold: int, iterations: int = 2):
    request = TrainRequest(
        fold=fold,
        configuration=name,
        length=TrainingDuration(iterations=iterations),
        compute=Compute(device="cpu", workers=0),
    )
    return train(workspace, request, progress=Silent())


@pytest.fixture(scope="module")
def staged_work(planned_volumes: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a work folder with two folds, both trained for the coarse stage."""
    root = tmp_path_factory.mktemp("cascade") / "work"
    workspace = Workspace(shutil.copytree(planned_volumes.root, root))
    store.save(staged(store.load(Plan, workspace.plan)), workspace.plan)
    splits = load_project(workspace, Silent()).splits
    names = [case for fold in splits.folds for case in fold.validation]
    halves = tuple(sorted(names)[:3]), tuple(sorted(names)[3:])
    folds = [{"train": halves[1 - held_out], "validation": halves[held_out]} for held_out in (0, 1)]
    store.save(Splits(seed=0, reason="two halves", folds=folds), workspace.splits)
    for fold in (0, 1):
        trained(workspace, "coarse", fold, iterations=8)
    return workspace


@pytest.fixture
def work(staged_work: Workspace, tmp_path: Path) -> Workspace:
    return Workspace(shutil.copytree(staged_work.root, tmp_path / "work"))


@pytest.fixture(scope="module")
def trained_work(staged_work: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a work folder in which a fold of the cascade is trained too; not to be changed."""
    root = tmp_path_factory.mktemp("trained_cascade") / "work"
    workspace = Workspace(shutil.copytree(staged_work.root, root))
    trained(workspace, "cascade", 0)
    return workspace


def configuration(workspace: Workspace, name: str) -> Configuration:
    return store.load(Plan, workspace.plan).configuration(name)


def cascade_input_files(workspace: Workspace) -> list[Path]:
    return sorted(
        workspace.cascade_inputs("coarse", configuration(workspace, "cascade").data_name).iterdir()
    )


def test_a_cascade_is_trained_scored_and_predicted_with(
    trained_work: Workspace, volumes_dataset: Path, tmp_path: Path
):
    scored = trained_work.fold("cascade", 0) / "validation" / "evaluation.json"
    report = store.load(Report, scored)
    assert len(report.cases) == 3
    assert not report.issues
    image = sorted((volumes_dataset / "imagesTr").iterdir())[0]
    options = PredictOptions(trained_work.root, compute=CPU)
    done = predict(image, tmp_path / "out", options, Silent())
    assert done.failures == ()
    predicted, original = SimpleITK.ReadImage(done.written[0]), SimpleITK.ReadImage(image)
    assert predicted.GetSize() == original.GetSize()
    assert predicted.GetSpacing() == original.GetSpacing()


def test_a_model_file_holds_both_stages_and_predicts_as_the_folder_does(
    trained_work: Workspace, volumes_dataset: Path, tmp_path: Path
):
    file = tmp_path / "cascade.autoseg"
    manifest = export(trained_work.models / "cascade", file, ExportOptions())
    assert (manifest.members, manifest.stages) == (("cascade",), ("coarse",))
    image = sorted((volumes_dataset / "imagesTr").iterdir())[1]
    found = []
    for model in (file, trained_work.models / "cascade"):
        options = PredictOptions(model, compute=CPU)
        done = predict(image, tmp_path / f"out_{model.name}", options, Silent())
        found.append(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(done.written[0])))
    assert np.array_equal(*found)
    previous = load_model(file, device="cpu").previous
    assert previous is not None
    assert len(previous.networks) == 2


def test_what_another_configuration_refines_is_not_predicted_with_unasked(trained_work: Workspace):
    assert find_model(trained_work.root).name == "cascade"


def test_training_says_which_folds_of_the_previous_stage_it_needs(work: Workspace):
    shutil.rmtree(work.fold("coarse", 1))
    with pytest.raises(TrainingError) as error:
        trained(work, "cascade", 0)
    assert f"--work {work.root} --configuration coarse --fold 1" in str(error.value)
    assert "--fold 0" not in str(error.value)


def test_a_case_that_no_fold_holds_out_is_named(work: Workspace):
    splits = store.load(Splits, work.splits)
    first = splits.folds[0]
    fewer = first.model_copy(update={"validation": first.validation[1:]})
    store.save(splits.model_copy(update={"folds": (fewer, splits.folds[1])}), work.splits)
    with pytest.raises(TrainingError, match=first.validation[0]):
        trained(work, "cascade", 1)


def test_a_previous_stage_of_another_plan_is_refused(work: Workspace):
    plan = store.load(Plan, work.plan)
    coarse, cascade = plan.configurations
    other = coarse.model_copy(update={"batch_size": 3})
    store.save(plan.model_copy(update={"configurations": (other, cascade)}), work.plan)
    with pytest.raises(TrainingError, match="trained with another coarse"):
        trained(work, "cascade", 0)


def made(workspace: Workspace) -> dict[str, StoredCase]:
    """Prepare the cascade's cases as `train` does, without training."""
    project = load_project(workspace, Silent())
    cases = prepare_cases(project, "cascade", workers=1, progress=Silent()).cases
    cascade = project.plan.configuration("cascade")
    return with_cascade_inputs(project, cascade, tuple(cases.values()), CPU, Silent())


def test_each_case_is_predicted_by_the_fold_that_held_it_out(work: Workspace):
    prepared = made(work)
    splits = store.load(Splits, work.splits)
    differing = 0
    for fold, cases in enumerate(splits.folds):
        own, other = (
            ReadyModel.of(load_model(work.fold("coarse", number), device="cpu"))
            for number in (fold, 1 - fold)
        )
        for name in cases.validation:
            case = prepared[name]
            stored = case.read_cascade_input((0,) * 3, case.shape)
            coarse = open_case(work.preprocessed("coarse") / name)
            image = onto_next_grid(coarse, case)
            assert np.array_equal(stored, predict_classes(image, own))
            differing += not np.array_equal(stored, predict_classes(image, other))
    assert differing > 0


def onto_next_grid(coarse: StoredCase, case: StoredCase) -> PreparedImage:
    way = coarse.record.restoration.onto(case.record.restoration)
    return PreparedImage(coarse.read_image(), way)


def test_only_what_is_missing_or_from_other_weights_is_predicted_anew(work: Workspace):
    made(work)
    written = {
        folder: (folder / "cascade_input.json").stat().st_mtime_ns
        for folder in cascade_input_files(work)
    }
    shutil.rmtree(cascade_input_files(work)[0])
    trained_again = work.fold("coarse", 1)
    shutil.rmtree(trained_again)
    trained(work, "coarse", 1, iterations=1)
    made(work)
    held_out = set(store.load(Splits, work.splits).folds[1].validation)
    redone = {
        folder.name
        for folder in cascade_input_files(work)
        if (folder / "cascade_input.json").stat().st_mtime_ns != written[folder]
    }
    assert redone == held_out | {cascade_input_files(work)[0].name}


def test_a_finished_fold_says_that_its_previous_stage_was_trained_again(
    trained_work: Workspace, tmp_path: Path
):
    work = Workspace(shutil.copytree(trained_work.root, tmp_path / "work"))
    cascade = configuration(work, "cascade")
    assert note_on_newer_stage(work, cascade, 0) is None
    finished = work.fold("cascade", 0) / "weights.safetensors"
    again = work.fold("coarse", 1) / "weights.safetensors"
    os.utime(again, (finished.stat().st_mtime + 5,) * 2)
    assert note_on_newer_stage(work, cascade, 0) is None
    save_file({name: tensor + 1 for name, tensor in load_file(again).items()}, again)
    note = note_on_newer_stage(work, cascade, 0)
    assert note is not None
    assert "fold_1 of coarse finished after this fold" in note
    assert note_on_newer_stage(work, configuration(work, "coarse"), 1) is None


def test_a_damaged_cascade_input_counts_as_missing(work: Workspace):
    made(work)
    (cascade_input_files(work)[0] / "cascade_input.json").write_text("{")
    assert open_cascade_input(cascade_input_files(work)[0]) is None
    made(work)
    assert open_cascade_input(cascade_input_files(work)[0]) is not None


def test_a_held_out_case_is_scored_with_the_same_fold_of_the_previous_stage(
    trained_work: Workspace,
):
    work = trained_work
    model = load_model(work.fold("cascade", 0), device="cpu")
    assert model.previous is not None
    assert len(model.previous.networks) == 1
    expected = load_model(work.fold("coarse", 0), device="cpu").networks[0]
    found = model.previous.networks[0]
    for name, tensor in expected.state_dict().items():
        assert np.array_equal(tensor.numpy(), found.state_dict()[name].numpy())
    everything = load_model(work.models / "cascade", device="cpu")
    assert everything.previous is not None
    assert len(everything.previous.networks) == 2


def test_a_cascade_without_its_previous_stage_is_refused(trained_work: Workspace, tmp_path: Path):
    alone = shutil.copytree(trained_work.models / "cascade", tmp_path / "models" / "cascade")
    with pytest.raises(ModelError, match="coarse"):
        load_model(alone, device="cpu")
