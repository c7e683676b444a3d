"""`autoseg run`: from a dataset to a model file; resumes where it stopped."""

from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.core.compute import Compute
from autoseg.core.device import choose_device
from autoseg.core.errors import TrainingError
from autoseg.core.names import is_file_name
from autoseg.core.progress import Progress
from autoseg.documents.model import WEIGHTS_NAME
from autoseg.documents.report import Report
from autoseg.documents.run import Run
from autoseg.documents.run_schedule import RunSchedule, ScheduledTraining
from autoseg.documents.workspace import Workspace
from autoseg.models.archive.contents import SUFFIX
from autoseg.planning.forecast import REFERENCE_STEPS
from autoseg.planning.run_candidates import (
    Key,
    affordable_trainings,
    next_training,
    reference_seconds,
    remaining_trainings,
    reserved_seconds,
    run_candidates,
    training_seconds,
    useful_trainings,
    with_previous_stages,
)
from autoseg.stages.dataset_identity import load_dataset
from autoseg.stages.export import ExportOptions, check_output, export
from autoseg.stages.folds import load_splits
from autoseg.stages.memory_check import check_training_memory
from autoseg.stages.plan.fingerprint import fingerprint
from autoseg.stages.plan.plan import (
    Timing,
    plan_configurations,
)
from autoseg.stages.predict.predict import PredictOptions
from autoseg.stages.preprocess import prepare_cases
from autoseg.stages.project import Project, load_project
from autoseg.stages.run.clock import RunClock
from autoseg.stages.run.request import RunRequest, RunSetup
from autoseg.stages.run.tracking import log_result, track_run
from autoseg.stages.run.trainings import (
    check_not_started,
    finished_reports,
    mean_dice,
    notes_on_dropped,
    run_overview,
    score_message,
    training_announcement,
)
from autoseg.stages.select.select import CrossValidated, select
from autoseg.stages.step_check import StepChecks
from autoseg.stages.test import test as score_test_cases
from autoseg.stages.train.continuation import (
    NEVER_HELD_OUT,
    check_layout,
    check_plan_options,
    check_trained_with,
    note_on_budget,
    note_on_changed_cases,
    untrainable_cascades,
)
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import CHECKPOINT_NAME, TrainRequest
from autoseg.stages.train.train import train_fold
from autoseg.tracking.isolation import LIMIT_SECONDS
from autoseg.tracking.tracked import Tracking

TOO_SHORT_SHARE = 0.25
"""A time below this share of the predicted one is certainly too short for the reference's steps."""


@dataclass(frozen=True)
class FinishedRun:
    """Result of a run.

    Attributes:
        model: The model file.
        selected: The selected model, with the leaderboard and its scores.
        schedule: The trainings and their times.
        test: Scores of the test cases; None if the dataset has none.
        issues: Held-out cases that could not be predicted or scored, and the reason for each.
    """

    model: Path
    selected: CrossValidated
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
    for tracker in request.trackers:
        tracker.check_installed()
    if request.output is not None:
        check_output(request.output)
    with RunClock(workspace, request.started) as clock:
        project = _planned(dataset, workspace, request, progress)
        with track_run(project, request, progress) as tracked:
            return _run_planned(RunSetup(project, request, tracked), clock, progress)


def _run_planned(setup: RunSetup, clock: RunClock, progress: Progress) -> FinishedRun:
    """Train, select, export and test."""
    project, request, compute = setup.project, setup.request, setup.request.compute
    workspace = project.workspace
    schedule = _schedule(setup, clock)
    progress.say(f"candidates: {', '.join(schedule.candidates)} ({schedule.reason})")
    device = choose_device(compute.device)
    for name in schedule.candidates:
        check_trained_with(project, name)
        check_training_memory(project.plan.configuration(name), device)
    reports = finished_reports(workspace, schedule, progress)
    configurations = [project.plan.configuration(name) for name in schedule.candidates]
    checks = StepChecks(compute.cache, progress)
    checks.limit_for_all(configurations, device, compute.precision)
    _score_again(setup, schedule, reports, progress)
    schedule = _train_all(setup, clock, schedule, reports, progress)
    progress.overview(run_overview(project.plan, schedule, reports, setup.num_folds, None))
    selected = select(
        workspace,
        workers=max(1, compute.num_workers),
        progress=progress,
        dataset=project.dataset,
        splits=project.splits,
    )
    output = request.output or workspace.root / f"{_model_name(project)}{SUFFIX}"
    export(workspace.root, output, ExportOptions())
    test_report = _test(project, compute, progress)
    schedule = clock.save(schedule)
    log_result(setup.tracked, project, schedule, output, test_report)
    issues = tuple(
        (f"{name}, fold {fold}, {issue.name}", issue.message)
        for (name, fold), report in reports.items()
        for issue in report.issues
    )
    return FinishedRun(output, selected, schedule, test_report, issues)


def _model_name(project: Project) -> str:
    """Return the name of the dataset, or another one if it cannot be that of a file."""
    name = project.plan.dataset_name
    return name if is_file_name(name) else "model"


def _planned(
    dataset: Path, workspace: Workspace, request: RunRequest, progress: Progress
) -> Project:
    """Load the project with the existing plan, which may be edited, or make a new plan."""
    compute = request.compute
    timing = Timing(
        cache=compute.cache, budget_seconds=request.budget_seconds, device=compute.device
    )
    plan_request = replace(request.planning, timing=timing)
    if workspace.plan.is_file():
        progress.say(f"using the existing plan: {workspace.plan}")
        spec = load_dataset(dataset, workspace)
        check_layout(dataset, spec, request.choices.layout)
        project = load_project(workspace, progress, dataset=spec)
        check_plan_options(workspace, project.plan, plan_request, progress)
        budget_note = note_on_budget(project.plan, request.budget_seconds)
        for note in filter(None, (budget_note, note_on_changed_cases(dataset, spec))):
            progress.say(note)
        return project
    spec, measured = fingerprint(
        dataset, workspace, request.choices, workers=compute.num_workers, progress=progress
    )
    splits = load_splits(workspace, spec, measured, progress, path=plan_request.splits)
    plan = plan_configurations(
        workspace, measured, plan_request, num_folds=len(splits.folds), progress=progress
    )
    return Project(workspace, spec, measured, plan, splits)


def _test(project: Project, compute: Compute, progress: Progress) -> Report | None:
    """Predict and score the test cases; None if the dataset has none."""
    if not project.dataset.test_cases:
        return None
    options = PredictOptions(project.workspace.root, compute=compute)
    return score_test_cases(project.workspace, project.dataset, options, progress)


def _schedule(setup: RunSetup, clock: RunClock) -> RunSchedule:
    """Create and save the schedule; an earlier one keeps its trainings and gets the new budget."""
    planned, request = setup.project.plan, setup.request
    if request.configurations is None:
        chosen = run_candidates(planned, setup.num_folds, setup.machine, request.budget_seconds)
        names, reason = chosen.value, chosen.reason
    else:
        names = with_previous_stages(planned, request.configurations)
        stages = names[len(set(request.configurations)) :]
        reason = f"requested, with previous stages {', '.join(stages)}" if stages else "requested"
    impossible = untrainable_cascades(setup.project, names)
    if impossible:
        if request.configurations is not None:
            raise TrainingError(f"{', '.join(impossible)} cannot be trained: {NEVER_HELD_OUT}")
        names = tuple(name for name in names if name not in impossible)
        reason += f"; without {', '.join(impossible)}: {NEVER_HELD_OUT}"
    return clock.save(
        RunSchedule(
            budget_seconds=request.budget_seconds,
            candidates=names,
            reason=reason,
            trainings=() if clock.schedule is None else clock.schedule.trainings,
        )
    )


def _score_again(
    setup: RunSetup, schedule: RunSchedule, reports: dict[Key, Report], progress: Progress
) -> None:
    """Predict and score held-out cases again that failed in an earlier run; update `reports`."""
    dice = mean_dice(reports)
    for key in [key for key, report in reports.items() if report.issues]:
        _train(setup, _entry(setup, schedule, key, dice), reports, progress)


def _train_all(
    setup: RunSetup,
    clock: RunClock,
    schedule: RunSchedule,
    reports: dict[Key, Report],
    progress: Progress,
) -> RunSchedule:
    """Train until no candidate has a fold left to train, and return the final schedule.

    The scores of new trainings are added to `reports`.
    """
    while True:
        schedule = clock.save(schedule)
        dice = mean_dice(reports)
        names = schedule.candidates
        key = next_training(
            setup.project.plan, names, setup.num_folds, dice, affordable_trainings(schedule)
        )
        is_new = key is not None and schedule.training(*key) is None
        if key is None or (is_new and dice and useful_trainings(schedule, 1) < 1):
            for note in notes_on_dropped(names, dice, setup.num_folds):
                progress.say(note)
            return schedule
        workers = max(1, setup.request.compute.num_workers)
        prepare_cases(setup.project, key[0], workers=workers, progress=progress)
        # preparing happens once, so it does not count as overhead of a training
        schedule = clock.save(schedule)
        entry = _entry(setup, schedule, key, dice)
        is_resumed = schedule.training(*key) == entry
        schedule = clock.save(schedule.with_training(entry))
        progress.say(training_announcement(schedule, entry))
        progress.overview(run_overview(setup.project.plan, schedule, reports, setup.num_folds, key))
        if warning := _length_note(setup, schedule, entry):
            progress.say(warning)
        before = clock.seconds
        trained = _train(setup, entry, reports, progress)
        progress.say(score_message(entry, reports[key]))
        if entry.started_seconds is not None and is_resumed:
            before = entry.started_seconds
            clock.catch_up(before + trained.seconds)
        overhead = clock.seconds - before - trained.seconds
        if overhead < 0:  # the training began before this run
            continue
        times = {"trained_seconds": trained.seconds, "overhead_seconds": overhead}
        schedule = schedule.with_training(entry.model_copy(update=times))


def _entry(
    setup: RunSetup, schedule: RunSchedule, key: Key, dice: dict[Key, float]
) -> ScheduledTraining:
    """Return the existing entry of a training that has files, else a new entry."""
    entry = schedule.training(*key)
    folder = setup.project.workspace.fold(*key)
    if entry is None:
        check_not_started(folder)
    is_started = any((folder / name).is_file() for name in (CHECKPOINT_NAME, WEIGHTS_NAME))
    return entry if entry is not None and is_started else new_entry(setup, schedule, key, dice)


def new_entry(
    setup: RunSetup, schedule: RunSchedule, key: Key, dice: dict[Key, float]
) -> ScheduledTraining:
    """Create the entry of a new training, with its share of the time.

    The time of the reference's number of steps is only predicted, and may be wrong for a machine
    that was not measured. So the time limits the training even if its steps should end earlier.

    Args:
        setup: Project and request.
        schedule: Schedule of the run.
        key: Configuration and fold.
        dice: Mean Dice of the finished trainings.
    """
    name, fold = key
    seconds = most_steps = None
    left = schedule.seconds_left
    if left is not None:
        plan = setup.project.plan
        to_come = remaining_trainings(plan, schedule.candidates, setup.num_folds, dice)
        usable = max(0.0, left - reserved_seconds(schedule))
        useful = max(1, useful_trainings(schedule, to_come))
        seconds = training_seconds(useful, usable, schedule.longest_overhead_seconds)
        if to_come == 0 and schedule.trainings:
            seconds = min(seconds, schedule.trainings[-1].seconds or seconds)
        predicted = reference_seconds(plan.configuration(name), setup.machine)
        if seconds > TOO_SHORT_SHARE * predicted:
            most_steps = REFERENCE_STEPS
    return ScheduledTraining(
        configuration=name,
        fold=fold,
        seconds=seconds,
        most_steps=most_steps,
        started_seconds=schedule.seconds_spent,
    )


def _train(
    setup: RunSetup, entry: ScheduledTraining, reports: dict[Key, Report], progress: Progress
) -> Run:
    """Train one fold and add its scores to `reports`; return the record of the training."""
    budget = None if entry.seconds is None else f"{entry.seconds:.0f}s"
    # trackers nest the training in this run, which must have started
    setup.tracked.wait(LIMIT_SECONDS)
    request = TrainRequest(
        fold=entry.fold,
        configuration=entry.configuration,
        length=TrainingDuration(budget=budget, most_steps=entry.most_steps),
        seed=setup.request.seed,
        compute=setup.request.compute,
        tracking=Tracking(setup.request.trackers, setup.tracked.ids),
    )
    trained = train_fold(setup.project, request, progress=progress)
    if trained.report is not None:
        reports[entry.configuration, entry.fold] = trained.report
    return trained.run


def _length_note(setup: RunSetup, schedule: RunSchedule, entry: ScheduledTraining) -> str | None:
    """Build a note if a budget is given, but the resumed training was started without one."""
    left = schedule.seconds_left
    if left is None or entry.seconds is not None:
        return None
    configuration = setup.project.plan.configuration(entry.configuration)
    if reference_seconds(configuration, setup.machine) <= left:
        return None
    return (
        "note: this training was started without a budget, keeps its length, and may exceed the "
        "budget. To start it over with its share of the budget, stop and delete "
        f"{setup.project.workspace.fold(entry.configuration, entry.fold)}"
    )
