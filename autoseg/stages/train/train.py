"""`autoseg train`: train a fold into models/<configuration>/fold_<k>/ and score it."""

import platform
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch

from autoseg.core.atomic_write import remove_folder
from autoseg.core.device import replace_out_of_memory_error
from autoseg.core.errors import Interrupted
from autoseg.core.formatting import format_count, format_duration
from autoseg.core.interrupt import listen_for_stop
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.model import WEIGHTS_NAME, TrainedModel
from autoseg.documents.plan import Configuration
from autoseg.documents.recipe import AnyLength, Iterations, TrainingOptions
from autoseg.documents.report import Report
from autoseg.documents.run import Pretraining, Run
from autoseg.documents.splits import ALL, Fold
from autoseg.documents.versions import Versions
from autoseg.documents.workspace import Workspace
from autoseg.models.folder import ModelFolder
from autoseg.planning.step_memory import step_memory_gib
from autoseg.stages.memory_check import check_training_memory
from autoseg.stages.preprocess import prepare_cases
from autoseg.stages.project import Project, fold_cases, load_project
from autoseg.stages.step_check import StepChecks
from autoseg.stages.train.cascade import (
    check_previous_stage,
    note_on_newer_stage,
    stage_weights,
    with_cascade_inputs,
)
from autoseg.stages.train.continuation import check_trained_with
from autoseg.stages.train.pretrained import load_pretrained, pretraining_summary
from autoseg.stages.train.progress import (
    TrainingReporter,
    announce,
    forecast_message,
    memory_message,
)
from autoseg.stages.train.score_fold import VALIDATION_NAME, score_fold
from autoseg.stages.train.task import CHECKPOINT_NAME, TrainRequest, training_device, training_task
from autoseg.stages.train.tracking import TrackedFold, track_fold
from autoseg.tracking.tracked import forget
from autoseg.training.checkpoint import load_checkpoint, save_weights
from autoseg.training.fit import fit
from autoseg.training.lock import locked
from autoseg.training.loop import measure_step, new_state, out_of_memory_error
from autoseg.training.peak_memory import PeakMemory
from autoseg.training.position import epoch_steps
from autoseg.training.pretrained import Pretrained
from autoseg.training.state import TrainingState
from autoseg.training.task import Callbacks, TrainingTask

UNSCORED = "stopped; the training is complete. The same command scores the held-out cases."
"""Message if the user stops between training and scoring."""


@dataclass(frozen=True)
class TrainedFold:
    """A completely trained fold.

    Attributes:
        folder: The fold folder.
        run: The record of its training.
        report: Scores of the held-out cases, predicted at full size; None without held-out cases.
    """

    folder: Path
    run: Run
    report: Report | None


def train(
    workspace: Workspace,
    request: TrainRequest,
    *,
    progress: Progress,
    dataset: DatasetSpec | None = None,
) -> TrainedFold:
    """Load a project and train one of its folds, see `train_fold`.

    Args:
        workspace: Work folder of a planned dataset.
        request: Options for training.
        progress: Receives progress and messages.
        dataset: Description of the dataset; None loads it.

    Raises:
        DocumentError: If the dataset has not been planned.
    """
    project = load_project(workspace, progress, dataset=dataset)
    return train_fold(project, request, progress=progress)


def train_fold(project: Project, request: TrainRequest, *, progress: Progress) -> TrainedFold:
    """Train one fold, or resume its training, and score its held-out cases.

    Args:
        project: The project.
        request: Options for training.
        progress: Receives progress and messages.

    Raises:
        TrainingError: If the fold, device or duration is invalid, other folds were trained with
            another plan, the checkpoint belongs to another training, or another process trains
            the fold.
        ModelError: If the model to start from is missing or damaged.
        Interrupted: If the user stopped the training; everything is saved.
    """
    configuration = project.plan.configuration(request.configuration)
    fold = fold_cases(project, request.fold, progress)
    _check(project, configuration, request)
    check_previous_stage(project, configuration, (*fold.train, *fold.validation))
    with locked(project.workspace.fold(configuration.name, request.fold)):
        return _train_locked(project, fold, request, progress)


def _train_locked(
    project: Project, fold: Fold, request: TrainRequest, progress: Progress
) -> TrainedFold:
    """Train and score a fold whose lock is held."""
    plan, workspace = project.plan, project.workspace
    configuration = plan.configuration(request.configuration)
    folder = workspace.fold(configuration.name, request.fold)
    compute = replace(request.compute, workers=max(1, request.compute.num_workers))
    pretrained = None
    if request.pretrained is not None:
        pretrained = load_pretrained(request.pretrained, plan, configuration.architecture, progress)
    if request.restart:
        _delete_training(folder, workspace.root)
    cases = prepare_cases(
        project, configuration.name, workers=compute.num_workers, progress=progress
    ).cases
    precision = StepChecks(compute.cache, progress).safe_precision(
        configuration, training_device(compute.device, configuration), compute.precision
    )
    used = [cases[name] for name in (*fold.train, *fold.validation)]
    cases = with_cascade_inputs(project, configuration, used, compute, progress)
    stored = record_model(project, configuration)
    task = training_task(project, fold, cases, request, pretrained, precision)
    with track_fold(project, configuration, task, request, progress) as tracked:
        if (folder / Run.FILE_NAME).is_file() and (folder / WEIGHTS_NAME).is_file():
            run = _load_finished_run(folder, task, progress)
            if note := note_on_newer_stage(workspace, configuration, request.fold):
                progress.say(note)
        else:
            run = _train_and_save(task, configuration, request, progress, tracked)
            if task.device.type == "cuda":
                torch.cuda.empty_cache()  # release the memory of the training for prediction
        report = None
        if request.fold != ALL:
            compute = replace(compute, precision=precision)
            report = score_fold(project, stored, request.fold, compute, progress)
        tracked.finish(run, report)
    return TrainedFold(folder=folder, run=run, report=report)


def _check(project: Project, configuration: Configuration, request: TrainRequest) -> None:
    """Check a request before cases are prepared or, with `restart`, a checkpoint is deleted."""
    request.tracking.check_installed()
    check_training_memory(configuration, training_device(request.compute.device, configuration))
    request.length.length(configuration.recipe, project.plan.training_seconds(configuration))
    replaced = request.fold if request.restart else None
    check_trained_with(project, configuration.name, replaced=replaced)


def _train_and_save(
    task: TrainingTask,
    configuration: Configuration,
    request: TrainRequest,
    progress: Progress,
    tracked: TrackedFold,
) -> Run:
    """Start or resume the training, and save its result; this frees the training state."""
    progress.begin(f"training {configuration.name}, fold {request.fold}")
    folder, names = task.checkpoint.parent, tuple(target.name for target in task.labels.targets)
    workspace = Workspace(folder.parents[2])
    stage = stage_weights(workspace, configuration)
    memory = PeakMemory(task.device)
    with replace_out_of_memory_error(out_of_memory_error(task)):
        state = _resumed_state(task, progress) or _first_state(task, progress)
    reporter = TrainingReporter(task, folder, names, progress)

    def on_step(state: TrainingState) -> None:
        reporter.on_step(state)
        tracked.check()

    def on_epoch(state: TrainingState) -> None:
        reporter.on_epoch(state)
        tracked.log(state.history, memory.gib)

    with listen_for_stop() as stop:
        fit(task, state, Callbacks(on_step, on_epoch, stop, progress.say))
        reporter.finish(state)
    run = _run(configuration, request, task, state).model_copy(
        update={"stage_weights": stage, "peak_memory_gib": memory.gib}
    )
    progress.say(memory_message(run))
    remove_folder(folder / VALIDATION_NAME, workspace.root)  # predictions of earlier weights
    save_weights(state.result, folder / WEIGHTS_NAME)
    store.save(run, folder / Run.FILE_NAME)
    if stop.is_requested:
        raise Interrupted(UNSCORED)
    return run


def _first_state(task: TrainingTask, progress: Progress) -> TrainingState:
    """Return the initial state of a training, after a forecast of its duration."""
    announce(task, progress)
    try:
        seconds = measure_step(task)
    except KeyboardInterrupt as stop:  # Ctrl-C stops a slow step of the forecast at once
        msg = "stopped before the first step. The same command starts the training."
        raise Interrupted(msg) from stop
    state = new_state(task, epoch_steps=epoch_steps(task.recipe, task.length, seconds))
    progress.say(forecast_message(task.length, seconds))
    if state.pretraining is not None:
        progress.say(pretraining_summary(state.pretraining))
    return state


def _resumed_state(task: TrainingTask, progress: Progress) -> TrainingState | None:
    if not task.checkpoint.is_file():
        return None
    state = new_state(task, epoch_steps=1)
    load_checkpoint(state, task.checkpoint, identity=task.identity, started_with=task.started_with)
    progress.say(f"resuming at step {state.position.step} from {task.checkpoint}")
    return state


def record_model(project: Project, configuration: Configuration) -> ModelFolder:
    """Save the files that prediction needs next to the fold folders."""
    stored = ModelFolder(
        project.workspace.models / configuration.name,
        trained=TrainedModel(
            configuration=configuration.name, mirror_axes=configuration.mirror_axes
        ),
        plan=project.plan,
        fingerprint=project.fingerprint,
    )
    stored.save()
    return stored


def _delete_training(folder: Path, root: Path) -> None:
    remove_folder(folder / VALIDATION_NAME, root)
    forget(folder, root)
    for name in (Run.FILE_NAME, WEIGHTS_NAME, CHECKPOINT_NAME):
        (folder / name).unlink(missing_ok=True)


def _load_finished_run(folder: Path, task: TrainingTask, progress: Progress) -> Run:
    run = store.load(Run, folder / Run.FILE_NAME)
    if differences := _differences(run, task):
        progress.say(
            f"this fold is already trained ({run.steps} steps in {format_duration(run.seconds)}), "
            f"with different settings: {'; '.join(differences)}. --restart retrains it"
        )
    else:
        progress.say(f"this fold is already trained: {folder}")
    return run


def _differences(run: Run, task: TrainingTask) -> list[str]:
    """List the differences between a finished training and the requested one."""
    differences = []
    if run.options.length != task.length:
        differences.append(f"{_length(run.options.length)}, requested {_length(task.length)}")
    if run.options.seed != task.seed:
        differences.append(f"seed {run.options.seed}, requested {task.seed}")
    used, requested = run.pretraining, task.pretrained
    if (used and used.sha256) != (requested and requested.sha256):
        differences.append(f"initialised {_start(used)}; requested {_start(requested)}")
    return differences


def _start(pretrained: Pretraining | Pretrained | None) -> str:
    return "randomly" if pretrained is None else f"from {pretrained.model}"


def _length(length: AnyLength) -> str:
    """Format a training length as a number of steps or a time."""
    if isinstance(length, Iterations):
        return format_count(length.total, "step")
    steps = "" if length.most_steps is None else f" or {format_count(length.most_steps, 'step')}"
    return f"{format_duration(length.seconds)}{steps}"


def _run(
    configuration: Configuration, request: TrainRequest, task: TrainingTask, state: TrainingState
) -> Run:
    cuda = task.device.type == "cuda"
    return Run(
        configuration=configuration.name,
        fold=request.fold,
        recipe=task.recipe,
        options=TrainingOptions(
            length=task.length, seed=task.seed, precision=request.compute.precision
        ),
        device=torch.cuda.get_device_name(task.device) if cuda else str(task.device),
        precision=str(task.dtype).removeprefix("torch."),
        steps=state.position.step,
        seconds=state.position.seconds,
        epoch_steps=state.epoch_steps,
        parameters=sum(parameter.numel() for parameter in state.network.parameters()),
        versions=Versions(
            autoseg=version("autoseg"), torch=torch.__version__, python=platform.python_version()
        ),
        history=tuple(state.history),
        pretraining=state.pretraining,
        resubstitution=task.data.held_out_cases != task.data.validation_cases,
        predicted_memory_gib=step_memory_gib(
            task.architecture, configuration.batch_size, task.recipe
        ),
    )
