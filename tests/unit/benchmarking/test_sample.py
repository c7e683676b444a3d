import json
import shutil
from pathlib import Path

import pytest
from fingerprints import make_fingerprint

from autoseg.benchmarking.sample import evenly_spread, measured_configurations, take_sample
from autoseg.core.errors import CaseError, DatasetError, PlanError
from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles
from autoseg.documents.workspace import Workspace
from autoseg.planning.forecast import Machine
from autoseg.planning.planner import make_plan
from autoseg.stages.plan.plan import plan


def sampled(dataset: Path, tmp_path: Path, num_cases: int = 2):
    return take_sample(
        dataset,
        Workspace(tmp_path / "work"),
        tmp_path / "scratch",
        num_cases=num_cases,
        machine=Machine(accelerator_gib=None, cores=2),
        progress=Silent(),
    )


@pytest.fixture
def files(tmp_path):
    """Return cases whose images have 1, 2, … 9 bytes, in no order."""
    cases = []
    for size in (5, 1, 9, 3, 7, 2, 8, 4, 6):
        path = tmp_path / f"image_{size}.png"
        path.write_bytes(b"x" * size)
        cases.append(CaseFiles(name=f"case_{size}", images=(path,), labels=path))
    return tuple(cases)


def test_the_sample_has_small_and_large_cases(files):
    assert [case.name for case in evenly_spread(files, 3)] == ["case_2", "case_5", "case_8"]
    assert [case.name for case in evenly_spread(files, 1)] == ["case_5"]


def test_all_cases_are_taken_where_there_are_no_more(files):
    assert evenly_spread(files, 9) == evenly_spread(files, 20) == files


def test_without_a_plan_the_cases_are_planned_for(volumes_dataset, tmp_path):
    sample = sampled(volumes_dataset, tmp_path)
    assert len(sample.names) == 2
    assert sample.num_cases == 6
    assert 0 < sample.share < 1
    assert sample.notes == ("planned from 2 cases only",)
    assert not (tmp_path / "work").exists()
    measured = sample.project.fingerprint
    assert tuple(case.name for case in measured.cases) == sample.names


def test_the_plan_of_the_work_folder_is_taken_as_it_is(volumes_dataset, tmp_path):
    work = Workspace(tmp_path / "work")
    made = plan(volumes_dataset, work, workers=1, progress=Silent())
    edited = made.model_copy(update={"default_configuration": "2d"})
    store.save(edited, work.plan)
    before = sorted((path, path.stat().st_mtime_ns) for path in work.root.rglob("*"))
    sample = sampled(volumes_dataset, tmp_path)
    assert sample.project.plan == edited
    assert sample.notes == (f"using the plan {work.plan}",)
    assert sorted((path, path.stat().st_mtime_ns) for path in work.root.rglob("*")) == before
    dataset = sample.project.dataset
    assert tuple(case.name for case in dataset.cases) == sample.names


def test_a_dataset_that_was_moved_after_planning_is_found(volumes_dataset, tmp_path):
    first = shutil.copytree(volumes_dataset, tmp_path / "first")
    plan(first, Workspace(tmp_path / "work"), workers=1, progress=Silent())
    moved = first.rename(tmp_path / "moved")
    sample = sampled(moved, tmp_path)
    assert all(
        path.is_relative_to(moved) for case in sample.project.dataset.cases for path in case.images
    )


def test_cases_that_are_gone_are_left_out_and_none_at_all_is_refused(volumes_dataset, tmp_path):
    dataset = shutil.copytree(volumes_dataset, tmp_path / "data")
    plan(dataset, Workspace(tmp_path / "work"), workers=1, progress=Silent())
    images = sorted((dataset / "imagesTr").iterdir())
    for path in images[:4]:
        path.unlink()
    assert sampled(dataset, tmp_path, num_cases=6).names == ("ball_04", "ball_05")
    for path in images[4:]:
        path.unlink()
    with pytest.raises(DatasetError, match=r"none of the 6 cases in .* was found in"):
        sampled(dataset, tmp_path)


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"is not a folder\. Choose the folder"):
        sampled(tmp_path / "nowhere", tmp_path)


def test_a_dataset_without_labels_is_refused(volumes_dataset, tmp_path):
    dataset = shutil.copytree(volumes_dataset, tmp_path / "data")
    shutil.rmtree(dataset / "labelsTr")
    with pytest.raises(DatasetError, match="no case is complete"):
        sampled(dataset, tmp_path)


def test_a_work_folder_of_another_dataset_is_refused(volumes_dataset, pictures_dataset, tmp_path):
    plan(pictures_dataset, Workspace(tmp_path / "work"), workers=1, progress=Silent())
    with pytest.raises(DatasetError, match="was made from"):
        sampled(volumes_dataset, tmp_path)


def test_a_faulty_case_is_named_with_where_to_find_all_issues(volumes_dataset, tmp_path):
    dataset = shutil.copytree(volumes_dataset, tmp_path / "data")
    description = json.loads((dataset / "dataset.json").read_text())
    del description["labels"]["2"]
    (dataset / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(CaseError, match=r"ball_\d\d: .*unexpected label value 2[\s\S]*all cases"):
        sampled(dataset, tmp_path)


@pytest.fixture(scope="module")
def large_plan():
    fingerprint = make_fingerprint([(200, 400, 400)] * 3, [(2.0, 0.8, 0.8)] * 3)
    return make_plan(fingerprint, memory_gib=8.0, machine=Machine(accelerator_gib=None, cores=2))


def names_of(configurations) -> list[str]:
    return [entry.name for entry in configurations]


def test_the_default_and_its_planes_are_measured(large_plan):
    volumes = large_plan.model_copy(update={"default_configuration": "3d_compact"})
    assert names_of(measured_configurations(volumes, ())) == ["3d_compact", "2d_compact"]
    reference = large_plan.model_copy(update={"default_configuration": "3d_fullres"})
    assert names_of(measured_configurations(reference, ())) == ["3d_fullres", "2d"]


def test_a_default_of_planes_is_measured_alone(large_plan):
    flat = large_plan.model_copy(update={"default_configuration": "2d"})
    assert names_of(measured_configurations(flat, ())) == ["2d"]


def test_of_a_default_cascade_the_first_stage_is_measured(large_plan):
    cascade = large_plan.model_copy(update={"default_configuration": "3d_cascade_fullres"})
    assert names_of(measured_configurations(cascade, ())) == ["3d_lowres", "2d"]


def test_named_configurations_are_measured_once_each(large_plan):
    chosen = measured_configurations(large_plan, ("2d", "3d_lowres", "2d"))
    assert names_of(chosen) == ["2d", "3d_lowres"]


def test_a_named_cascade_is_refused_and_says_what_to_measure(large_plan):
    with pytest.raises(PlanError, match="Measure 3d_lowres instead: 3d_cascade_fullres"):
        measured_configurations(large_plan, ("3d_cascade_fullres",))


def test_a_name_that_the_plan_lacks_is_refused(large_plan):
    with pytest.raises(PlanError, match="has no configuration '4d'"):
        measured_configurations(large_plan, ("4d",))
