"""A dataset that is mistyped or not planned is named with what to do."""

from pathlib import Path

import pytest

from autoseg.commands.options import planned_workspace
from autoseg.core.errors import DatasetError


@pytest.fixture
def dataset(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("hippo").mkdir()
    return Path("hippo")


@pytest.mark.usefixtures("dataset")
def test_a_name_of_nothing_is_neither_a_folder_nor_planned() -> None:
    nothing = "^nope is not a folder, and no dataset of that name is planned in autoseg_work"
    with pytest.raises(DatasetError, match=nothing):
        planned_workspace(Path("nope"), None)
    with pytest.raises(DatasetError, match="no dataset is planned in elsewhere"):
        planned_workspace(Path("nope"), Path("elsewhere"))


def test_a_dataset_that_is_not_planned_is_to_be_planned_first(dataset) -> None:
    with pytest.raises(DatasetError, match=r"^hippo has not been planned\. Run `autoseg"):
        planned_workspace(dataset, None)
    with pytest.raises(DatasetError, match="`autoseg plan hippo --work w` first"):
        planned_workspace(dataset, Path("w"))


def test_a_dataset_that_is_gone_may_be_trained_on_if_it_is_planned(dataset) -> None:
    dataset.rmdir()
    Path("autoseg_work/hippo").mkdir(parents=True)
    Path("autoseg_work/hippo/plan.json").touch()
    assert planned_workspace(dataset, None).plan.is_file()
