"""How a run divides its budget, with trainings that only pass the time."""

from pathlib import Path

import pytest
from fingerprints import make_fingerprint

from autoseg.architectures import ARCHITECTURES
from autoseg.core.progress import DoneTask
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.report import Mean, Means, Report
from autoseg.documents.run_schedule import RunSchedule, ScheduledTraining
from autoseg.documents.splits import Fold, Splits
from autoseg.documents.workspace import Workspace
from autoseg.planning.forecast import Machine
from autoseg.planning.planner import make_plan
from autoseg.planning.run_candidates import (
    affordable_trainings,
    next_training,
    reference_seconds,
    run_candidates,
    useful_trainings,
)
from autoseg.stages.project import Project
from autoseg.stages.run import request
from autoseg.stages.run.request import RunRequest, RunSetup
from autoseg.stages.run.run import new_entry
from autoseg.stages.run.trainings import run_overview

CARD = Machine(accelerator_gib=8.0, cores=8)
FINGERPRINT = make_fingerprint([(300, 512, 512)] * 50, [(1.0, 0.8, 0.8)] * 50)
PLAN = make_plan(
    FINGERPRINT,
    network=ARCHITECTURES["unet"],
    memory_gib=8.0,
    machine=CARD,
)
DICE = {"3d_fullres": 0.90, "3d_lowres": 0.893, "2d": 0.892, "3d_cascade_fullres": 0.91}
NUM_FOLDS = 5
PROJECT = Project(
    Workspace(Path("nowhere")),
    DatasetSpec(
        name="large",
        root=Path("nowhere"),
        layout="folders",
        num_axes=3,
        channel_names=PLAN.channel_names,
        labels=PLAN.labels,
        cases=(),
    ),
    FINGERPRINT,
    PLAN,
    Splits(seed=0, reason="a test", folds=(Fold(train=("a",), validation=()),) * NUM_FOLDS),
)


@pytest.fixture(autouse=True)
def card(monkeypatch):
    """Let the plan's GPU be that of this machine."""
    monkeypatch.setattr(request, "this_machine", lambda *_: CARD)


def scored(dice: float | None) -> Report:
    means = Means(dice=Mean(value=dice, count=1))
    return Report(classes=(), foreground=means, cases=())


def complete_after(hours: float, *, slowness: float = 1.0) -> tuple[set[str], float]:
    """Return the configurations that a run completes, and the share of the budget that it took."""
    budget = 3600 * hours
    names = run_candidates(PLAN, NUM_FOLDS, CARD, budget).value
    schedule = RunSchedule(budget_seconds=budget, candidates=names, reason="a test")
    course = RunSetup(PROJECT, RunRequest(budget_seconds=budget))
    dice, spent = {}, 0.0
    while key := next_training(PLAN, names, NUM_FOLDS, dice, affordable_trainings(schedule)):
        entry = new_entry(course, schedule, key, dice)
        full = slowness * reference_seconds(PLAN.configuration(key[0]), CARD)
        trained = min(entry.seconds, full) if entry.most_steps else entry.seconds
        took = {"trained_seconds": trained, "overhead_seconds": 0.02 * trained}
        spent += 1.02 * trained
        schedule = schedule.with_training(entry.model_copy(update=took))
        schedule = schedule.model_copy(update={"seconds_spent": spent})
        dice[key] = DICE[key[0]]
    return {
        name for name in names if all((name, fold) in dice for fold in range(NUM_FOLDS))
    }, spent / budget


@pytest.mark.parametrize("hours", [200.0, 500.0])
def test_a_budget_that_holds_everything_completes_everything(hours):
    found, _ = complete_after(hours)
    assert found == set(DICE)


def test_more_time_completes_no_fewer():
    numbers = [len(complete_after(hours)[0]) for hours in (10.0, 60.0, 100.0, 150.0, 200.0)]
    assert numbers == sorted(numbers)
    assert numbers[0] == 1


@pytest.mark.parametrize("slowness", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("hours", [1.0, 10.0, 60.0, 150.0, 300.0])
def test_a_budget_is_kept_also_on_a_machine_that_was_misjudged(hours, slowness):
    _, share = complete_after(hours, slowness=slowness)
    assert 0.4 * (hours < 60) < share <= 1.0


def schedule_after(trained: float, overhead: float, left: float) -> RunSchedule:
    """Return the schedule of a run of 1000 s after its first training."""
    schedule = RunSchedule(
        budget_seconds=1000.0, candidates=("2d",), reason="a test", seconds_spent=1000.0 - left
    )
    entry = new_entry(RunSetup(PROJECT, RunRequest(budget_seconds=1000.0)), schedule, ("2d", 0), {})
    times = {"trained_seconds": trained, "overhead_seconds": overhead}
    return schedule.with_training(entry.model_copy(update=times))


@pytest.mark.parametrize(
    ("overhead", "left", "useful"),
    [
        (10.0, 900.0, 4),  # 850 s, at least 60 s each
        (100.0, 600.0, 3),  # 525 s, at least 150 s each
        (400.0, 600.0, 0),  # 300 s, at least 450 s each
    ],
)
def test_folds_are_left_out_rather_than_trained_for_a_moment(overhead, left, useful):
    schedule = schedule_after(200.0, overhead, left)
    assert useful_trainings(schedule, 4) == useful


def test_without_a_budget_every_training_is_useful():
    schedule = schedule_after(200.0, 400.0, 10.0).model_copy(update={"budget_seconds": None})
    assert useful_trainings(schedule, 4) == 4


def test_folds_that_are_left_out_leave_their_time_to_the_others():
    schedule = schedule_after(200.0, 100.0, 600.0)
    course = RunSetup(PROJECT, RunRequest(budget_seconds=1000.0))
    entry = new_entry(course, schedule, ("2d", 1), {("2d", 0): 0.9})
    assert entry.seconds == pytest.approx((600 - 75) / 3 - 100)


def test_an_overview_lists_the_trainings_of_a_run():
    names = ("3d_fullres", "3d_lowres", "2d")
    entry = ScheduledTraining(
        configuration="3d_fullres",
        fold=0,
        seconds=90.0,
        trained_seconds=80.0,
        overhead_seconds=20.0,
    )
    schedule = RunSchedule(
        budget_seconds=None, candidates=names, reason="a test", trainings=(entry,)
    )
    reports = {("3d_fullres", 0): scored(0.9)}
    tasks = run_overview(PLAN, schedule, reports, NUM_FOLDS, ("3d_lowres", 0))
    assert tasks.done == (DoneTask("3d_fullres, fold 0", "0.900", 100.0),)
    assert tasks.running == "3d_lowres, fold 0"
    assert tasks.upcoming == ("2d, fold 0", "4 more folds of the best configuration")
    assert tasks.seconds_left == 600.0  # of six trainings
    assert not tasks.is_budget


def test_an_overview_shows_the_rest_of_a_budget():
    schedule = RunSchedule(
        budget_seconds=1000.0, seconds_spent=300.0, candidates=("2d",), reason="a test"
    )
    tasks = run_overview(PLAN, schedule, {("2d", 0): scored(None)}, NUM_FOLDS, ("2d", 1))
    assert tasks.done == (DoneTask("2d, fold 0", "–", None),)
    assert tasks.upcoming == ("3 more folds of 2d",)
    assert (tasks.seconds_left, tasks.is_budget) == (700.0, True)
    assert run_overview(PLAN, schedule, {}, NUM_FOLDS, None).upcoming == ()
