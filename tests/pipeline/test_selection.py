"""Selecting as a whole: two trained configurations, their pair, and what is left on disk."""

import shutil
from pathlib import Path

import pytest
import SimpleITK
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from autoseg.cli import app
from autoseg.core.compute import Compute
from autoseg.core.errors import ModelError
from autoseg.core.progress import Progress, Silent
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.plan import Plan
from autoseg.documents.report import Report
from autoseg.documents.selection import Selection
from autoseg.documents.splits import Fold, Splits
from autoseg.documents.workspace import Workspace
from autoseg.models.folder import weights_digest
from autoseg.stages.select.select import select
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest
from autoseg.stages.train.train import train

NAMES = [f"ball_{index:02d}" for index in range(6)]
HALVES = (NAMES[:3], NAMES[3:])
SPLITS = Splits(
    seed=0,
    reason="halves",
    folds=tuple(
        Fold(train=tuple(HALVES[1 - index]), validation=tuple(HALVES[index])) for index in (0, 1)
    ),
)


class Listening(Progress):
    """Keeps what is said and how much was tracked."""

    def __init__(self):
        self.said, self.tracked = [], {}

    def say(self, message):
        self.said.append(message)

    def track(self, items, *, description, total):
        self.tracked[description] = total
        yield from items

    def status(self, line):
        return


def train_fold(workspace: Workspace, configuration: str, fold: int) -> None:
    steps = TrainingDuration(iterations=20 if configuration.endswith("other") else 40)
    request = TrainRequest(
        fold=fold,
        configuration=configuration,
        length=steps,
        compute=Compute(device="cpu", workers=0),
    )
    train(workspace, request, progress=Silent())


@pytest.fixture(scope="module")
def trained(planned_volumes: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a work folder with two configurations, both trained on both of two folds."""
    root = tmp_path_factory.mktemp("trained") / "work"
    workspace = Workspace(shutil.copytree(planned_volumes.root, root))
    plan = store.load(Plan, workspace.plan)
    (first,) = plan.configurations
    other = first.model_copy(update={"name": f"{first.name}_other"})
    store.save(plan.model_copy(update={"configurations": (first, other)}), workspace.plan)
    store.save(SPLITS, workspace.splits)
    for fold in (0, 1):
        for configuration in (first, other):
            train_fold(workspace, configuration.name, fold)
    return workspace


@pytest.fixture(scope="module")
def selected(trained: Workspace) -> tuple[Selection, Listening]:
    progress = Listening()
    return select(trained, workers=1, progress=progress).selection, progress


@pytest.fixture
def own(trained: Workspace, selected: object, tmp_path: Path) -> Workspace:
    """Return a selected work folder that a test may change; times are as in the original."""
    return Workspace(shutil.copytree(trained.root, tmp_path / "work"))


def configurations(workspace: Workspace) -> tuple[str, str]:
    plan = store.load(Plan, workspace.plan)
    return tuple(entry.name for entry in plan.configurations)


def test_both_configurations_and_their_pair_are_candidates(trained, selected):
    selection, progress = selected
    first, other = configurations(trained)
    members = {candidate.members for candidate in selection.candidates}
    assert members == {(first,), (other,), (first, other)}
    assert selection.members in members
    assert selection.folds == ((0, 1),) * len(selection.members)
    assert not [line for line in progress.said if line.startswith(("note", "warning"))]


def test_every_held_out_case_counts_once(trained, selected):
    selection, _ = selected
    assert "6 scored cases" in selection.reason
    assert "Compared only" not in selection.reason
    assert [case.name for case in store.load(Report, trained.cross_validation).cases] == NAMES


def test_the_seconds_of_a_pair_are_those_of_both(trained, selected):
    seconds = {entry.members: entry.seconds_per_case for entry in selected[0].candidates}
    first, other = configurations(trained)
    assert seconds[(first,)] > 0
    assert seconds[(first, other)] == pytest.approx(seconds[(first,)] + seconds[(other,)])


def test_agreement_of_every_held_out_case_is_kept_and_calibrated(trained, selected):
    first, _ = configurations(trained)
    path = trained.fold(first, 0) / "validation" / "evaluation.json"
    report = store.load(Report, path)
    assert sorted(case.name for case in report.agreements) == NAMES[:3]
    assert all(len(case.targets) == 2 for case in report.agreements)
    assert {curve.cases for curve in selected[0].quality} <= {5, 6}


def test_held_out_probabilities_have_a_calibration_error_single_and_averaged(trained, selected):
    pair = next(trained.ensembles.glob("*+*")) / Report.FILE_NAME
    for path in (*trained.models.glob("*/fold_*/validation/evaluation.json"), pair):
        report = store.load(Report, path)
        assert report.metrics[-1] == "ece"
        assert 0 < report.foreground.metric("ece").value < 1
    assert "ece" in store.load(Report, trained.cross_validation).metrics


def test_what_was_found_lies_in_the_work_folder(trained, selected):
    assert store.load(Selection, trained.selection) == selected[0]
    assert trained.leaderboard.read_bytes().startswith(b"\x89PNG")
    first, other = configurations(trained)
    maps = sorted(path.name for path in (trained.ensembles / f"{first} + {other}").glob("*.nii.gz"))
    assert maps == [f"{name}.nii.gz" for name in NAMES]


def test_post_processing_never_lowers_the_mean_dice(trained, selected):
    report = store.load(Report, trained.cross_validation)
    chosen = next(entry for entry in selected[0].candidates if entry.members == selected[0].members)
    assert report.foreground.dice.value >= chosen.dice.value
    if not selected[0].postprocessing:
        assert report.foreground.dice.value == pytest.approx(chosen.dice.value)


def test_a_second_selection_averages_and_scores_nothing_again(own, selected):
    progress = Listening()
    again = select(own, workers=1, progress=progress).selection
    assert again == selected[0]
    assert not [title for title in progress.tracked if title.startswith("Averaging")]


def test_folds_scored_on_label_files_that_have_changed_are_named_with_the_command(own, tmp_path):
    first, other = configurations(own)
    spec = store.load(DatasetSpec, own.dataset)
    copies = {case.name: tmp_path / case.labels.name for case in spec.cases}
    for case in spec.cases:
        shutil.copy2(case.labels, copies[case.name])
    cases = [case.model_copy(update={"labels": copies[case.name]}) for case in spec.cases]
    store.save(spec.model_copy(update={"cases": tuple(cases)}), own.dataset)
    ensemble = own.ensembles / f"{first} + {other}" / Report.FILE_NAME
    before = store.load(Report, ensemble)
    edited = copies[SPLITS.folds[1].validation[0]]
    write_labels_again(edited)
    progress = Listening()
    select(own, workers=1, progress=progress)
    assert len(progress.said) == 2
    for note, name in zip(progress.said, (first, other), strict=True):
        assert f"label files of {name}, fold 1, have changed" in note
        assert f"--configuration {name} --fold 1` scores it again" in note
    assert store.load(Report, ensemble).label_state != before.label_state


def test_a_copied_work_folder_is_scored(own, selected, tmp_path):
    copied = Workspace(tmp_path / "copied")
    for path in sorted(own.root.rglob("*"), reverse=True):  # evaluations before weights
        if path.is_file():
            target = copied.root / path.relative_to(own.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    progress = Listening()
    assert select(copied, workers=1, progress=progress).selection == selected[0]
    assert not [title for title in progress.tracked if title.startswith("Averaging")]


def write_labels_again(path: Path) -> None:
    """Write a label file with other voxels."""
    image = SimpleITK.ReadImage(str(path))
    values = SimpleITK.GetArrayFromImage(image)
    values[0, 0, 0] = 1 - values[0, 0, 0]
    changed = SimpleITK.GetImageFromArray(values)
    changed.CopyInformation(image)
    SimpleITK.WriteImage(changed, str(path))


def test_averages_of_a_network_that_was_trained_again_are_made_again(own, selected):
    first, other = configurations(own)
    folder = own.models / first / "fold_1"
    weights = folder / "weights.safetensors"
    save_file({name: tensor * 1.01 for name, tensor in load_file(weights).items()}, weights)
    report = store.load(Report, folder / "validation" / Report.FILE_NAME)
    changed = report.model_copy(update={"weights": {f"{first}/fold_1": weights_digest(folder)}})
    store.save(changed, folder / "validation" / Report.FILE_NAME)
    progress = Listening()
    select(own, workers=1, progress=progress)
    assert progress.tracked[f"Averaging {first} + {other}"] == len(report.cases)


def test_a_lost_label_map_of_an_ensemble_is_made_again(own, selected):
    first, other = configurations(own)
    (own.ensembles / f"{first} + {other}" / f"{NAMES[0]}.nii.gz").unlink()
    progress = Listening()
    assert select(own, workers=1, progress=progress).selection == selected[0]
    assert progress.tracked[f"Averaging {first} + {other}"] == 1


def test_without_probabilities_the_pair_is_left_out_and_named(own):
    first, other = configurations(own)
    shutil.rmtree(own.ensembles)
    shutil.rmtree(own.fold(other, 1) / "validation" / "probabilities" / NAMES[4])
    progress = Listening()
    selection = select(own, workers=1, progress=progress).selection
    assert {candidate.members for candidate in selection.candidates} == {(first,), (other,)}
    (warning,) = [line for line in progress.said if line.startswith("warning")]
    assert f"{first} + {other} is not a candidate: {NAMES[4]}: no probabilities found in" in warning


def test_a_configuration_that_lacks_a_fold_is_named_with_the_command_that_trains_it(own):
    first, other = configurations(own)
    shutil.rmtree(own.fold(other, 1))
    progress = Listening()
    selection = select(own, workers=1, progress=progress).selection
    assert [candidate.members for candidate in selection.candidates] == [(first,)]
    (note,) = progress.said
    assert "lacks fold 1" in note
    assert f"--configuration {other} --fold 1" in note


def test_partial_compares_on_the_folds_that_all_have_and_judges_the_choice_on_all_of_its(own):
    first, other = configurations(own)
    shutil.rmtree(own.fold(other, 1))
    selection = select(own, allow_missing_folds=True, workers=1, progress=Silent()).selection
    assert len(selection.candidates) == 3
    assert "3 scored cases" in selection.reason
    assert "Compared only on fold 0 of 2." in selection.reason
    has_both = selection.members == (first,)
    assert len(store.load(Report, own.cross_validation).cases) == (6 if has_both else 3)


def test_with_one_fold_of_each_trained_they_are_compared_on_it(own):
    for name in configurations(own):
        shutil.rmtree(own.fold(name, 1))
    selection = select(own, workers=1, progress=Silent()).selection
    assert len(selection.candidates) == 3
    assert "Compared only on fold 0 of 2." in selection.reason
    assert selection.folds[0] == (0,)


def test_a_dataset_that_lost_a_held_out_case_cannot_be_compared(own):
    dataset = store.load(DatasetSpec, own.dataset)
    store.save(dataset.model_copy(update={"cases": dataset.cases[1:]}), own.dataset)
    with pytest.raises(ModelError, match=r"no longer has the held-out cases ball_00.*Restore"):
        select(own, workers=1, progress=Silent())


def test_a_case_that_one_configuration_could_not_predict_counts_for_none(own):
    first, _ = configurations(own)
    path = own.fold(first, 0) / "validation" / "evaluation.json"
    report = store.load(Report, path)
    issue = {"name": report.cases[0].name, "message": "broken"}
    changed = report.model_dump() | {"cases": report.cases[1:], "issues": (issue,)}
    store.save(Report.model_validate(changed), path)
    selection = select(own, workers=1, progress=Silent()).selection
    assert "5 scored cases" in selection.reason


def test_a_work_folder_without_scored_folds_is_refused_with_what_to_do(own):
    shutil.rmtree(own.models)
    with pytest.raises(
        ModelError, match=r"no fold in .* is trained and scored. Run `autoseg train"
    ):
        select(own, workers=1, progress=Silent())


def test_the_command_prints_the_leaderboard_the_reason_and_the_scores(own, volumes_dataset):
    arguments = ["select", str(volumes_dataset), "--work", str(own.root), "--workers", "1"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    for expected in ("s/case", "Selected model, 6 scored cases", "bright", str(own.selection)):
        assert expected in text
    assert store.load(Selection, own.selection).reason in text
