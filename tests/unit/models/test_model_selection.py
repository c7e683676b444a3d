"""A work folder's selection is used by default, with warnings if it is outdated."""

import os
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from selections import CPU, PLAN, STEP, save_selected, selection_of

from autoseg.core.errors import DocumentError, ModelError
from autoseg.core.progress import Silent
from autoseg.documents.model import WEIGHTS_NAME
from autoseg.documents.report import Mean, Means, Report
from autoseg.documents.selection import Selection
from autoseg.documents.store import save
from autoseg.models.folder import ModelFolder
from autoseg.models.model_selection import (
    describe_selection,
    find_selection,
    load_members,
    selected_weights,
)
from autoseg.stages.export import ExportOptions, export


@pytest.fixture
def work(tmp_path) -> Path:
    """Return a work folder with four trained configurations and a selection of two."""
    return save_selected(tmp_path / "autoseg_work" / "balls")


def test_the_selection_predicts_without_being_named(work):
    for path in (None, work, work / "models"):
        found = find_selection(path, work_root=work.parent)
        assert found.path == work
        assert found.selection is not None
        assert found.selection.postprocessing == (STEP,)
        members = load_members(found, CPU)
        assert [member.configuration.name for member in members] == ["3d_fullres", "2d"]
        assert [len(member.networks) for member in members] == [1, 1]


def test_what_is_named_is_taken_as_it_is(work):
    for path, networks in ((work / "models" / "2d", 2), (work / "models" / "2d" / "fold_1", 1)):
        choice = find_selection(path)
        assert choice.selection is None
        assert describe_selection(choice) is None
        (member,) = load_members(choice, CPU)
        assert member.configuration.name == "2d"
        assert len(member.networks) == networks


def test_folds_that_are_named_replace_those_of_the_selection(work):
    found = find_selection(work, folds=(0, 1))
    assert [len(member.networks) for member in load_members(found, CPU)] == [2, 2]
    assert "2d (folds 0, 1)" in describe_selection(found)
    with pytest.raises(ModelError, match=r"fold 4 of"):
        load_members(find_selection(work, folds=(4,)), CPU)


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


def save_with_weights(selection: Selection, work: Path) -> None:
    """Save a selection that knows the weights of its folds, as `select` does."""
    models = work / "models"
    pairs = [
        (models / name, ModelFolder(models / name).previous_stage(), folds)
        for name, folds in zip(selection.members, selection.folds, strict=True)
    ]
    weights = {
        f"{folder.name}/fold_{fold}": digest
        for folder, digests in selected_weights(pairs).items()
        for fold, digest in digests.items()
    }
    save(selection.model_copy(update={"weights": weights}), work / "selection.json")


def train_again(weights: Path) -> None:
    changed = {name: tensor + 1 for name, tensor in load_file(weights).items()}
    save_file(changed, weights)


def test_what_was_trained_since_is_warned_of(work):
    save_with_weights(selection_of("3d_fullres", folds=(0, 1)), work)
    for path in work.rglob("*"):  # a copy has other times
        os.utime(path)
    assert find_selection(work).warnings == ()
    train_again(work / "models" / "3d_fullres" / "fold_1" / WEIGHTS_NAME)
    assert find_selection(work).warnings == (
        "fold 1 of 3d_fullres changed after the selection; run `autoseg select` again",
    )
    save(selection_of("2d"), work / "selection.json")
    (warning,) = find_selection(work).warnings
    assert warning.startswith("fold 1 of 2d was trained after the selection")


def test_a_stage_that_was_trained_since_is_warned_of(work):
    save_with_weights(selection_of("3d_cascade_fullres"), work)
    assert not find_selection(work).has_changed
    train_again(work / "models" / "3d_lowres" / "fold_0" / WEIGHTS_NAME)
    assert find_selection(work).has_changed
    assert find_selection(work).warnings[0].startswith("fold 0 of 3d_lowres changed after")


def test_scores_of_networks_that_changed_stay_out_of_the_model_file(work, tmp_path):
    save_with_weights(selection_of("2d", folds=(0, 1)), work)
    scores = Means(dice=Mean(value=0.9, count=1))
    save(Report(classes=(), foreground=scores, cases=()), work / "cross_validation.json")
    for has_scores in (True, False):
        if not has_scores:
            train_again(work / "models" / "2d" / "fold_1" / WEIGHTS_NAME)
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
        load_members(find_selection(work), CPU)
