"""`autoseg run`: from a dataset to a model file; resumes where it stopped."""

from dataclasses import dataclass
from pathlib import Path

from autoseg.core.device import Precision, choose_device
from autoseg.core.errors import TrainingError
from autoseg.core.parallel import default_workers
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.model import WEIGHTS_NAME
from autoseg.documents.plan import Plan
from autoseg.documents.report import Report
from autoseg.documents.run_schedule import RunSchedule, ScheduledTraining
from autoseg.documents.selection import Selection
from autoseg.documents.workspace import Workspace
from autoseg.inference.archive.contents import SUFFIX
from autoseg.planning.forecast import REFERENCE_STEPS, Machine
from autoseg.planning.run_candidates import (
    RESERVED_SHARE,
    Key,
    TimeLeft,
    next_training,
    reference_seconds,
    remaining_trainings,
    run_candidates,
    training_seconds,
    with_previous_stages,
)
from autoseg.stages.continuation import (
    NEVER_HELD_OUT,
    PlanOptions,
    check_plan_options,
    check_trained_with,
    note_on_budget,
    note_on_changed_cases,
    untrainable_cascades,
)
from autoseg.stages.dataset_identity import check_dataset_identity
from autoseg.stages.export import ExportOptions, check_output, export
from autoseg.stages.finished_trainings import (
    check_not_started,
    finished_reports,
    mean_dice,
    notes_on_earlier_trainings,
)
from autoseg.stages.folds import load_splits
from autoseg.stages.plan import PlanRequest, Timing, load_plan, plan, this_machine
from autoseg.stages.predict import PredictOptions
from autoseg.stages.preprocess import preprocess
from autoseg.stages.run_clock import RunClock, load_schedule
from autoseg.stages.run_messages import notes_on_dropped, score_message, training_announcement
from autoseg.stages.select import select
from autoseg.stages.step_check import StepChecks
from autoseg.stages.test import test as score_test_cases
from autoseg.stages.train import TrainedFold, train
from autoseg.stages.training_duration import TrainingDuration
from autoseg.stages.training_task import CHECKPOINT_NAME, TrainRequest

TOO_SHORT_SHARE = 0.25
"""A time below this share of the predicted one is certainly too short for the reference's steps."""


@dataclass(frozen=True)
class RunRequest:
    """Options of a run.

    Attributes:
        budget_seconds: Total time; None trains every configuration at full length.
        configurations: Configurations to train; None chooses automatically.
        network: Architecture to plan.
        loss: Loss to plan.
        memory_gib: GPU memory to plan for; None for that of this machine.
        output: Model file; by default it has the dataset's name, in the work folder.
        seed: Random seed of every training.
        device: Name of the device.
        precision: Data type of the convolutions.
        workers: Number of background processes; None depends on the machine.
        skip_bad_cases: Whether to leave out cases that have issues instead of raising.
        cache: Folder that stores measurements of machines; None disables measuring.
    """

    budget_seconds: float | None = None
    configurations: tuple[str, ...] | None = None
    network: str | None = None
    loss: str | None = None
    memory_gib: float | None = None
    output: Path | None = None
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    workers: int | None = None
    skip_bad_cases: bool = False
    cache: Path | None = None


@dataclass(frozen=True)
class FinishedRun:
    """Result of a run.

    Attributes:
        model: The model file.
        selection: The selected model, with the leaderboard.
        schedule: The trainings and their times.
        test: Scores of the test cases; None if the dataset has none.
        issues: Held-out cases that could not be predicted or scored, and the reason for each.
    """

    model: Path
    selection: Selection
    schedule: RunSchedule
    test: Report | None
    issues: tuple[tuple[str, str], ...] = ()


def run(
    dataset: Path, workspace: Workspace, request: RunRequest, *, progress: Progress
) -> FinishedRun:
    """Check, plan, train, select and export; completed steps are skipped.

    Args:
        dataset: Dataset folder.
        workspace: Work folder for the results.
        request: Options of the run.
        progress: Receives progress and messages.

    Raises:
        DatasetError: If the dataset has issues.
        PlanError: If a requested configuration is not in the plan.
        TrainingError: If a training is rejected or fails, or a finished one has another plan.
        ModelError: If the output is not a valid name of a model file.
        Interrupted: If the user stopped the run; the same command resumes it.
    """
    if request.output is not None:
        check_output(request.output)
    clock = RunClock(workspace)
    with clock.running():
        planned = _planned(dataset, workspace, request, progress)
        num_folds = len(load_splits(workspace, progress).folds)
        schedule = _schedule(workspace, planned, request, num_folds, spent=clock.seconds)
        progress.say(f"candidates: {', '.join(schedule.candidates)} ({schedule.reason})")
        for name in schedule.candidates:
            check_trained_with(workspace, planned, planned.configuration(name))
        setup = _RunSetup(workspace, planned, num_folds, request)
        for note in notes_on_earlier_trainings(workspace, schedule):
            progress.say(note)
        StepChecks(request.cache, progress).limit_for_all(
            [planned.configuration(name) for name in schedule.candidates],
            choose_device(request.device),
            request.precision,
        )
        _score_again(setup, schedule, progress)
        _train_all(setup, clock, progress)
        workers = default_workers() if request.workers is None else request.workers
        selection = select(workspace, workers=max(1, workers), progress=progress)
        output = request.output or workspace.root / f"{planned.dataset_name}{SUFFIX}"
        export(workspace.root, output, ExportOptions())
        test_report = _test(workspace, request, progress)
    issues = tuple(
        (f"{name}, fold {fold}, {issue.name}", issue.message)
        for (name, fold), report in finished_reports(workspace, schedule.candidates).items()
        for issue in report.issues
    )
    return FinishedRun(output, selection, load_schedule(workspace), test_report, issues)


def _planned(dataset: Path, workspace: Workspace, request: RunRequest, progress: Progress) -> Plan:
    """Load the existing plan, which may be edited, or make a new one."""
    if workspace.plan.is_file():
        progress.say(f"using the existing plan: {workspace.plan}")
        check_dataset_identity(dataset, workspace)
        planned = load_plan(workspace)
        options = PlanOptions(request.network, request.loss, request.memory_gib)
        check_plan_options(workspace, planned, options, progress)
        budget_note = note_on_budget(planned, request.budget_seconds)
        for note in filter(None, (budget_note, note_on_changed_cases(dataset, workspace))):
            progress.say(note)
        return planned
    workers = default_workers() if request.workers is None else request.workers
    timing = Timing(
        cache=request.cache,
        budget_seconds=request.budget_seconds,
        is_shared=True,
        device=request.device,
    )
    plan_request = PlanRequest(request.network, request.loss, request.memory_gib, timing=timing)
    return plan(
        dataset,
        workspace,
        plan_request,
        workers=workers,
        skip_bad_cases=request.skip_bad_cases,
        progress=progress,
    )


def _test(workspace: Workspace, request: RunRequest, progress: Progress) -> Report | None:
    """Predict and score the test cases; None if the dataset has none."""
    spec = store.load(DatasetSpec, workspace.dataset, made_by="autoseg plan")
    if not spec.test_cases:
        return None
    options = PredictOptions(
        model=workspace.root,
        device=request.device,
        precision=request.precision,
        cache=request.cache,
    )
    return score_test_cases(workspace, options, progress)


def _schedule(
    workspace: Workspace, planned: Plan, request: RunRequest, num_folds: int, *, spent: float
) -> RunSchedule:
    """Create and save the schedule; an earlier one keeps its trainings and gets the new budget."""
    if request.configurations is None:
        machine = this_machine(request.device, request.cache)
        chosen = run_candidates(planned, num_folds, machine, request.budget_seconds)
        names, reason = chosen.value, chosen.reason
    else:
        names = with_previous_stages(planned, request.configurations)
        stages = names[len(set(request.configurations)) :]
        reason = f"requested, with previous stages {', '.join(stages)}" if stages else "requested"
    impossible = untrainable_cascades(workspace, planned, names)
    if impossible:
        if request.configurations is not None:
            raise TrainingError(f"{', '.join(impossible)} cannot be trained: {NEVER_HELD_OUT}")
        names = tuple(name for name in names if name not in impossible)
        reason += f"; without {', '.join(impossible)}: {NEVER_HELD_OUT}"
    earlier = load_schedule(workspace) if workspace.schedule.is_file() else None
    schedule = RunSchedule(
        budget_seconds=request.budget_seconds,
        seconds_spent=spent,
        candidates=names,
        reason=reason,
        trainings=() if earlier is None else earlier.trainings,
    )
    store.save(schedule, workspace.schedule)
    return schedule


@dataclass(frozen=True)
class _RunSetup:
    """Data shared by all trainings of a run."""

    workspace: Workspace
    planned: Plan
    num_folds: int
    request: RunRequest

    @property
    def machine(self) -> Machine:
        """Machine that trains."""
        return this_machine(self.request.device, self.request.cache)


def _score_again(setup: _RunSetup, schedule: RunSchedule, progress: Progress) -> None:
    """Predict and score held-out cases again that failed in an earlier run."""
    reports = finished_reports(setup.workspace, schedule.candidates)
    dice = mean_dice(reports)
    for key in (key for key, report in reports.items() if report.issues):
        _train(setup, _entry(setup, schedule, key, dice), progress)


def _train_all(setup: _RunSetup, clock: RunClock, progress: Progress) -> None:
    """Train until no candidate has a fold left to train."""
    while True:
        clock.save()
        schedule = load_schedule(setup.workspace)
        dice = mean_dice(finished_reports(setup.workspace, schedule.candidates))
        names = schedule.candidates
        key = next_training(setup.planned, names, setup.num_folds, dice, _affordable(schedule))
        if key is None:
            for note in notes_on_dropped(names, dice, setup.num_folds):
                progress.say(note)
            return
        _prepare(setup, key[0], progress)
        clock.save()  # preparing happens once, so it does not count as overhead of a training
        schedule = load_schedule(setup.workspace)
        entry = _entry(setup, schedule, key, dice)
        store.save(schedule.with_training(entry), setup.workspace.schedule)
        progress.say(training_announcement(schedule, entry))
        if warning := _length_note(setup, schedule, entry):
            progress.say(warning)
        before = clock.seconds
        trained = _train(setup, entry, progress)
        if trained.report is not None:
            progress.say(score_message(entry, trained.report))
        if entry.started_seconds is not None and schedule.training(*key) == entry:
            before = entry.started_seconds
            clock.catch_up(before + trained.run.seconds)
        overhead = clock.seconds - before - trained.run.seconds
        if overhead < 0:  # the training began before this run
            continue
        times = {"trained_seconds": trained.run.seconds, "overhead_seconds": overhead}
        done = entry.model_copy(update=times)
        store.save(load_schedule(setup.workspace).with_training(done), setup.workspace.schedule)


def _entry(
    setup: _RunSetup, schedule: RunSchedule, key: Key, dice: dict[Key, float]
) -> ScheduledTraining:
    """Return the existing entry of a training that has files, else a new entry."""
    entry = schedule.training(*key)
    folder = setup.workspace.fold(*key)
    if entry is None:
        check_not_started(folder)
    is_started = any((folder / name).is_file() for name in (CHECKPOINT_NAME, WEIGHTS_NAME))
    return entry if entry is not None and is_started else _new_entry(setup, schedule, key, dice)


def _new_entry(
    setup: _RunSetup, schedule: RunSchedule, key: Key, dice: dict[Key, float]
) -> ScheduledTraining:
    """Create the entry of a new training, with its share of the time.

    The time of the reference's number of steps is only predicted, and may be wrong for a machine
    that was not measured. So the time limits the training even if its steps should end earlier.
    """
    name, fold = key
    seconds = most_steps = None
    left = schedule.seconds_left
    if left is not None:
        to_come = remaining_trainings(setup.planned, schedule.candidates, setup.num_folds, dice)
        usable = max(0.0, left - RESERVED_SHARE * (schedule.budget_seconds or 0.0))
        seconds = training_seconds(max(1, to_come), TimeLeft(usable, _overhead(schedule)))
        if to_come == 0 and schedule.trainings:
            seconds = min(seconds, schedule.trainings[-1].seconds or seconds)
        predicted = reference_seconds(setup.planned.configuration(name), setup.machine)
        if seconds > TOO_SHORT_SHARE * predicted:
            most_steps = REFERENCE_STEPS
    return ScheduledTraining(
        configuration=name,
        fold=fold,
        seconds=seconds,
        most_steps=most_steps,
        started_seconds=schedule.seconds_spent,
    )


def _overhead(schedule: RunSchedule) -> float | None:
    """Return the mean overhead of a training (scoring, for example) in seconds; None if unknown."""
    known = [e.overhead_seconds for e in schedule.trainings if e.overhead_seconds is not None]
    return sum(known) / len(known) if known else None


def _affordable(schedule: RunSchedule) -> int | None:
    """Estimate how many trainings like the last one fit the remaining budget; None if unlimited.

    The time that the last training took counts, which is below its limit if its steps ended early.
    """
    left = schedule.seconds_left
    if left is None:
        return None
    last = schedule.trainings[-1] if schedule.trainings else None
    each = left if last is None else last.trained_seconds or last.seconds or left
    each += _overhead(schedule) or 0.0
    usable = left - RESERVED_SHARE * (schedule.budget_seconds or 0.0)
    return max(0, int(usable / each)) if each else 0


def _train(setup: _RunSetup, entry: ScheduledTraining, progress: Progress) -> TrainedFold:
    request = setup.request
    budget = None if entry.seconds is None else f"{entry.seconds:.0f}s"
    return train(
        setup.workspace,
        TrainRequest(
            fold=entry.fold,
            configuration=entry.configuration,
            length=TrainingDuration(budget=budget, most_steps=entry.most_steps),
            seed=request.seed,
            device=request.device,
            precision=request.precision,
            workers=request.workers,
            cache=request.cache,
        ),
        progress=progress,
    )


def _prepare(setup: _RunSetup, configuration: str, progress: Progress) -> None:
    workers = default_workers() if setup.request.workers is None else setup.request.workers
    preprocess(
        setup.workspace, configuration=configuration, workers=max(1, workers), progress=progress
    )


def _length_note(setup: _RunSetup, schedule: RunSchedule, entry: ScheduledTraining) -> str | None:
    """Build a note if a budget is given, but the resumed training was started without one."""
    configuration = setup.planned.configuration(entry.configuration)
    left = schedule.seconds_left
    if left is None or entry.seconds is not None:
        return None
    if reference_seconds(configuration, setup.machine) <= left:
        return None
    return (
        "note: this training was started without a budget, keeps its length, and may exceed the "
        "budget. To start it over with its share of the budget, stop and delete "
        f"{setup.workspace.fold(entry.configuration, entry.fold)}"
    )
