"""`autoseg inspect`: what it reads, prints and writes."""

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_picture
from typer.testing import CliRunner

from autoseg import readers
from autoseg.cli import app
from autoseg.core.case import LabelMap
from autoseg.core.errors import AutosegError, DatasetError
from autoseg.datasets.layouts import inference, recognise
from autoseg.documents.dataset import LayoutOptions
from autoseg.stages.inspect import SAMPLED_LABELS, inspect

SHAPE = (16, 20)


def put_case(root: Path, name: str, *values: int, colour: bool = False) -> None:
    seed = sum(map(ord, name))
    write_picture(
        np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3), np.uint8), root / f"{name}_a.png"
    )
    labels = np.zeros(SHAPE, np.uint8)
    for place, value in enumerate(values):
        labels[2 + seed % 5 : 12, 2 + 6 * place : 7 + 6 * place] = value
    coloured = np.stack([labels, labels * 2, labels], -1)
    write_picture(coloured if colour else labels, root / f"{name}_mask.png")


def output_of(*words: object) -> str:
    done = CliRunner().invoke(app, ["inspect", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    for number in range(4):
        put_case(tmp_path / "data", f"p1/c{number}", 1, 2)
        put_case(tmp_path / "data", f"p2/d{number}", 1, 2)
    put_case(tmp_path / "data", "test/e1", 1, 2)
    return tmp_path / "data"


def test_the_facts_of_a_folder_are_printed(dataset: Path) -> None:
    printed = output_of(dataset, "--label-map", "0=background,1=road,2=tree")
    for fact in (
        "names and contents, 2-D images",
        "8 cases, 1 test case",
        "3 without names, counted in the files",
        "0=background, 1=road, 2=tree, from --label-map",
    ):
        assert fact in printed


def test_plan_states_the_same_facts(dataset: Path, tmp_path: Path) -> None:
    found = inspect(dataset, workers=1)
    assert found.spec.inferred == recognise(dataset, label_maps=tmp_path / "maps").spec.inferred


def test_only_a_sample_of_label_files_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3 * SAMPLED_LABELS):
        put_case(tmp_path / "data", f"c{number}", 1, 2)
    read = []

    def read_labels(path: Path) -> LabelMap:
        read.append(path)
        return readers.read_labels(path)

    monkeypatch.setattr(inference, "read_labels", read_labels)
    found = inspect(tmp_path / "data", workers=1)
    assert len(read) == SAMPLED_LABELS
    assert "from 20 of 60 label files" in str(found.facts[-1])


@pytest.mark.parametrize("options", [LayoutOptions(), LayoutOptions(test=("p2/*_a.png",))])
def test_a_written_description_is_read_back_to_the_same_cases(
    dataset: Path, tmp_path: Path, options: LayoutOptions
) -> None:
    (dataset / "groups.csv").write_text(
        "case,patient\n" + "".join(f"p1_c{n}_a,x{n // 2}\n" for n in range(4))
    )
    found = inspect(dataset, options, write=tmp_path / "listed/dataset.json", workers=1).spec
    again = recognise(tmp_path / "listed").spec
    fields = ("cases", "test_cases", "labels", "channel_names", "splits")
    for field in fields:
        assert getattr(again, field) == getattr(found, field)


def test_a_validation_part_folds_and_an_ignore_label_are_read_back(tmp_path: Path) -> None:
    for part, names in (("train", "xyz"), ("val", "uv")):
        for name in names:
            put_case(tmp_path / "data" / part, name, 1, 2)
    options = LayoutOptions(label_map={"0": "background", "1": "road", "2": "ignore"})
    found = inspect(
        tmp_path / "data", options, write=tmp_path / "data/dataset.json", workers=1
    ).spec
    again = recognise(tmp_path / "data").spec
    assert again.labels == found.labels
    assert again.splits == found.splits
    assert json.loads((tmp_path / "data/dataset.json").read_text())["training"][0] == {
        "image": "train/x_a.png",
        "label": "train/x_mask.png",
        "case": "x_a",
    }


def test_labels_that_are_converted_are_not_listed(tmp_path: Path) -> None:
    for number in range(4):
        put_case(tmp_path / "data", f"c{number}", 50, 100, colour=True)
    target = tmp_path / "listed/dataset.json"
    shown = str(inspect(tmp_path / "data", workers=1).facts[-1])
    assert "0=background, 1=#326432, 2=#64c864" in shown
    with pytest.raises(DatasetError, match=r'save \{"mask": "colours"\} as a JSON .* --layout'):
        inspect(tmp_path / "data", LayoutOptions(mask="colours"), write=target, workers=1)
    with pytest.raises(DatasetError, match="recognises the folder as it is"):
        inspect(tmp_path / "data", write=target, workers=1)
    assert not target.exists()


def test_an_existing_file_is_not_replaced(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("mine")
    with pytest.raises(DatasetError, match="exists and is not replaced"):
        inspect(dataset, write=tmp_path / "dataset.json", workers=1)
    assert (tmp_path / "dataset.json").read_text() == "mine"


def test_cases_with_issues_are_refused_after_the_table(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_picture(np.zeros((*SHAPE, 3), np.uint8), tmp_path / f"images/{name}.png")
        write_picture(np.tile(np.uint8([0, 1]), (16, 10)), tmp_path / f"labels/{name}.png")
    (tmp_path / "labels/b.png").unlink()
    done = CliRunner().invoke(app, ["inspect", str(tmp_path)])
    assert isinstance(done.exception, AutosegError)
    assert "1 of 2 cases cannot be used" in str(done.exception)
    assert "no label file found for the image b.png" in str(done.exception)
    assert "1 case" in done.output
