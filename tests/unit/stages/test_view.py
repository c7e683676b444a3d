"""Which cases the viewer shows, and in which order."""

import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from fakes import LABELS
from synthetic import write_picture, write_volume
from typer.testing import CliRunner

from autoseg.cli import app
from autoseg.core.errors import DatasetError
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.report import (
    CaseScores,
    ClassReport,
    ClassScores,
    Means,
    Report,
    UnscoredCase,
)
from autoseg.documents.workspace import Workspace
from autoseg.stages.view import image_cases, started_at, work_cases


def put(folder: Path, *names: str) -> Path:
    for name in names:
        write_picture(np.zeros((6, 9), np.uint8), folder / name)
    return folder


def report(folder: Path, issue: str = "", **dice: tuple[float | None, ...]) -> None:
    """Save a report with the Dice of each class of each case."""
    targets = LABELS.targets
    cases = tuple(
        CaseScores(
            name=name,
            tolerance_mm=1.0,
            classes=tuple(
                ClassScores.model_validate(
                    {"reference_voxels": 1, "predicted_voxels": 1, "dice": value}
                )
                for value in values
            ),
        )
        for name, values in dice.items()
    )
    classes = tuple(
        ClassReport(
            name=target.name, label=target.written_as, means=Means(), missed=0, spurious=0, absent=0
        )
        for target in targets
    )
    issues = (UnscoredCase(name=issue, message="it is odd"),) if issue else ()
    found = Report(classes=classes, foreground=Means(), cases=cases, issues=issues)
    store.save(found, folder / Report.FILE_NAME)


def test_label_maps_of_the_same_names_belong_to_images(tmp_path: Path) -> None:
    images = put(tmp_path / "images", "a.png", "b.png")
    references = put(tmp_path / "references", "a.png", "c.png")
    one, other = (put(tmp_path / at / "masks", "b.png") for at in "xy")
    viewing = image_cases(images, references, (one, other))
    first, second = viewing.cases
    assert (first.name, first.reference) == ("a", references / "a.png")
    assert second.reference is None
    assert [file.path for file in second.predictions] == [one / "b.png", other / "b.png"]
    assert [file.name for file in second.predictions] == [str(one), str(other)]


def test_the_worst_case_is_first_and_cases_without_a_score_are_last(tmp_path: Path) -> None:
    images = put(tmp_path / "images", "a.png", "b.png", "c.png", "d.png")
    predictions = put(tmp_path / "net", "a.png", "b.png", "c.png")
    report(predictions, "c", a=(0.9, None), b=(0.4, 0.8))
    viewing = image_cases(images, None, (predictions,))
    assert [(case.name, case.dice) for case in viewing.cases] == [
        *(("b", pytest.approx(0.6)), ("a", 0.9), ("c", None), ("d", None))
    ]
    assert viewing.cases[0].class_dice == {"dim": 0.4, "bright": 0.8}
    assert viewing.cases[1].class_dice == {"dim": 0.9}
    assert viewing.cases[2].issue == "it is odd"


def test_a_single_image_takes_single_label_maps(tmp_path: Path) -> None:
    put(tmp_path, "image.png", "labels.png", "net.png")
    viewing = image_cases(tmp_path / "image.png", tmp_path / "labels.png", (tmp_path / "net.png",))
    (case,) = viewing.cases
    assert (case.name, case.reference) == ("image", tmp_path / "labels.png")
    assert [(file.name, file.path) for file in case.predictions] == [("net", tmp_path / "net.png")]


def test_what_does_not_fit_the_images_is_refused(tmp_path: Path) -> None:
    images = put(tmp_path / "images", "a.png", "b.png")
    others = put(tmp_path / "others", "c.png")
    with pytest.raises(DatasetError, match=r"no label map in .*others has the name of an image"):
        image_cases(images, others)
    with pytest.raises(DatasetError, match="is not a folder, but there are 2 images"):
        image_cases(images, None, (others / "c.png",))


def test_numbered_files_without_a_gap_are_the_channels_of_a_case(tmp_path: Path) -> None:
    put(tmp_path, "a_0001.png", "a_0000.png", "b_0000.png", "c_0000.png", "c_0002.png")
    cases = {case.name: [path.name for path in case.images] for case in image_cases(tmp_path).cases}
    assert cases == {
        "a": ["a_0000.png", "a_0001.png"],
        "b": ["b_0000.png"],
        "c_0000": ["c_0000.png"],
        "c_0002": ["c_0002.png"],
    }


def test_the_cases_of_a_work_folder_have_their_held_out_predictions(tmp_path: Path) -> None:
    names = ("a", "b", "c", "t")
    images = put(tmp_path / "images", *(f"{name}.png" for name in names))
    cases = tuple(
        CaseFiles(name=name, images=(images / f"{name}.png",), labels=images / f"{name}.png")
        for name in names
    )
    spec = DatasetSpec(
        name="set",
        root=images,
        layout="folders",
        num_axes=2,
        channel_names=("grey",),
        labels=LABELS,
        cases=cases[:3],
        test_cases=cases[3:],
    )
    workspace = Workspace(tmp_path / "work")
    first, second = (workspace.fold("2d", fold) / "validation" for fold in (0, 1))
    report(first, a=(0.9, 0.9))
    report(second, b=(0.5, 0.5))
    report(workspace.fold("2d_wide", 0) / "validation", a=(0.1, 0.1))
    report(workspace.test, t=(0.7, 0.7))
    viewing = work_cases(workspace, spec)
    assert [(case.name, case.dice) for case in viewing.cases] == [
        *(("b", 0.5), ("t", 0.7), ("a", 0.9), ("c", None))
    ]
    assert [file.path for file in viewing.cases[1].predictions] == [workspace.test / "t.png"]
    assert [(file.name, file.path) for file in viewing.cases[2].predictions] == [
        ("2d", first / "a.png"),
        ("2d_wide", workspace.fold("2d_wide", 0) / "validation" / "a.png"),
    ]
    assert viewing.cases[3].predictions == ()
    assert viewing.labels == LABELS
    assert started_at(viewing, "c").start == 3
    with pytest.raises(DatasetError, match="found no case 'd'; expected one of a, b, c, t"):
        started_at(viewing, "d")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "neither IMAGES nor --work"),
        (("--work", "w", "--reference", "r"), "not for a work folder"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, expected) -> None:
    shown = CliRunner().invoke(app, ["view", *arguments])
    assert shown.exit_code == 2
    assert expected in re.sub(r"[\s│]+", " ", shown.output)


@pytest.mark.parametrize("is_planned", [False, True])
def test_the_command_serves_until_it_is_interrupted_and_ends_with_0(tmp_path, is_planned) -> None:
    pytest.importorskip("uvicorn")
    images = put(tmp_path / "images", "a.png")
    if is_planned:
        case = CaseFiles(name="planned", images=(images / "a.png",), labels=images / "a.png")
        spec = DatasetSpec(
            name="set",
            root=images,
            layout="folders",
            num_axes=2,
            channel_names=("grey",),
            labels=LABELS,
            cases=(case,),
        )
        store.save(spec, tmp_path / "autoseg_work" / "images" / "dataset.json")
    program = "import sys; from autoseg.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "view", "images", "--no-browser"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        url = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", running.stdout.readline())[0]
        with urllib.request.urlopen(url) as page:
            assert b"<title>autoseg view</title>" in page.read()
        with urllib.request.urlopen(url.replace("/?", "/cases?")) as listed:
            assert (b"planned" in listed.read()) == is_planned
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0


def test_images_and_label_maps_stay_as_they_are(tmp_path: Path) -> None:
    write_volume(np.ones((3, 4, 5), np.uint8), tmp_path / "a.nii.gz", spacing=(1.0, 1.0, 1.0))
    shutil.copytree(tmp_path, tmp_path / "labels")
    before = sorted(tmp_path.rglob("*"))
    image_cases(tmp_path / "a.nii.gz", tmp_path / "labels")
    assert sorted(tmp_path.rglob("*")) == before
