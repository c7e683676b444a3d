"""A work folder's selection is used by default, with warnings if it is outdated."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import LABELS, save_model, threshold_model, tiny_configuration, tiny_plan

from autoseg.core.case import Image
from autoseg.core.errors import CaseError, DocumentError, ModelError
from autoseg.core.geometry import Geometry, Reorientation
from autoseg.core.progress import Silent
from autoseg.documents.model import WEIGHTS_NAME
from autoseg.documents.report import Mean, Means, Report
from autoseg.documents.selection import LargestComponent, Selection
from autoseg.documents.store import save
from autoseg.inference.averaging import ensemble_class_map
from autoseg.inference.joint_prediction import predict_selected
from autoseg.inference.model import LoadOptions
from autoseg.inference.model_selection import (
    SelectedModel,
    as_selected_model,
    describe_selection,
    find_selection,
    load_selected,
)
from autoseg.inference.prediction import (
    predict_image,
    predict_logits,
    prepare_for_model,
    probability_grid,
)
from autoseg.inference.predictor import Predictor
from autoseg.inference.probabilities import compress_probabilities
from autoseg.stages.export import ExportOptions, export

SOLID = tiny_configuration((8, 8, 8), name="3d_fullres")
FLAT = tiny_configuration((8, 8), name="2d", spacing=(1.5, 1.5))
COARSE = tiny_configuration((8, 8, 8), name="3d_lowres", spacing=(2.0, 2.0, 2.0))
CASCADE = tiny_configuration((8, 8, 8), name="3d_cascade_fullres").model_copy(
    update={
        "previous_stage": "3d_lowres",
        "architecture": SOLID.architecture.model_copy(update={"in_channels": 3}),
    }
)
PLAN = tiny_plan(SOLID, FLAT, COARSE, CASCADE, axis_order=(0, 1, 2))
CPU = LoadOptions(device="cpu", precision="float32")
STEP = LargestComponent(values=(3, 7), dice_before=0.5, dice_after=0.75)


def selection_of(*members: str, folds: tuple[int, ...] = (0,), steps=()) -> Selection:
    return Selection(
        members=members,
        folds=(folds,) * len(members),
        postprocessing=steps,
        reason="It is the best.",
        candidates=(),
    )


def image() -> Image:
    voxels = np.random.default_rng(0).normal(5, 3, (1, 12, 14, 9)).astype(np.float32)
    geometry = Geometry.plain((1.0, 1.0, 1.0))
    unchanged = Reorientation(axes=(0, 1, 2), flips=(False, False, False))
    return Image(voxels, geometry, geometry, unchanged)


@pytest.fixture
def work(tmp_path) -> Path:
    """Return a work folder with four trained configurations and a selection of two."""
    root = tmp_path / "autoseg_work" / "balls"
    for configuration in (SOLID, FLAT, COARSE, CASCADE):
        save_model(root, PLAN, configuration, (0, 1))
    save(selection_of("3d_fullres", "2d", steps=(STEP,)), root / "selection.json")
    return root


def test_the_selection_predicts_without_being_named(work):
    for path in (None, work, work / "models"):
        model = load_selected(path, CPU) if path else find_and_load(work.parent)
        assert [member.configuration.name for member in model.members] == ["3d_fullres", "2d"]
        assert [len(member.ensemble.networks) for member in model.members] == [1, 1]
        assert model.postprocessing == (STEP,)
        assert model.path == work


def find_and_load(root: Path) -> SelectedModel:
    """Load the model that is found without a path."""
    choice = find_selection(None, work_root=root)
    return load_selected(choice.path, CPU)


def test_what_is_named_is_taken_as_it_is(work):
    for path, networks in ((work / "models" / "2d", 2), (work / "models" / "2d" / "fold_1", 1)):
        choice = find_selection(path)
        assert choice.selection is None
        assert describe_selection(choice) is None
        (member,) = load_selected(path, CPU).members
        assert member.configuration.name == "2d"
        assert len(member.ensemble.networks) == networks


def test_folds_that_are_named_replace_those_of_the_selection(work):
    model = load_selected(work, CPU, folds=(0, 1))
    assert [len(member.ensemble.networks) for member in model.members] == [2, 2]
    assert "2d (folds 0, 1)" in describe_selection(find_selection(work, folds=(0, 1)))
    with pytest.raises(ModelError, match=r"fold 4 of"):
        load_selected(work, CPU, folds=(4,))


def test_the_choice_is_said_in_a_sentence(work):
    assert describe_selection(find_selection(work)) == (
        "Predicting with 3d_fullres (fold 0) + 2d (fold 0), as selected by cross-validation; only "
        "the largest component of 3/7 is kept."
    )


def test_a_selected_fold_that_is_not_there_is_an_error(work):
    save(selection_of("3d_fullres", "2d", folds=(0, 3)), work / "selection.json")
    with pytest.raises(
        ModelError, match=r"3d_fullres with folds \[0, 3\].*trained folds are \[0, 1\]"
    ):
        find_selection(work)
    save(selection_of("gone"), work / "selection.json")
    with pytest.raises(ModelError, match=r"gone with folds \[0\].*Run `autoseg select` again"):
        find_selection(work)


def test_a_damaged_selection_is_an_error(work):
    (work / "selection.json").write_text('{"members": ["2d"]}')
    with pytest.raises(DocumentError, match="not a valid Selection"):
        find_selection(work)


def test_what_was_trained_since_is_warned_of(work):
    selected_at = (work / "selection.json").stat().st_mtime
    for folder in (work / "models").iterdir():
        os.utime(folder / "fold_0" / WEIGHTS_NAME, (selected_at - 9, selected_at - 9))
    save(selection_of("3d_fullres", folds=(0, 1)), work / "selection.json")
    os.utime(work / "selection.json", (selected_at + 9, selected_at + 9))
    assert find_selection(work).warnings == ()
    weights = work / "models" / "3d_fullres" / "fold_1" / WEIGHTS_NAME
    os.utime(weights, (selected_at + 20, selected_at + 20))
    assert find_selection(work).warnings == (
        "fold 1 of 3d_fullres changed after the selection; run `autoseg select` again",
    )
    save(selection_of("2d"), work / "selection.json")
    (warning,) = find_selection(work).warnings
    assert warning.startswith("fold 1 of 2d was trained after the selection")


def test_a_stage_that_was_trained_since_is_warned_of(work):
    save(selection_of("3d_cascade_fullres"), work / "selection.json")
    selected_at = (work / "selection.json").stat().st_mtime
    for weights in (work / "models").glob(f"*/fold_0/{WEIGHTS_NAME}"):
        os.utime(weights, (selected_at - 9, selected_at - 9))
    assert not find_selection(work).has_changed
    weights = work / "models" / "3d_lowres" / "fold_0" / WEIGHTS_NAME
    os.utime(weights, (selected_at + 9, selected_at + 9))
    assert find_selection(work).has_changed
    assert find_selection(work).warnings[0].startswith("fold 0 of 3d_lowres changed after")


def test_scores_of_networks_that_changed_stay_out_of_the_model_file(work, tmp_path):
    save(selection_of("2d", folds=(0, 1)), work / "selection.json")
    scores = Means(dice=Mean(value=0.9, count=1))
    save(Report(classes=(), foreground=scores, cases=()), work / "cross_validation.json")
    selected_at = (work / "selection.json").stat().st_mtime
    weights = work / "models" / "2d" / "fold_1" / WEIGHTS_NAME
    for seconds, has_scores in ((-9, True), (9, False)):
        for path in weights.parent.parent.glob(f"*/{WEIGHTS_NAME}"):
            os.utime(path, (selected_at - 9, selected_at - 9))
        os.utime(weights, (selected_at + seconds, selected_at + seconds))
        manifest = export(work, tmp_path / "m.autoseg", ExportOptions(), told := Told())
        names = {part.name for part in manifest.parts}
        assert ("cross_validation.json" in names) == has_scores
        assert bool(told.lines) == (not has_scores)


class Told(Silent):
    """Records messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


def test_members_of_different_plans_do_not_predict_together(work):
    other = PLAN.model_copy(update={"channel_names": ("T2",)})
    save(other, work / "models" / "2d" / "plan.json")
    with pytest.raises(
        ModelError, match=r"3d_fullres and 2d cannot predict together.*channel_names"
    ):
        load_selected(work, CPU)


def test_several_members_average_their_probabilities(work):
    """Means of float and of quantised probabilities give almost the same classes."""
    model = load_selected(work, CPU)
    whole = image()
    parts = []
    for member in model.members:
        prepared = prepare_for_model(whole, member)
        parts.append(
            compress_probabilities(
                predict_logits(prepared, member), probability_grid(prepared, member)
            )
        )
    expected = model.values(ensemble_class_map(parts, workers=1))
    found = predict_selected(whole, model, workers=2)
    np.testing.assert_array_equal(found, expected)
    assert found.shape == whole.shape
    assert set(np.unique(found)) <= set(LABELS.values)
    alone = [predict_image(whole, member) for member in model.members]
    assert not np.array_equal(alone[0], alone[1])


def test_a_single_member_predicts_bit_for_bit_as_its_configuration(work):
    model = load_selected(work / "models" / "3d_fullres", CPU)
    expected = predict_image(image(), model.members[0])
    np.testing.assert_array_equal(predict_selected(image(), model), expected)


def test_post_processing_is_the_last_step():
    voxels = np.full((1, 12, 14, 30), 1.0, dtype=np.float32)
    voxels[0, 2:8, 2:8, 2:12] = 6
    voxels[0, 9:11, 9:11, 20:22] = 6
    whole = Image(voxels, *[Geometry.plain((1.0, 1.0, 1.0))] * 2, image().reorientation)
    plan = tiny_plan(SOLID, axis_order=(0, 1, 2))
    model = as_selected_model(threshold_model(plan))
    assert np.count_nonzero(predict_selected(whole, model) == 3) == 6 * 6 * 10 + 2 * 2 * 2
    processed = SelectedModel(model.path, model.members, (STEP,))
    assert np.count_nonzero(predict_selected(whole, processed) == 3) == 6 * 6 * 10


def test_a_issue_of_one_member_is_that_of_the_image(work):
    model = load_selected(work, CPU)
    network = model.members[0].ensemble.networks[0]
    with torch.no_grad():
        network.heads[0].bias.fill_(float("nan"))
    with pytest.raises(CaseError, match="NaN"):
        predict_selected(image(), model)


def test_the_model_file_predicts_bit_for_bit_as_the_selection(work, tmp_path):
    manifest = export(work, tmp_path / "m.autoseg", ExportOptions())
    assert (manifest.members, manifest.stages) == (("3d_fullres", "2d"), ())
    from_file = Predictor(tmp_path / "m.autoseg", device="cpu", precision="float32")
    from_work = Predictor(work, device="cpu", precision="float32")
    assert len(from_file.model.members) == 2
    assert from_file.model.postprocessing == (STEP,)
    np.testing.assert_array_equal(from_file.predict(image()), from_work.predict(image()))


@pytest.mark.parametrize("members", [("3d_cascade_fullres",), ("3d_cascade_fullres", "3d_lowres")])
def test_a_cascade_takes_its_stages_along(work, tmp_path, members):
    save(selection_of(*members), work / "selection.json")
    manifest = export(work, tmp_path / "m.autoseg", ExportOptions())
    assert manifest.members == members
    assert set(manifest.configurations) == {"3d_cascade_fullres", "3d_lowres"}
    from_file = load_selected(tmp_path / "m.autoseg", CPU)
    assert from_file.members[0].previous.configuration.name == "3d_lowres"
    expected = predict_selected(image(), load_selected(work, CPU))
    np.testing.assert_array_equal(predict_selected(image(), from_file), expected)
