"""Folds that a user gives: both ways of writing them, and every way of getting them wrong."""

import json
from pathlib import Path

import pytest

from autoseg.core.errors import DatasetError
from autoseg.datasets.user_splits import (
    check_folds,
    find_splits_file,
    fold_warnings,
    read_folds,
)
from autoseg.documents.splits import Fold

GROUPS = {"a": None, "b": None, "c": "patient", "d": "patient"}
PATH = Path("splits_final.json")


def fold(train: str, validation: str) -> Fold:
    return Fold(train=tuple(train), validation=tuple(validation))


def written(folder: Path, content: object) -> Path:
    path = folder / "splits_final.json"
    path.write_text(json.dumps(content))
    return path


def test_folds_are_read_as_nnunet_writes_them(tmp_path):
    path = written(tmp_path, [{"train": ["a", "b"], "val": ["c"]}, {"train": ["c"], "val": ["a"]}])

    assert read_folds(path) == (fold("ab", "c"), fold("c", "a"))


def test_folds_are_read_as_autoseg_writes_them(tmp_path):
    folds = [{"train": ["a", "b"], "validation": ["c"]}]
    path = written(tmp_path, {"seed": 0, "reason": "of the challenge", "folds": folds})

    assert read_folds(path) == (fold("ab", "c"),)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "contains no folds"),
        ([{"train": ["a"], "val": []}], "fold 0 of .* has no validation cases"),
        ([{"train": [], "val": ["a"]}], "fold 0 of .* has no training cases"),
        ({"train": ["a"]}, "not a valid splits file .*Expected a list"),
        ([{"train": ["a"]}], "not a valid splits file(.|\n)*Field required(.|\n)*Expected a list"),
    ],
)
def test_a_file_that_gives_no_folds_is_refused(tmp_path, content, said):
    with pytest.raises(DatasetError, match=said):
        read_folds(written(tmp_path, content))


def test_a_file_that_is_no_json_is_refused(tmp_path):
    path = tmp_path / "splits.json"
    path.write_text("train: a")

    with pytest.raises(DatasetError, match="not a valid splits file"):
        read_folds(path)


def test_own_folds_come_before_those_of_nnunet(tmp_path):
    assert find_splits_file(tmp_path) is None

    (tmp_path / "splits_final.json").touch()
    assert find_splits_file(tmp_path) == tmp_path / "splits_final.json"

    (tmp_path / "splits.json").touch()
    assert find_splits_file(tmp_path) == tmp_path / "splits.json"


def test_sound_folds_pass():
    check_folds((fold("ab", "cd"), fold("cd", "ab")), GROUPS, path=PATH)


@pytest.mark.parametrize(
    ("faulty", "said"),
    [
        (fold("ax", "b"), r"fold 1 of splits_final.json contains x, which .* names like a"),
        (fold("ab", "bcd"), "fold 1 of .* has b in both train and validation"),
        (fold("aab", "cd"), "fold 1 of .* lists a more than once"),
        (fold("abc", "d"), "fold 1 of .* has the group patient in both train and validation"),
    ],
)
def test_a_faulty_fold_is_named_with_the_issue(faulty, said):
    with pytest.raises(DatasetError, match=said):
        check_folds((fold("ab", "cd"), faulty), GROUPS, path=PATH)


def test_folds_that_hold_every_case_out_once_need_no_note():
    assert fold_warnings((fold("ab", "cd"), fold("cd", "ab"))) == ()


def test_cases_that_are_held_out_never_or_twice_are_mentioned():
    never, often = fold_warnings((fold("ab", "c"), fold("ad", "c")))

    assert never.startswith("3 cases are not held out in any fold")
    assert never.endswith("a, b, d")
    assert often.startswith("1 cases are held out in several folds")
    assert often.endswith("c")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"nofile\.json does not exist; expected a splits file"):
        read_folds(tmp_path / "nofile.json")
    with pytest.raises(DatasetError, match="is a folder"):
        read_folds(tmp_path)
