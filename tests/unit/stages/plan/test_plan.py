import json
import shutil

import pytest
from fingerprints import small_volumes

from autoseg.architectures import ARCHITECTURES
from autoseg.core.errors import DocumentError, PlanError, UnknownComponent
from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.plan import Plan
from autoseg.documents.workspace import Workspace
from autoseg.planning.forecast import Machine
from autoseg.planning.planner import make_plan
from autoseg.stages.plan import plan as stage
from autoseg.stages.plan.plan import PlanRequest, plan, save_plan
from autoseg.stages.project import fold_cases, load_project


class Recorder(Silent):
    def __init__(self):
        self.messages = []

    def say(self, message):
        self.messages.append(message)


def small_plan(**settings):
    return make_plan(
        small_volumes(class_shares=(0.9, 0.08, 0.02), **settings),
        network=ARCHITECTURES["unet"],
        memory_gib=8.0,
        machine=Machine(None, 2),
    )


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "work")


def test_a_dataset_is_planned_and_the_plan_saved(volumes_dataset, workspace):
    made = plan(volumes_dataset, workspace, workers=1, progress=Silent())
    assert store.load(Plan, workspace.plan) == made
    assert made.channel_names == ("MRI",)
    assert made.configuration("3d_fullres").spacing == (2.0, 1.0, 1.0)


def test_pictures_without_a_description_are_planned(pictures_dataset, workspace):
    made = plan(
        pictures_dataset, workspace, PlanRequest(memory_gib=4.0), workers=1, progress=Silent()
    )
    assert made.num_axes == 2
    assert [normalizer.kind for normalizer in made.configuration(None).normalizers] == ["rgb"] * 3


@pytest.mark.parametrize("choice", [{"network": "transnet"}, {"loss": "hinge"}])
def test_an_unknown_component_is_refused_before_any_case_is_read(
    choice, volumes_dataset, workspace
):
    with pytest.raises(UnknownComponent, match="Choose one of"):
        plan(volumes_dataset, workspace, PlanRequest(**choice), workers=1, progress=Silent())
    assert not workspace.root.exists()


def test_weights_by_frequency_are_refused_for_a_loss_without_class_weights() -> None:
    with pytest.raises(PlanError, match="the loss dice has no class weights"):
        PlanRequest(loss="dice", loss_weighting="frequency")
    for loss, weighting in (("dice", "equal"), ("dice_ce", "frequency"), (None, "frequency")):
        assert PlanRequest(loss=loss, loss_weighting=weighting).loss_weighting == weighting


def test_planning_again_leaves_an_unchanged_plan_alone(workspace):
    save_plan(small_plan(), workspace, progress=Silent())
    before = workspace.plan.stat().st_mtime_ns
    progress = Recorder()
    save_plan(small_plan(), workspace, progress=progress)
    assert workspace.plan.stat().st_mtime_ns == before
    assert progress.messages == []


def test_planning_again_renames_an_edited_plan(workspace):
    original = small_plan()
    for batch in (3, 4):
        configurations = tuple(
            configuration.model_copy(update={"batch_size": batch})
            for configuration in original.configurations
        )
        edited = original.model_copy(update={"configurations": configurations})
        store.save(edited, workspace.plan)
        progress = Recorder()
        save_plan(original, workspace, progress=progress)
        assert store.load(Plan, workspace.plan) == original
    kept = workspace.root / "plan.previous-2.json"
    assert json.loads(kept.read_text())["configurations"][0]["batch_size"] == 4
    assert (workspace.root / "plan.previous-1.json").exists()
    assert "plan.previous-2.json" in progress.messages[0]


def test_a_plan_that_differs_only_in_reasons_is_replaced(workspace):
    original = small_plan()
    reasons = [entry.model_copy(update={"reason": "slower"}) for entry in original.decisions]
    store.save(original.model_copy(update={"decisions": tuple(reasons)}), workspace.plan)
    progress = Recorder()
    save_plan(original, workspace, progress=progress)
    assert store.load(Plan, workspace.plan) == original
    assert [path.name for path in workspace.root.iterdir()] == ["plan.json"]
    assert progress.messages == []


def test_planning_again_keeps_a_plan_that_cannot_be_read(workspace):
    workspace.root.mkdir()
    workspace.plan.write_text("{ broken by hand")
    save_plan(small_plan(), workspace, progress=Silent())
    assert (workspace.root / "plan.previous-1.json").read_text() == "{ broken by hand"


def set_in(*keys, value):
    """Return an edit that sets one value of the 3-D configuration."""

    def edit(document):
        target = document["configurations"][1]
        for key in keys[:-1]:
            target = target[key]
        target[keys[-1]] = value

    return edit


def set_top(key, value):
    def edit(document):
        document[key] = value

    return edit


EDITS = {
    "patch_not_divisible": (
        set_in("architecture", "topology", "patch_shape", value=[40, 57, 40]),
        r"axis 1 \(57 voxels\) must be a multiple of 8; try 56",
    ),
    "patch_of_four_axes": (
        set_in("architecture", "topology", "patch_shape", value=[8, 8, 8, 8]),
        "patch_shape needs 2 or 3 axes",
    ),
    "too_few_kernels": (
        set_in("architecture", "topology", "kernels", value=[[3, 3, 3]]),
        "strides and kernels need one entry per stage",
    ),
    "even_kernel": (
        set_in("architecture", "topology", "kernels", value=[[2, 3, 3]] * 4),
        "kernel sizes must be odd",
    ),
    "negative_spacing": (
        set_in("spacing", value=[-1.0, 1.0, 1.0]),
        r"spacing\.0: Input should be greater than .*; found -1\.0",
    ),
    "spacing_of_two_axes": (
        set_in("spacing", value=[1.0, 1.0]),
        "spacing needs 3 entries, one per patch axis",
    ),
    "spacing_of_shared_data": (
        set_in("spacing", value=[2.0, 1.0, 1.0]),
        "3d_fullres and 3d_compact share the prepared data '3d_fullres', but differ in spacing",
    ),
    "unknown_loss": (
        set_in("loss", value="hinge"),
        "There is no loss called 'hinge'. Choose one of: .*dice_ce",
    ),
    "unknown_network": (
        set_in("architecture", "kind", value="transnet"),
        "There is no architecture called 'transnet'",
    ),
    "wrong_number_of_class_weights": (
        set_in("loss", "class_weights", value=[1.0, 2.0]),
        "found 2 class_weights for 3 classes",
    ),
    "features_of_other_depth": (
        set_in("architecture", "features", value=[16, 32]),
        "topology of 4 stages needs 4 features",
    ),
    "misspelt_field": (
        set_in("batchsize", value=4),
        r"configurations\.1\.batchsize: Extra inputs are not permitted",
    ),
    "batch_of_none": (
        set_in("batch_size", value=0),
        "batch_size: Input should be greater than or equal to 1; found 0",
    ),
    "default_that_is_not_there": (
        set_top("default_configuration", "3d_lowres"),
        "default_configuration '3d_lowres' must be one of the configurations",
    ),
    "mirroring_along_an_axis_that_is_not_there": (
        set_in("recipe", "augmentations", value=[{"kind": "mirroring", "axes": [0, 3]}]),
        r"found mirroring along \[0, 3\]; expected patch axes from 0 to 2",
    ),
    "name_that_leads_elsewhere": (
        set_in("name", value="../3d"),
        r"name: not a valid folder name.*; found '\.\./3d'",
    ),
    "data_elsewhere": (
        set_in("data_name", value="/data"),
        "data_name: not a valid folder name.*; found '/data'",
    ),
    "axis_twice": (set_top("axis_order", [0, 0, 1]), "axis_order must be a permutation of 0 … 2"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_that_cannot_work_is_refused_with_a_sentence(name, workspace):
    edit, sentence = EDITS[name]
    store.save(small_plan(), workspace.plan)
    document = json.loads(workspace.plan.read_text())
    edit(document)
    workspace.plan.write_text(json.dumps(document))
    with pytest.raises(DocumentError, match=sentence) as refusal:
        store.load(Plan, workspace.plan)
    assert str(workspace.plan) in str(refusal.value)


def test_an_edit_that_can_work_is_accepted(workspace):
    store.save(small_plan(), workspace.plan)
    document = json.loads(workspace.plan.read_text())
    set_in("architecture", "topology", "patch_shape", value=[32, 64, 32])(document)
    set_in("batch_size", value=7)(document)
    workspace.plan.write_text(json.dumps(document))
    configuration = store.load(Plan, workspace.plan).configuration("3d_fullres")
    assert configuration.topology.patch_shape == (32, 64, 32)
    assert configuration.batch_size == 7


def test_a_missing_plan_names_the_command_that_makes_it(workspace):
    with pytest.raises(DocumentError, match="autoseg plan DATASET"):
        store.load(Plan, workspace.plan)


def test_configurations_predicted_to_exceed_the_memory_are_reported(
    volumes_dataset, workspace, monkeypatch
):
    def tight(*arguments, **options):
        made = make_plan(*arguments, **options)
        wide = made.configuration("3d_fullres").model_copy(update={"predicted_memory_gib": 5.0})
        return made.model_copy(
            update={"configurations": (wide,), "default_configuration": "3d_fullres"}
        )

    monkeypatch.setattr(stage, "make_plan", tight)
    progress = Recorder()
    plan(volumes_dataset, workspace, PlanRequest(memory_gib=4.0), workers=1, progress=progress)
    (note,) = [message for message in progress.messages if "may need" in message]
    assert note.startswith("note: 3d_fullres may need up to 5.0 GiB, sized to 4.")
    assert note.endswith("--memory 3.2.")


def test_a_warning_reports_that_a_single_case_is_scored_and_trained_on(volumes_dataset, tmp_path):
    root = shutil.copytree(volumes_dataset, tmp_path / "one")
    (root / "dataset.json").unlink()
    for path in sorted((root / "imagesTr").iterdir())[1:]:
        path.unlink()
        (root / "labelsTr" / path.name).unlink()
    workspace = Workspace(tmp_path / "work")
    plan(root, workspace, workers=1, progress=Silent())
    progress = Recorder()
    fold_cases(load_project(workspace, Silent()), 0, progress)
    assert len(progress.messages) == 1
    assert "scored on its training cases" in progress.messages[0]
