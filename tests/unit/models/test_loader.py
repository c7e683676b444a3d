"""Trained models are found and loaded; wrong paths raise clear errors."""

import shutil
from pathlib import Path

import pytest
import torch
from fakes import load_model, save_model, tiny_configuration, tiny_plan

from autoseg.core.errors import DocumentError, ModelError
from autoseg.documents.model import WEIGHTS_NAME
from autoseg.documents.plan import Configuration, Plan
from autoseg.models import networks
from autoseg.models.loader import find_model, trained_folds

FLAT = tiny_configuration((8, 8), name="2d")
SOLID = tiny_configuration((8, 8, 8), name="3d_fullres")
PLAN = tiny_plan(SOLID, FLAT, axis_order=(0, 1, 2))


@pytest.fixture
def works(tmp_path):
    """Return the folder of work folders."""
    return tmp_path / "autoseg_work"


def test_the_only_model_needs_no_name(works):
    folder = save_model(works / "spleen", PLAN, FLAT, (0,))
    assert find_model(None, work_root=works) == folder


def test_of_several_configurations_the_plans_default_is_taken(works):
    save_model(works / "spleen", PLAN, FLAT, (0,))
    default = save_model(works / "spleen", PLAN, SOLID, (0,))
    assert find_model(None, work_root=works) == default
    assert find_model(works / "spleen") == default
    assert find_model(works / "spleen" / "models") == default


def test_a_default_without_a_finished_fold_is_passed_over(works):
    flat = save_model(works / "spleen", PLAN, FLAT, (0,))
    save_model(works / "spleen", PLAN, SOLID, ())
    assert find_model(works / "spleen") == flat


def test_several_datasets_are_listed_with_what_to_type(works):
    for name in ("liver", "spleen"):
        save_model(works / name, PLAN, FLAT, (0,))
    with pytest.raises(ModelError) as caught:
        find_model(None, work_root=works)
    assert f"--model {works / 'liver'}\n" in str(caught.value)
    assert f"--model {works / 'spleen'}" in str(caught.value)


def test_a_folder_of_work_folders_is_searched_like_the_usual_one(works):
    folder = save_model(works / "spleen", PLAN, FLAT, (0,))
    assert find_model(works) == folder
    save_model(works / "liver", PLAN, FLAT, (0,))
    with pytest.raises(ModelError, match="several datasets"):
        find_model(works)


def test_several_configurations_without_the_default_are_listed(works):
    other = tiny_configuration((4, 4), name="2d_small")
    plan = tiny_plan(SOLID, FLAT, other, axis_order=(0, 1, 2))
    flat = save_model(works / "spleen", plan, FLAT, (0,))
    small = save_model(works / "spleen", plan, other, (0,))
    with pytest.raises(ModelError) as caught:
        find_model(works / "spleen")
    assert f"--model {flat}" in str(caught.value)
    assert f"--model {small}" in str(caught.value)


def test_without_any_model_the_next_step_is_named(works):
    with pytest.raises(ModelError, match="Run `autoseg train DATASET` first"):
        find_model(None, work_root=works)


def test_an_unfinished_training_is_told_from_none(works):
    folder = save_model(works / "spleen", PLAN, FLAT, ())
    (folder / "fold_0").mkdir()
    for path in (None, works / "spleen", folder):
        with pytest.raises(ModelError, match=r"fold_0 is not finished: run the same"):
            find_model(path, work_root=works)


def test_a_path_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="is not a folder or file"):
        find_model(tmp_path / "nowhere")


def test_all_trained_folds_are_loaded_and_a_single_one_on_request(works):
    folder = save_model(works / "spleen", PLAN, FLAT, (0, 3))
    assert trained_folds(folder) == (0, 3)
    assert len(load_model(folder, device="cpu").networks) == 2
    assert len(load_model(folder, device="cpu", folds=(3,)).networks) == 1
    assert find_model(folder / "fold_3") == folder / "fold_3"
    by_path = load_model(folder / "fold_3", device="cpu").networks
    by_number = load_model(folder, device="cpu", folds=(3,)).networks
    assert len(by_path) == 1
    for name, weight in by_number[0].state_dict().items():
        torch.testing.assert_close(by_path[0].state_dict()[name], weight)


def test_the_current_folder_may_be_the_fold(works, monkeypatch):
    folder = save_model(works / "spleen", PLAN, FLAT, (0, 3))
    monkeypatch.chdir(folder / "fold_3")
    model = load_model(find_model(Path()), device="cpu")
    assert len(model.networks) == 1


def test_a_fold_under_another_name_is_refused(works):
    folder = save_model(works / "spleen", PLAN, FLAT, (0,))
    renamed = (folder / "fold_0").rename(folder / "best")
    with pytest.raises(ModelError, match=r"is not named fold_<number>"):
        load_model(find_model(renamed), device="cpu")


def test_a_case_called_like_a_fold_is_no_unfinished_training(works):
    (works / "spleen" / "preprocessed" / "3d_fullres" / "fold_7").mkdir(parents=True)
    with pytest.raises(ModelError, match="Run `autoseg train DATASET` first"):
        find_model(None, work_root=works)


def test_device_precision_and_mirroring_are_those_of_the_options_and_the_training(works):
    folder = save_model(works / "spleen", PLAN, SOLID, (0,))
    model = load_model(folder, device="cpu", precision="bfloat16")
    assert (model.device.type, model.dtype, model.mirror_axes) == ("cpu", torch.bfloat16, (0, 1))
    assert load_model(folder, device="cpu", use_mirroring=False).mirror_axes == ()


def test_a_fold_that_is_not_trained_is_named(works):
    folder = save_model(works / "spleen", PLAN, FLAT, (0, 1))
    with pytest.raises(ModelError, match=r"^fold 4 of .* is not trained .*; trained: 0, 1\. "):
        load_model(folder, device="cpu", folds=(0, 4))
    with pytest.raises(ModelError, match=r"^folds 2, 4 of .* are not trained to the end"):
        load_model(folder, device="cpu", folds=(4, 2))


def test_no_fold_at_all_is_refused_with_the_trained_ones(works):
    folder = save_model(works / "spleen", PLAN, FLAT, (0, 1))
    with pytest.raises(ModelError, match=r"^no fold of .* was chosen.* trained folds \(0, 1\)"):
        load_model(folder, device="cpu", folds=())


def test_weights_of_another_network_are_refused(works):
    folder = save_model(works / "spleen", PLAN, FLAT, (0,))
    other = save_model(works / "liver", PLAN, SOLID, (0,))
    shutil.copy(other / "fold_0" / WEIGHTS_NAME, folder / "fold_0" / WEIGHTS_NAME)
    with pytest.raises(ModelError, match="cannot be used"):
        load_model(folder, device="cpu")


def test_damaged_weights_are_refused(works):
    folder = save_model(works / "spleen", PLAN, FLAT, (0,))
    weights = folder / "fold_0" / WEIGHTS_NAME
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot be used"):
        load_model(folder, device="cpu")


def test_a_model_without_its_plan_is_refused(works):
    folder = save_model(works / "spleen", PLAN, FLAT, (0,))
    (folder / Plan.FILE_NAME).unlink()
    with pytest.raises(DocumentError, match=r"plan\.json does not exist"):
        load_model(folder, device="cpu")


def staged(previous: str) -> Configuration:
    network = SOLID.architecture.model_copy(update={"in_channels": 3})
    return SOLID.model_copy(
        update={"name": "cascade", "architecture": network, "previous_stage": previous}
    )


def test_a_cascade_is_loaded_with_the_same_folds_of_its_previous_stage(works):
    plan = tiny_plan(FLAT, SOLID, staged("3d_fullres"), axis_order=(0, 1, 2))
    save_model(works / "spleen", plan, SOLID, (0, 1))
    folder = save_model(works / "spleen", plan, staged("3d_fullres"), (0, 1))
    for path, folds, count in ((folder, None, 2), (folder, (1,), 1), (folder / "fold_0", None, 1)):
        model = load_model(path, device="cpu", folds=folds)
        assert model.previous is not None
        assert model.previous.configuration == SOLID
        assert len(model.previous.networks) == count
    assert find_model(works / "spleen") == folder


def test_a_fold_that_the_previous_stage_lacks_is_refused(works):
    plan = tiny_plan(FLAT, SOLID, staged("3d_fullres"), axis_order=(0, 1, 2))
    save_model(works / "spleen", plan, SOLID, (0,))
    folder = save_model(works / "spleen", plan, staged("3d_fullres"), (0, 1))
    with pytest.raises(ModelError, match=r"^fold 1 of .*3d_fullres"):
        load_model(folder / "fold_1", device="cpu")


def test_stages_with_other_classes_are_refused(works):
    plan = tiny_plan(FLAT, SOLID, staged("3d_fullres"), axis_order=(0, 1, 2))
    names = ("background", "bright", "dim")
    other = plan.model_copy(update={"labels": plan.labels.model_copy(update={"names": names})})
    save_model(works / "spleen", other, SOLID, (0,))
    folder = save_model(works / "spleen", plan, staged("3d_fullres"), (0,))
    with pytest.raises(ModelError, match="the labels of the two stages differ"):
        load_model(folder, device="cpu")


def test_networks_for_which_a_device_has_no_room_come_with_advice(works, monkeypatch):
    def full(network, device):
        raise torch.OutOfMemoryError("CUDA out of memory")

    folder = save_model(works / "spleen", PLAN, FLAT, (0,))
    monkeypatch.setattr(networks, "move_to_device", full)
    with pytest.raises(ModelError, match=r"too little free memory.*--fold.*--device cpu"):
        load_model(folder, device="cpu")
