import gzip
import os
import shutil
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from synthetic import balls, write_picture, write_volume
from typer.testing import CliRunner

from autoseg.cli import app
from autoseg.core.errors import DatasetError, DocumentError
from autoseg.core.progress import Silent
from autoseg.datasets.inspection import inspect_case
from autoseg.documents import store
from autoseg.documents.dataset import AUTOMATIC, CaseFiles, DatasetSpec, LayoutOptions
from autoseg.documents.fingerprint import CaseFingerprint, Fingerprint, combine, merge
from autoseg.documents.workspace import Workspace
from autoseg.planning.forecast import Machine
from autoseg.planning.planner import make_plan
from autoseg.preprocessing import memory
from autoseg.stages.dataset_identity import load_dataset
from autoseg.stages.plan import fingerprint as stage
from autoseg.stages.plan.fingerprint import DatasetChoices, fingerprint


class Recorder(Silent):
    """Records messages, and how many cases were read."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.totals: list[int] = []

    def say(self, message: str) -> None:
        self.messages.append(message)

    def track(self, items: Iterable[Any], *, description: str, total: int) -> Iterator[Any]:
        self.totals.append(total)
        yield from items


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "work")


@pytest.fixture
def changeable(volumes_dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(volumes_dataset, tmp_path / "Task90_Balls"))


def run(
    dataset: Path, workspace: Workspace, *, skip: bool = False, workers: int = 1
) -> tuple[DatasetSpec, Fingerprint, Recorder]:
    progress = Recorder()
    choices = DatasetChoices(skip_bad_cases=skip)
    spec, found = fingerprint(dataset, workspace, choices, workers=workers, progress=progress)
    return spec, found, progress


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


def test_a_work_folder_inside_the_dataset_is_refused(
    changeable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(changeable)
    monkeypatch.chdir(changeable)
    with pytest.raises(DatasetError, match=r"is inside the dataset.*--work"):
        run(Path(), Workspace(Path("autoseg_work") / changeable.name))
    assert snapshot(changeable) == before


def test_a_work_folder_of_another_dataset_of_that_name_is_not_trained_on(
    changeable: Path, workspace: Workspace, tmp_path: Path
) -> None:
    run(changeable, workspace)
    other = shutil.copytree(changeable, tmp_path / "elsewhere" / changeable.name)
    for command in ("train", "preprocess"):
        words = [command, str(other), "--work", str(workspace.root)]
        refusal = CliRunner().invoke(app, words).exception
        assert isinstance(refusal, DatasetError)
        assert f"was made from {changeable}, not from {other}" in str(refusal)
    _, _, progress = run(other, workspace)
    assert progress.messages[0].endswith(f"now using {other}.")
    load_dataset(other, workspace)


def test_a_dataset_that_was_moved_or_linked_is_the_same(
    changeable: Path, workspace: Workspace, tmp_path: Path
) -> None:
    run(changeable, workspace)
    link = tmp_path / "link"
    link.symlink_to(changeable)
    load_dataset(link, workspace)
    moved = changeable.rename(tmp_path / "moved")
    spec = load_dataset(moved, workspace)
    assert store.load(DatasetSpec, workspace.dataset) == spec
    assert spec.root == moved
    assert all(case.labels.is_file() and case.images[0].is_file() for case in spec.cases)
    load_dataset(changeable, workspace)  # missing: preprocessed cases may suffice
    workspace.fingerprint.unlink()
    again = moved.rename(tmp_path / "again")
    assert load_dataset(again, workspace).root == again
    next((again / "labelsTr").iterdir()).unlink()
    with pytest.raises(DatasetError, match="has other files"):
        load_dataset(again.rename(tmp_path / "incomplete"), workspace)


def test_another_dataset_of_that_name_is_refused_also_where_the_first_is_gone(
    changeable: Path, workspace: Workspace, tmp_path: Path
) -> None:
    run(changeable, workspace)
    other = shutil.copytree(changeable, tmp_path / "elsewhere" / changeable.name)
    image = next((other / "imagesTr").iterdir())
    image.write_bytes(image.read_bytes() + b"0")
    shutil.rmtree(changeable)
    with pytest.raises(DatasetError, match=r"no longer exists, and .* has other files"):
        load_dataset(other, workspace)


@pytest.mark.parametrize("workers", [1, 2])
def test_both_documents_are_saved_and_the_dataset_is_left_alone(
    workers: int, volumes_dataset: Path, workspace: Workspace
) -> None:
    before = snapshot(volumes_dataset)
    spec, found, progress = run(volumes_dataset, workspace, workers=workers)
    assert store.load(DatasetSpec, workspace.dataset) == spec
    assert store.load(Fingerprint, workspace.fingerprint) == found
    assert [case.name for case in found.cases] == [case.name for case in spec.cases]
    assert sum(found.class_frequencies) == pytest.approx(1)
    assert found.cases_with_class == (6, 6, 6)
    assert progress.totals == [6]
    assert snapshot(volumes_dataset) == before


def microscopy(root: Path, units: Iterable[str]) -> Path:
    """Write pictures with the unit of their pixel size; "pixel" for none."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for index, unit in enumerate(units):
        image, labels = balls(np.random.default_rng(index), (20, 24))
        pixels = 1.0 if unit == "pixel" else 4.0
        options = {"resolution": (pixels, pixels), "metadata": {"unit": unit}, "imagej": True}
        for folder, voxels in (("images", image.astype(np.float32)), ("labels", labels)):
            tifffile.imwrite(root / folder / f"case_{index}.tif", voxels, **options)
    return root


def test_a_dataset_of_microscopy_keeps_its_unit(tmp_path: Path, workspace: Workspace) -> None:
    _, found, _ = run(microscopy(tmp_path / "cells", ["um", "micron", "um"]), workspace)
    assert (found.unit, found.cases[0].spacing) == ("µm", (0.25, 0.25))
    plan = make_plan(found, memory_gib=8.0, machine=Machine(accelerator_gib=8.0, cores=2))
    assert plan.unit == "µm"
    assert "0.25 × 0.25 µm" in [entry.value for entry in plan.decisions]


@pytest.mark.parametrize("other", ["pixel", "nm"])
def test_voxel_sizes_of_different_units_are_refused(
    other: str, tmp_path: Path, workspace: Workspace
) -> None:
    root = microscopy(tmp_path / "cells", ["um", other, "um"])
    with pytest.raises(DatasetError, match=r"different units: µm in .*case_1.*CASE\.json"):
        run(root, workspace)


@pytest.mark.parametrize(("unit", "other"), [("um", "pixel"), ("um", "mm"), ("pixel", "nm")])
def test_test_cases_with_another_unit_are_refused(
    unit: str, other: str, tmp_path: Path, workspace: Workspace
) -> None:
    root = microscopy(tmp_path / "cells", [unit, unit, other])
    choices = DatasetChoices(layout=LayoutOptions(test=("images/case_2.tif",)))
    with pytest.raises(DatasetError, match=r"different units: .*case_2"):
        fingerprint(root, workspace, choices, workers=1, progress=Silent())


def test_an_unchanged_case_is_not_read_again(changeable: Path, workspace: Workspace) -> None:
    _, first, _ = run(changeable, workspace)
    _, second, progress = run(changeable, workspace)
    assert second == first
    assert progress.totals == [0]
    labels = changeable / "labelsTr" / "ball_03.nii.gz"
    os.utime(labels, ns=(1, 1))
    _, third, progress = run(changeable, workspace)
    assert progress.totals == [1]
    assert third.channels == first.channels
    assert third != first


def test_a_damaged_or_unfitting_fingerprint_is_made_anew(
    changeable: Path, workspace: Workspace
) -> None:
    _, first, _ = run(changeable, workspace)
    workspace.fingerprint.write_text("{}")
    assert run(changeable, workspace)[1] == first
    description = changeable / "dataset.json"
    description.write_text(description.read_text().replace('"dim"', '"faint"'))
    _, renamed, progress = run(changeable, workspace)
    assert progress.totals == [6]
    assert renamed.labels.names == ("background", "bright", "faint")


def test_good_cases_are_not_read_again_after_others_had_issues(
    changeable: Path, workspace: Workspace
) -> None:
    damaged = changeable / "labelsTr" / "ball_03.nii.gz"
    whole = damaged.read_bytes()
    damaged.write_bytes(b"no image")
    with pytest.raises(DatasetError, match="1 of 6 cases"):
        run(changeable, workspace)
    assert not workspace.fingerprint.exists()
    damaged.write_bytes(whole)
    _, found, progress = run(changeable, workspace)
    assert progress.totals == [1]
    assert len(found.cases) == 6
    assert not workspace.partial_fingerprint.exists()


def test_an_interrupted_run_goes_on_where_it_stopped(
    changeable: Path, workspace: Workspace
) -> None:
    class Impatient(Recorder):
        def track(self, items: Iterable[Any], *, description: str, total: int) -> Iterator[Any]:
            yield from list(items)[:4]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fingerprint(changeable, workspace, workers=1, progress=Impatient())
    _, found, progress = run(changeable, workspace)
    assert progress.totals == [2]
    assert len(found.cases) == 6


def test_a_worker_is_sent_its_own_case_alone(
    changeable: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []

    def inspect(files: CaseFiles, spec: DatasetSpec, **options: bool) -> CaseFingerprint:
        sent.append(spec.cases)
        return inspect_case(files, spec, **options)

    monkeypatch.setattr(stage, "inspect_case", inspect)
    run(changeable, workspace)
    assert sent == [()] * 6


def test_too_little_memory_for_all_workers_is_said(
    changeable: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    _, _, progress = run(changeable, workspace, workers=4)
    assert any(
        line.startswith("Reading cases 1 at a time instead of 4") for line in progress.messages
    )


def test_a_removed_case_leaves_the_fingerprint(changeable: Path, workspace: Workspace) -> None:
    run(changeable, workspace)
    for folder in ("imagesTr", "labelsTr"):
        (changeable / folder / "ball_00.nii.gz").unlink()
    spec, found, progress = run(changeable, workspace, skip=True)
    assert len(spec.cases) == len(found.cases) == 5
    assert progress.totals == [0]


def spoil(dataset: Path) -> None:
    """Give four of the six cases one issue each, and one of them two."""
    (dataset / "imagesTr" / "ball_00.nii.gz").write_bytes(b"nothing")
    (dataset / "labelsTr" / "ball_01.nii.gz").unlink()
    write_volume(
        np.full((3, 4, 5), 9, np.uint8),
        dataset / "labelsTr" / "ball_02.nii.gz",
        spacing=(2.0, 1.0, 1.0),
    )
    image = np.full((12, 24, 23), np.nan, np.float32)
    write_volume(image, dataset / "imagesTr" / "ball_03.nii.gz", spacing=(2.0, 1.0, 1.0))


@pytest.mark.parametrize("workers", [1, 2])
def test_all_faults_are_listed_case_by_case(
    workers: int, changeable: Path, workspace: Workspace
) -> None:
    spoil(changeable)
    with pytest.raises(DatasetError) as caught:
        run(changeable, workspace, workers=workers)
    message = str(caught.value)
    assert message.startswith("4 of 6 cases cannot be used")
    assert "--skip-bad-cases" in message
    parts = message.split("\n  ball_")[1:]
    assert [part[:2] for part in parts] == ["00", "01", "02", "03"]
    for part, words in zip(
        parts, ["cannot be read", "does not exist", "label value 9", "NaN"], strict=True
    ):
        assert words in part
    assert "shape 3 × 4 × 5" in parts[2]
    assert not workspace.fingerprint.exists()


def test_bad_cases_can_be_left_out(changeable: Path, workspace: Workspace) -> None:
    spoil(changeable)
    spec, found, progress = run(changeable, workspace, skip=True)
    assert [case.name for case in spec.cases] == ["ball_04", "ball_05"]
    assert [case.name for case in found.cases] == ["ball_04", "ball_05"]
    assert any("Left out 4 of 6 cases" in message for message in progress.messages)


def test_without_a_good_case_there_is_no_fingerprint(
    changeable: Path, workspace: Workspace
) -> None:
    for path in (changeable / "imagesTr").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(DatasetError, match="no image can be read"):
        run(changeable, workspace, skip=True)


def test_a_label_that_no_case_holds_is_mentioned(changeable: Path, workspace: Workspace) -> None:
    description = changeable / "dataset.json"
    description.write_text(description.read_text().replace('"2"', '"7": "ghost", "2"'))
    _, _, progress = run(changeable, workspace)
    assert progress.messages[-1] == "Label 7 (ghost) is declared but does not occur in any case."


def test_what_was_inferred_is_said(pictures_dataset: Path, workspace: Workspace) -> None:
    spec, found, progress = run(pictures_dataset, workspace)
    assert progress.messages == list(spec.inferred)
    assert found.num_axes == 2
    assert all(case.is_integer for case in found.cases)


def test_positions_of_a_header_that_disagree_are_reported_once(
    changeable: Path, workspace: Workspace
) -> None:
    for path in sorted((changeable / "imagesTr").glob("*.nii.gz"))[:2]:
        content = bytearray(gzip.decompress(path.read_bytes()))
        struct.pack_into("<h", content, 254, 2)  # the code of the sform, and its rows
        struct.pack_into("<12f", content, 280, 1, 0, 0, 5, 0, 1, 0, 0, 0, 0, 1, -0.5)
        path.write_bytes(gzip.compress(bytes(content)))
    _, _, progress = run(changeable, workspace)
    (note,) = [message for message in progress.messages if "sform" in message]
    assert "disagree in 2 cases, for example" in note
    assert "sform [1 0 0 5; 0 1 0 0; 0 0 1 -0.5]" in note
    assert "qform [-" in note


def test_two_halves_merge_into_the_whole(volumes_dataset: Path, workspace: Workspace) -> None:
    _, whole, _ = run(volumes_dataset, workspace)
    halves = [
        combine(
            dataset_name=whole.dataset_name,
            channel_names=whole.channel_names,
            labels=whole.labels,
            cases=cases,
        )
        for cases in (whole.cases[:2], whole.cases[2:])
    ]
    assert merge(*halves) == whole
    with pytest.raises(DocumentError, match="are in both fingerprints"):
        merge(halves[0], whole)
    others = halves[1].model_copy(update={"channel_names": ("CT",)})
    with pytest.raises(DocumentError, match=r"only if their channel_names are equal.*'CT'"):
        merge(halves[0], others)


@pytest.mark.real
@pytest.mark.parametrize("name", ["VNC_ssTEM_3D", "ISBI2012_EM_membrane"])
def test_real_data_have_no_issues(name: str, real_data: Path, workspace: Workspace) -> None:
    spec, found, _ = run(real_data / name, workspace, workers=2)
    assert len(found.cases) == len(spec.cases)
    assert min(found.cases_with_class[:2]) > 0


def messy(root: Path, kind: str) -> None:
    """Write three cases in an unusual but allowed form."""
    for index in range(3):
        random = np.random.default_rng(index)
        image, labels = balls(random, (6, 14, 12) if kind == "tiff stack" else (14, 12 + index))
        labels = np.array([0, 50, 200], np.uint8)[labels]
        images, name = root / "images", f"case_{index}"
        images.mkdir(parents=True, exist_ok=True)
        write_picture(labels if labels.ndim == 2 else labels[0], root / "labels" / f"{name}.png")
        if kind == "jpeg":
            write_picture((image * 20).astype(np.uint8), images / f"{name}.jpg")
        elif kind == "rgba tiff":
            write_picture(
                random.integers(0, 255, (*labels.shape, 4), np.uint8), images / f"{name}.tif"
            )
        elif kind == "flat nifti":
            write_volume(image[None], images / f"{name}.nii.gz", spacing=(9.0, 0.5, 0.5))
        else:
            tifffile.imwrite(images / f"{name}.tif", image)
            (images / f"{name}.json").write_text('{"spacing": [5, 1, 1]}')
            (root / "labels" / f"{name}.png").unlink()
            write_volume(labels, root / "labels" / f"{name}.nrrd", spacing=(5.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("kind", "spacing", "channels"),
    [
        ("jpeg", (1.0, 1.0), 1),
        ("rgba tiff", (1.0, 1.0), 4),
        ("flat nifti", (0.5, 0.5), 1),
        ("tiff stack", (5.0, 1.0, 1.0), 1),
    ],
)
def test_unusual_files_are_measured(
    kind: str, spacing: tuple[float, ...], channels: int, tmp_path: Path, workspace: Workspace
) -> None:
    messy(tmp_path / "messy", kind)
    spec, found, _ = run(tmp_path / "messy", workspace)
    assert spec.labels.values == (0, 50, 200)
    assert len(spec.channel_names) == channels
    assert {case.spacing for case in found.cases} == {spacing}
    assert min(found.cases_with_class) == 3


def test_choices_are_remembered_and_stated(pictures_dataset: Path, workspace: Workspace) -> None:
    options = LayoutOptions(
        label_map={"0": "background", "255": "disc"}, test=("images/disc_0.png",)
    )

    def planned(layout: LayoutOptions) -> tuple[DatasetSpec, str]:
        progress = Recorder()
        choices = DatasetChoices(layout)
        spec, _ = fingerprint(pictures_dataset, workspace, choices, workers=1, progress=progress)
        return spec, progress.messages[0]

    first, _ = planned(options)
    assert (len(first.cases), len(first.test_cases)) == (5, 1)
    text = "--label-map 0=background,255=disc --test images/disc_0.png"
    assert planned(AUTOMATIC) == (first, f"note: the options of the last plan are used: {text}")
    other, message = planned(LayoutOptions(mask="values"))
    used = "are replaced (give them again to keep them)"
    assert message == f"note: the options of the last plan {used}: {text}"
    assert (len(other.cases), other.labels.names) == (6, ("background", "label_255"))
