"""`autoseg run`: everything from a dataset to a model file, going on where it stopped."""

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
    run_candidates,
    training_seconds,
    trainings_to_come,
    with_stages,
)
from autoseg.stages.continuation import (
    NEVER_HELD_OUT,
    Asked,
    cascades_without_folds,
    check_plan_is_asked,
    check_trained_with,
    note_on_budget,
    note_on_changed_cases,
)
from autoseg.stages.dataset_identity import check_dataset_identity
from autoseg.stages.export import ExportOptions, check_output, export
from autoseg.stages.finished_trainings import (
    check_not_begun,
    finished_reports,
    mean_dice,
    notes_on_others,
)
from autoseg.stages.folds import load_splits
from autoseg.stages.plan import PlanRequest, Timing, load_plan, plan, this_machine
from autoseg.stages.predict import PredictOptions
from autoseg.stages.preprocess import preprocess
from autoseg.stages.run_clock import RunClock, load_schedule
from autoseg.stages.run_messages import announcement, notes_on_dropped, score_of
from autoseg.stages.select import select
from autoseg.stages.step_check import StepChecks
from autoseg.stages.test import test as score_test_cases
from autoseg.stages.train import TrainedFold, train
from autoseg.stages.training_duration import TrainingDuration
from autoseg.stages.training_task import CHECKPOINT_NAME, TrainRequest

SURE_SHARE = 0.25
"""Share of the time predicted for the reference's steps that surely is too short for them."""


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for.

    Attributes:
        budget_seconds: Time for everything; None trains every configuration in full.
        configurations: Which may be trained; None takes those that are worth it.
        network: Architecture, for planning.
        loss: Loss, for planning.
        memory_gib: Accelerator memory to plan for; None is the machine's.
        output: Model file; None is the dataset's name in the work folder.
        seed: Of every training.
        device: Name of the device.
        precision: Type that convolutions compute in.
        workers: Background processes; None fits the machine.
        skip_bad_cases: Whether to go on without the cases that have issues.
        cache: Folder that measurements of machines are kept in; None measures no speed.
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
    """What came of a run.

    Attributes:
        model: The model file.
        selection: What was chosen, with the leaderboard.
        schedule: How the time was spent.
        test: Scores of the dataset's test cases; None if it has none.
        issues: Held-out cases that could not be predicted or scored, with where and why.
    """

    model: Path
    selection: Selection
    schedule: RunSchedule
    test: Report | None
    issues: tuple[tuple[str, str], ...] = ()


def run(
    dataset: Path, workspace: Workspace, request: RunRequest, *, progress: Progress
) -> FinishedRun:
    """Check, plan, train, select and export; what is done already is not done again.

    Raises:
        DatasetError: If the dataset has issues.
        PlanError: If a configuration is asked for that the plan does not have.
        TrainingError: If a training is refused or fails, or one that is done is of another plan.
        ModelError: If the output is no name for a model file.
        Interrupted: If someone asked to stop; the same command goes on.
    """
    if request.output is not None:
        check_output(request.output)
    clock = RunClock(workspace)
    with clock.running():
        planned = _planned(dataset, workspace, request, progress)
        num_folds = len(load_splits(workspace, progress).folds)
        schedule = _schedule(workspace, planned, request, num_folds, spent=clock.seconds)
        progress.say(f"entering: {', '.join(schedule.candidates)} ({schedule.reason})")
        for name in schedule.candidates:
            check_trained_with(workspace, planned, planned.configuration(name))
        course = _Course(workspace, planned, num_folds, request)
        for note in notes_on_others(workspace, schedule):
            progress.say(note)
        StepChecks(request.cache, progress).limit_for_all(
            [planned.configuration(name) for name in schedule.candidates],
            choose_device(request.device),
            request.precision,
        )
        _score_again(course, schedule, progress)
        _train_all(course, clock, progress)
        workers = default_workers() if request.workers is None else request.workers
        selection = select(workspace, workers=max(1, workers), progress=progress)
        output = request.output or workspace.root / f"{planned.dataset_name}{SUFFIX}"
        export(workspace.root, output, ExportOptions())
        tested = _tested(workspace, request, progress)
    issues = tuple(
        (f"{name}, fold {fold}, {issue.name}", issue.message)
        for (name, fold), report in finished_reports(workspace, schedule.candidates).items()
        for issue in report.issues
    )
    return FinishedRun(output, selection, load_schedule(workspace), tested, issues)


def _planned(dataset: Path, workspace: Workspace, request: RunRequest, progress: Progress) -> Plan:
    """Return the plan that is there, which may hold edits, or make one."""
    if workspace.plan.is_file():
        progress.say(f"going by the plan that is there: {workspace.plan}")
        check_dataset_identity(dataset, workspace)
        planned = load_plan(workspace)
        asked = Asked(request.network, request.loss, request.memory_gib)
        check_plan_is_asked(workspace, planned, asked, progress)
        if note := note_on_budget(planned, request.budget_seconds):
            progress.say(note)
        if note := note_on_changed_cases(dataset, workspace):
            progress.say(note)
        return planned
    workers = default_workers() if request.workers is None else request.workers
    timing = Timing(
        cache=request.cache,
        budget_seconds=request.budget_seconds,
        is_shared=True,
        device=request.device,
    )
    wishes = PlanRequest(request.network, request.loss, request.memory_gib, timing=timing)
    return plan(
        dataset,
        workspace,
        wishes,
        workers=workers,
        skip_bad_cases=request.skip_bad_cases,
        progress=progress,
    )


def _tested(workspace: Workspace, request: RunRequest, progress: Progress) -> Report | None:
    """Return the scores of the test cases, if the dataset has any."""
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
    """Return the schedule to go on with, saved: an earlier one with the budget of now, or anew."""
    if request.configurations is None:
        machine = this_machine(request.device, request.cache)
        chosen = run_candidates(planned, num_folds, machine, request.budget_seconds)
        names, reason = chosen.value, chosen.reason
    else:
        names = with_stages(planned, request.configurations)
        stages = names[len(set(request.configurations)) :]
        reason = f"asked for, with {', '.join(stages)} to refine" if stages else "asked for"
    impossible = cascades_without_folds(workspace, planned, names)
    if impossible:
        if request.configurations is not None:
            raise TrainingError(f"{', '.join(impossible)} cannot be trained: {NEVER_HELD_OUT}")
        names = tuple(name for name in names if name not in impossible)
        reason += f"; without {', '.join(impossible)}, reason {NEVER_HELD_OUT}"
    known = load_schedule(workspace) if workspace.schedule.is_file() else None
    schedule = RunSchedule(
        budget_seconds=request.budget_seconds,
        seconds_spent=spent,
        candidates=names,
        reason=reason,
        trainings=() if known is None else known.trainings,
    )
    store.save(schedule, workspace.schedule)
    return schedule


@dataclass(frozen=True)
class _Course:
    """What stays the same over all trainings of a run."""

    workspace: Workspace
    planned: Plan
    num_folds: int
    request: RunRequest

    @property
    def machine(self) -> Machine:
        """What trains."""
        return this_machine(self.request.device, self.request.cache)


def _score_again(course: _Course, schedule: RunSchedule, progress: Progress) -> None:
    """Predict and score those held-out cases once more that an earlier run could not."""
    reports = finished_reports(course.workspace, schedule.candidates)
    dice = mean_dice(reports)
    for key in (key for key, report in reports.items() if report.issues):
        _train(course, _entry(course, schedule, key, dice), progress)


def _train_all(course: _Course, clock: RunClock, progress: Progress) -> None:
    """Train until the rules of the race find nothing more to train."""
    while True:
        clock.save()
        schedule = load_schedule(course.workspace)
        dice = mean_dice(finished_reports(course.workspace, schedule.candidates))
        names = schedule.candidates
        key = next_training(course.planned, names, course.num_folds, dice, _affordable(schedule))
        if key is None:
            for note in notes_on_dropped(names, dice, course.num_folds):
                progress.say(note)
            return
        _prepare(course, key[0], progress)
        clock.save()  # preparing is done once, so that it is not in what each training takes
        schedule = load_schedule(course.workspace)
        entry = _entry(course, schedule, key, dice)
        store.save(schedule.with_training(entry), course.workspace.schedule)
        progress.say(announcement(schedule, entry))
        if warning := _note_on_length(course, schedule, entry):
            progress.say(warning)
        before = clock.seconds
        trained = _train(course, entry, progress)
        if trained.report is not None:
            progress.say(score_of(entry, trained.report))
        if entry.started_seconds is not None and schedule.training(*key) == entry:
            before = entry.started_seconds
            clock.catch_up(before + trained.run.seconds)
        overhead = clock.seconds - before - trained.run.seconds
        if overhead < 0:  # it had begun before this run
            continue
        took = {"trained_seconds": trained.run.seconds, "overhead_seconds": overhead}
        done = entry.model_copy(update=took)
        store.save(load_schedule(course.workspace).with_training(done), course.workspace.schedule)


def _entry(
    course: _Course, schedule: RunSchedule, key: Key, dice: dict[Key, float]
) -> ScheduledTraining:
    """Return the entry of a training: as it was begun, if anything of it is left, or anew."""
    known = schedule.training(*key)
    folder = course.workspace.fold(*key)
    if known is None:
        check_not_begun(folder)
    is_begun = any((folder / name).is_file() for name in (CHECKPOINT_NAME, WEIGHTS_NAME))
    return known if known is not None and is_begun else _begun(course, schedule, key, dice)


def _begun(
    course: _Course, schedule: RunSchedule, key: Key, dice: dict[Key, float]
) -> ScheduledTraining:
    """Return the entry of a training that begins now, with its share of the time.

    How long the reference's number of steps would take is only predicted, and may err on a machine
    that was not measured; so the time counts too where the steps are expected to be through before.
    """
    name, fold = key
    seconds = most_steps = None
    left = schedule.seconds_left
    if left is not None:
        to_come = trainings_to_come(course.planned, schedule.candidates, course.num_folds, dice)
        usable = max(0.0, left - RESERVED_SHARE * (schedule.budget_seconds or 0.0))
        seconds = training_seconds(max(1, to_come), TimeLeft(usable, _overhead(schedule)))
        if to_come == 0 and schedule.trainings:
            seconds = min(seconds, schedule.trainings[-1].seconds or seconds)
        predicted = reference_seconds(course.planned.configuration(name), course.machine)
        if seconds > SURE_SHARE * predicted:
            most_steps = REFERENCE_STEPS
    return ScheduledTraining(
        configuration=name,
        fold=fold,
        seconds=seconds,
        most_steps=most_steps,
        started_seconds=schedule.seconds_spent,
    )


def _overhead(schedule: RunSchedule) -> float | None:
    """Return what trainings took beside themselves on average, in seconds."""
    known = [e.overhead_seconds for e in schedule.trainings if e.overhead_seconds is not None]
    return sum(known) / len(known) if known else None


def _affordable(schedule: RunSchedule) -> int | None:
    """Return how many trainings like the last one the budget still holds; None for any number.

    What counts is the time that one took: where its steps were through early, it is less than it
    was given.
    """
    left = schedule.seconds_left
    if left is None:
        return None
    last = schedule.trainings[-1] if schedule.trainings else None
    each = left if last is None else last.trained_seconds or last.seconds or left
    each += _overhead(schedule) or 0.0
    usable = left - RESERVED_SHARE * (schedule.budget_seconds or 0.0)
    return max(0, int(usable / each)) if each else 0


def _train(course: _Course, entry: ScheduledTraining, progress: Progress) -> TrainedFold:
    request = course.request
    budget = None if entry.seconds is None else f"{entry.seconds:.0f}s"
    return train(
        course.workspace,
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


def _prepare(course: _Course, configuration: str, progress: Progress) -> None:
    workers = default_workers() if course.request.workers is None else course.request.workers
    preprocess(
        course.workspace, configuration=configuration, workers=max(1, workers), progress=progress
    )


def _note_on_length(course: _Course, schedule: RunSchedule, entry: ScheduledTraining) -> str | None:
    """Return a sentence if a training goes on that was begun without a budget, and there is one."""
    configuration = course.planned.configuration(entry.configuration)
    left = schedule.seconds_left
    if left is None or entry.seconds is not None:
        return None
    if reference_seconds(configuration, course.machine) <= left:
        return None
    return (
        "note: this training was begun without a budget, keeps its length, and may take longer "
        "than the budget. To begin it anew with its share of the budget, stop and delete "
        f"{course.workspace.fold(entry.configuration, entry.fold)}"
    )
