"""`autoseg run`: from a dataset to a model file, stopped and going on."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autoseg.core.compute import Compute
from autoseg.core.errors import DatasetError, Interrupted, ModelError, PlanError, TrainingError
from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.model import WEIGHTS_NAME
from autoseg.documents.plan import Plan
from autoseg.documents.report import Report, UnscoredCase
from autoseg.documents.run import Run
from autoseg.documents.run_schedule import RunSchedule
from autoseg.documents.splits import Splits
from autoseg.documents.workspace import Workspace
from autoseg.stages.plan.plan import PlanRequest, plan
from autoseg.stages.predict.predictor import Predictor
from autoseg.stages.preprocess import prepare_cases
from autoseg.stages.project import load_project
from autoseg.stages.run import clock as run_clock
from autoseg.stages.run import run as stage
from autoseg.stages.run.request import RunRequest
from autoseg.stages.run.run import run
from autoseg.stages.train.duration import TrainingDuration, parse_duration
from autoseg.stages.train.task import CHECKPOINT_NAME, TrainRequest
from autoseg.stages.train.train import TrainedFold, train

CPU = Compute(device="cpu", workers=0)


@pytest.fixture(autouse=True)
def every_training_is_useful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train every fold, although a budget of seconds is too small on a busy machine."""
    monkeypatch.setattr(stage, "useful_trainings", lambda _, to_come: to_come)


@pytest.fixture
def dataset(volumes_dataset: Path, tmp_path: Path) -> Path:
    """Three cases: three folds."""
    root = shutil.copytree(volumes_dataset, tmp_path / "Task90_Balls")
    for path in sorted((root / "imagesTr").iterdir())[3:]:
        path.unlink()
        (root / "labelsTr" / path.name).unlink()
    (root / "dataset.json").unlink()
    return root


@pytest.fixture
def work(dataset: Path, tmp_path: Path, shrink: Callable[..., Plan]) -> Workspace:
    """A work folder whose plan has two tiny configurations that share a recipe."""
    workspace = Workspace(tmp_path / "work")
    made = shrink(plan(dataset, workspace, workers=1, progress=Silent()), (8, 16, 16))
    (first,) = made.configurations
    second = first.model_copy(update={"name": "other"})
    store.save(made.model_copy(update={"configurations": (first, second)}), workspace.plan)
    return workspace


def request(**changes: object) -> RunRequest:
    return RunRequest(**{"budget_seconds": 12.0, "compute": CPU} | changes)


def schedule(work: Workspace) -> RunSchedule:
    return store.load(RunSchedule, work.schedule)


def test_a_run_ends_with_a_model_file_that_predicts(dataset: Path, work: Workspace):
    both = tuple(entry.name for entry in store.load(Plan, work.plan).configurations)
    finished = run(dataset, work, request(configurations=both), progress=Silent())
    assert finished.model == work.root / "Task90_Balls.autoseg"
    assert {key[0] for key in trained(work)} == set(both)
    best = finished.selected.selection.members[0]
    assert {fold for name, fold in trained(work) if name == best} == {0, 1, 2}
    image = sorted((dataset / "imagesTr").iterdir())[0]
    assert Predictor(finished.model, device="cpu").predict(image).shape == (12, 24, 20)
    assert finished.schedule.seconds_spent > 0


def trained(work: Workspace) -> list[tuple[str, int]]:
    return [(entry.configuration, entry.fold) for entry in schedule(work).trainings]


def test_a_stopped_run_goes_on_and_trains_nothing_twice(
    dataset: Path, work: Workspace, monkeypatch: pytest.MonkeyPatch
):
    name = store.load(Plan, work.plan).default_configuration
    asked = request(configurations=(name,), budget_seconds=6.0)
    train_fold, calls = stage.train_fold, []

    def stopping(project, wanted, *, progress):
        calls.append(wanted.fold)
        if len(calls) == 2:
            raise Interrupted("stopped")
        return train_fold(project, wanted, progress=progress)

    monkeypatch.setattr(stage, "train_fold", stopping)
    with pytest.raises(Interrupted):
        run(dataset, work, asked, progress=Silent())
    before = schedule(work)
    assert [entry.fold for entry in before.trainings] == [0, 1]
    run(dataset, work, asked, progress=Silent())
    assert calls == [0, 1, 1, 2]
    after = schedule(work)
    assert after.seconds_spent > before.seconds_spent


def test_a_begun_training_keeps_its_length_whatever_the_budget_is_now(
    dataset: Path, work: Workspace, monkeypatch: pytest.MonkeyPatch
):
    name = store.load(Plan, work.plan).default_configuration
    train_fold, asked_seconds = stage.train_fold, []

    def stopping(project, wanted, *, progress):
        asked_seconds.append(wanted.length.budget)
        if len(asked_seconds) < 3:
            fold = project.workspace.fold(name, 0)
            if len(asked_seconds) == 1:
                fold.mkdir(parents=True)
                (fold / CHECKPOINT_NAME).write_bytes(b"")
            else:
                shutil.rmtree(fold)
            raise Interrupted("stopped")
        return train_fold(project, wanted, progress=progress)

    monkeypatch.setattr(stage, "train_fold", stopping)
    asked = request(configurations=(name,), budget_seconds=900.0)
    with pytest.raises(Interrupted):
        run(dataset, work, asked, progress=Silent())
    asked = request(configurations=(name,), budget_seconds=5.0)
    with pytest.raises(Interrupted):
        run(dataset, work, asked, progress=Silent())
    assert asked_seconds[0] == asked_seconds[1]
    run(dataset, work, asked, progress=Silent())
    assert float(asked_seconds[2].removesuffix("s")) < 5  # nothing was left of it


def test_time_that_a_killed_training_took_is_counted_in_the_end(
    dataset: Path, work: Workspace, monkeypatch: pytest.MonkeyPatch
):
    name = store.load(Plan, work.plan).default_configuration
    asked = request(configurations=(name,), budget_seconds=9.0)
    train_fold, seconds = stage.train_fold, []

    def stopping(project, wanted, *, progress):
        if wanted.fold == 0:
            trained = train_fold(project, wanted, progress=progress)
            seconds.append(trained.run.seconds)
        if wanted.fold == 1 or len(seconds) == 1:
            stop()
        return trained

    monkeypatch.setattr(stage, "train_fold", stopping)
    with pytest.raises(Interrupted):
        run(dataset, work, asked, progress=Silent())
    left = schedule(work)
    as_a_kill_leaves_it = left.model_copy(update={"seconds_spent": 0.0})
    store.save(as_a_kill_leaves_it, work.schedule)
    shutil.rmtree(work.fold(name, 0) / "validation")
    with pytest.raises(Interrupted):
        run(dataset, work, asked, progress=Silent())
    assert len(seconds) == 2
    began = left.trainings[0].started_seconds
    assert schedule(work).seconds_spent >= began + seconds[0]
    assert schedule(work).trainings[0].overhead_seconds is not None


def test_a_wrong_forecast_does_not_break_the_budget(
    dataset: Path, work: Workspace, monkeypatch: pytest.MonkeyPatch
):
    lengths = []

    def stopping(project, wanted, *, progress):
        lengths.append(wanted.length)
        stop()

    monkeypatch.setattr(stage, "train_fold", stopping)
    monkeypatch.setattr(stage, "reference_seconds", lambda *_: 1.0)
    with pytest.raises(Interrupted):
        run(dataset, work, request(budget_seconds=600.0), progress=Silent())
    assert 0 < parse_duration(lengths[0].budget) < 600
    assert lengths[0].most_steps == 250_000


def test_a_training_begun_without_a_budget_is_said_to_take_longer(
    dataset: Path, work: Workspace, monkeypatch: pytest.MonkeyPatch
):
    name = store.load(Plan, work.plan).default_configuration
    said = Told()

    def stopping(project, wanted, *, progress):
        fold = project.workspace.fold(name, 0)
        fold.mkdir(parents=True, exist_ok=True)
        (fold / CHECKPOINT_NAME).write_bytes(b"")
        raise Interrupted("stopped")

    monkeypatch.setattr(stage, "train_fold", stopping)
    for budget in (None, 5.0):
        with pytest.raises(Interrupted):
            run(
                dataset, work, request(budget_seconds=budget, configurations=(name,)), progress=said
            )
        assert any("started without a budget" in line for line in said.lines) == (budget == 5.0)


def test_a_run_with_trainings_of_an_earlier_plan_is_refused(dataset: Path, work: Workspace):
    planned = store.load(Plan, work.plan)
    name = planned.default_configuration
    fold = work.fold(name, 0)
    store.save(planned, fold.parent / "plan.json")
    fold.mkdir()
    (fold / WEIGHTS_NAME).write_bytes(b"")
    first, other = planned.configurations
    edited = first.model_copy(update={"batch_size": first.batch_size + 1})
    store.save(planned.model_copy(update={"configurations": (edited, other)}), work.plan)
    with pytest.raises(TrainingError, match="the plan has changed since"):
        run(dataset, work, request(), progress=Silent())


def test_a_work_folder_of_another_dataset_is_refused(
    dataset: Path, work: Workspace, tmp_path: Path
):
    other = shutil.copytree(dataset, tmp_path / "elsewhere" / dataset.name)
    with pytest.raises(DatasetError, match="was made from"):
        run(other, work, request(), progress=Silent())


def test_a_plan_that_contradicts_the_command_is_refused(dataset: Path, work: Workspace):
    with pytest.raises(PlanError, match=r"--network unet_2015.*Leave --network out"):
        run(dataset, work, request(planning=PlanRequest(network="unet_2015")), progress=Silent())
    with pytest.raises(PlanError, match="--loss topk"):
        run(dataset, work, request(planning=PlanRequest(loss="topk")), progress=Silent())
    with pytest.raises(PlanError, match=r"--augmentation none, but .* uses standard\."):
        run(dataset, work, request(planning=PlanRequest(augmentation="none")), progress=Silent())


def test_a_run_tells_of_cases_that_came_after_the_plan(
    dataset: Path, work: Workspace, monkeypatch: pytest.MonkeyPatch
):
    said = Told()
    monkeypatch.setattr(stage, "train_fold", lambda *_, **__: stop())
    for folder in ("imagesTr", "labelsTr"):
        paths = sorted((dataset / folder).iterdir())
        shutil.copy(paths[0], dataset / folder / paths[0].name.replace("00", "77"))
        assert len(list((dataset / folder).iterdir())) == len(paths) + 1
        shutil.copytree(dataset / folder, dataset / folder.replace("Tr", "Ts"))
    for path in (*dataset.glob("*Ts/*"),):
        path.rename(path.with_name(path.name.replace("ball", "test")))
    with pytest.raises(Interrupted):
        run(dataset, work, request(), progress=said)
    (note,) = [line for line in said.lines if "not in the plan" in line]
    assert "1 case not in the plan: ball_77" in note
    assert "4 test cases not in the plan: test_00" in note


def test_cascades_are_left_out_or_refused_before_anything_is_trained_if_no_fold_holds_a_case_out(
    dataset: Path, work: Workspace, monkeypatch: pytest.MonkeyPatch
):
    made = store.load(Plan, work.plan)
    first, other = made.configurations
    cascade = first.model_copy(
        update={
            "name": "cascade",
            "previous_stage": first.name,
            "architecture": first.architecture.model_copy(
                update={"in_channels": 1 + made.labels.num_classes - 1}
            ),
        }
    )
    three = (first, other, cascade)
    store.save(made.model_copy(update={"configurations": three}), work.plan)
    folds = load_project(work, Silent()).splits.folds
    store.save(Splits(seed=0, reason="one", folds=folds[:1]), work.splits)
    monkeypatch.setattr(stage, "train_fold", lambda *_, **__: stop())
    with pytest.raises(TrainingError, match="cascade cannot be trained: some cases are not held"):
        run(dataset, work, request(configurations=("cascade",)), progress=Silent())
    with pytest.raises(Interrupted):
        run(dataset, work, request(budget_seconds=None), progress=Silent())
    assert schedule(work).candidates == (first.name, other.name)
    assert "without cascade" in schedule(work).reason


def test_the_name_of_the_model_file_is_checked_before_anything_is_trained(
    dataset: Path, work: Workspace, tmp_path: Path
):
    with pytest.raises(ModelError, match=r"does not end in \.autoseg"):
        run(dataset, work, request(output=tmp_path / "model.zip"), progress=Silent())
    assert not work.models.exists()


class Told(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def stop() -> None:
    raise Interrupted("stopped")


def test_a_run_of_an_unknown_configuration_names_the_known_ones(dataset: Path, work: Workspace):
    with pytest.raises(PlanError, match="Choose one of"):
        run(dataset, work, request(configurations=("4d",)), progress=Silent())


def test_a_run_with_a_budget_asks_for_a_plan_of_that_size(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def planning(_workspace, _measured, asked_for, *, num_folds, **_):
        asked.append((asked_for.timing, num_folds))
        raise Interrupted("stopped")

    monkeypatch.setattr(stage, "plan_configurations", planning)
    compute = replace(CPU, cache=tmp_path / "cache")
    wanted = request(budget_seconds=900.0, compute=compute)
    with pytest.raises(Interrupted):
        run(dataset, Workspace(tmp_path / "new"), wanted, progress=Silent())
    ((timing, num_folds),) = asked
    assert (timing.budget_seconds, num_folds, timing.device) == (900.0, 3, "cpu")
    assert timing.cache == tmp_path / "cache"


def test_a_plan_that_was_not_sized_to_a_budget_is_said_to_be_so(
    dataset: Path, work: Workspace, monkeypatch: pytest.MonkeyPatch
):
    class Recorder(Silent):
        def say(self, message):
            messages.append(message)

    def stopping(*_, **__):
        raise Interrupted("stopped")

    messages: list[str] = []
    monkeypatch.setattr(stage, "train_fold", stopping)
    for budget in (None, 60.0):
        with pytest.raises(Interrupted):
            run(dataset, work, request(budget_seconds=budget), progress=Recorder())
    assert len([message for message in messages if "was not sized to a budget" in message]) == 1


def test_held_out_cases_that_failed_are_tried_again_and_named(
    dataset: Path, work: Workspace, monkeypatch: pytest.MonkeyPatch
):
    name = store.load(Plan, work.plan).default_configuration
    asked = request(configurations=(name,))
    run(dataset, work, asked, progress=Silent())
    scores = work.fold(name, 0) / "validation" / "evaluation.json"
    whole = store.load(Report, scores)
    (case,) = whole.cases
    issue = UnscoredCase(name=case.name, message="CUDA out of memory")
    failed = whole.model_copy(update={"cases": (), "issues": (issue,)})
    store.save(failed, scores)

    with monkeypatch.context() as patch:
        fails = TrainedFold(
            work.fold(name, 0), store.load(Run, scores.parents[1] / "run.json"), failed
        )
        patch.setattr(stage, "train_fold", lambda *_, **__: fails)
        left = run(dataset, work, asked, progress=Silent())
    assert left.issues == ((f"{name}, fold 0, {case.name}", "CUDA out of memory"),)

    assert run(dataset, work, asked, progress=Silent()).issues == ()
    assert store.load(Report, scores).cases[0].name == case.name


def test_what_train_finished_counts_and_is_said_and_what_it_left_is_refused(
    dataset: Path, work: Workspace
):
    name = store.load(Plan, work.plan).default_configuration
    length = TrainingDuration(iterations=3)
    train(
        work,
        TrainRequest(fold=0, length=length, compute=CPU),
        progress=Silent(),
    )
    progress = Told()
    run(dataset, work, request(configurations=(name,)), progress=progress)
    (note,) = [message for message in progress.lines if "was trained before" in message]
    assert note.startswith(f"note: {name}, fold 0, was trained before, 3 steps in ")
    assert (name, 0) not in trained(work)

    (work.fold(name, 1) / WEIGHTS_NAME).unlink()
    known = schedule(work)
    others = tuple(entry for entry in known.trainings if entry.fold != 1)
    store.save(known.model_copy(update={"trainings": others}), work.schedule)
    with pytest.raises(TrainingError, match="fold_1 holds an unfinished training"):
        run(dataset, work, request(configurations=(name,)), progress=Silent())


def test_preparing_is_taken_from_the_budget_once_before_it_is_shared(
    dataset: Path, work: Workspace, monkeypatch: pytest.MonkeyPatch
):
    now, lengths = [0.0], []

    def slow(*asked, **options):
        now[0] += 300.0
        return prepare_cases(*asked, **options)

    def stopping(project, wanted, *, progress):
        lengths.append(parse_duration(wanted.length.budget))
        stop()

    monkeypatch.setattr(run_clock, "perf_counter", lambda: now[0])
    monkeypatch.setattr(stage, "prepare_cases", slow)
    monkeypatch.setattr(stage, "train_fold", stopping)
    with pytest.raises(Interrupted):
        run(dataset, work, request(budget_seconds=600.0), progress=Silent())
    shares = len(store.load(Splits, work.splits).folds) + len(schedule(work).candidates) - 1
    assert 0.8 * 270 / shares < lengths[0] < 270 / shares
