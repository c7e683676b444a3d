"""A dataset that is mistyped or not planned is named with what to do."""

from pathlib import Path

import pytest
from fakes import LABELS

from autoseg.commands.options import planned_dataset
from autoseg.core.errors import DatasetError
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec


@pytest.fixture
def dataset(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("hippo").mkdir()
    return Path("hippo")


@pytest.mark.usefixtures("dataset")
def test_a_name_of_nothing_is_neither_a_folder_nor_planned() -> None:
    nothing = "^nope is not a folder, and no dataset of that name is planned in autoseg_work"
    with pytest.raises(DatasetError, match=nothing):
        planned_dataset(Path("nope"), None)
    with pytest.raises(DatasetError, match="no dataset is planned in elsewhere"):
        planned_dataset(Path("nope"), Path("elsewhere"))


def test_a_dataset_that_is_not_planned_is_to_be_planned_first(dataset) -> None:
    with pytest.raises(DatasetError, match=r"^hippo has not been planned\. Run `autoseg"):
        planned_dataset(dataset, None)
    with pytest.raises(DatasetError, match="`autoseg plan hippo --work w` first"):
        planned_dataset(dataset, Path("w"))


def test_a_dataset_that_is_gone_may_be_trained_on_if_it_is_planned(dataset) -> None:
    spec = DatasetSpec(
        name="hippo",
        root=dataset.resolve(),
        layout="folders",
        num_axes=3,
        channel_names=("MRI",),
        labels=LABELS,
        cases=(),
    )
    dataset.rmdir()
    store.save(spec, Path("autoseg_work/hippo/dataset.json"))
    Path("autoseg_work/hippo/plan.json").touch()
    workspace, found = planned_dataset(dataset, None)
    assert workspace.plan.is_file()
    assert found == spec
