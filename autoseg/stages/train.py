"""`autoseg train`: train a fold into models/<configuration>/fold_<k>/ and score it."""

import platform
import shutil
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch

from autoseg.core.atomic_write import atomic_write, remove_leftovers
from autoseg.core.device import replace_out_of_memory_error
from autoseg.core.errors import Interrupted
from autoseg.core.interrupt import StopRequest, listen_for_stop
from autoseg.core.parallel import default_workers
from autoseg.core.progress import Progress
from autoseg.core.text import count_noun
from autoseg.documents import store
from autoseg.documents.model import (
    FINGERPRINT_NAME,
    MODEL_NAME,
    PLAN_NAME,
    WEIGHTS_NAME,
    TrainedModel,
)
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.recipe import AnyLength, Iterations, TrainingOptions
from autoseg.documents.report import Report
from autoseg.documents.run import Pretraining, Run
from autoseg.documents.splits import ALL, Fold
from autoseg.documents.versions import Versions
from autoseg.documents.workspace import Workspace
from autoseg.stages.cascade import (
    check_previous_stage,
    make_cascade_inputs,
    note_on_newer_stage,
)
from autoseg.stages.continuation import check_trained_with
from autoseg.stages.folds import load_fold
from autoseg.stages.predict import PredictOptions
from autoseg.stages.preprocess import preprocess
from autoseg.stages.pretrained import load_pretrained, pretraining_summary
from autoseg.stages.score_fold import VALIDATION_NAME, score_fold
from autoseg.stages.step_check import StepChecks
from autoseg.stages.training_progress import (
    TrainingReporter,
    announce,
    forecast_message,
    format_duration,
)
from autoseg.stages.training_task import (
    CHECKPOINT_NAME,
    TrainRequest,
    training_device,
    training_task,
)
from autoseg.training.checkpoint import load_checkpoint, save_weights
from autoseg.training.learning_rate import epoch_steps
from autoseg.training.lock import locked
from autoseg.training.loop import (
    Callbacks,
    TrainingTask,
    fit,
    measure_step,
    new_state,
    out_of_memory_error,
    started_with,
)
from autoseg.training.pretrained import Pretrained
from autoseg.training.state import TrainingState

RUN_NAME = "run.json"

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


def train(workspace: Workspace, request: TrainRequest, *, progress: Progress) -> TrainedFold:
    """Train one fold, or resume its training, and score its held-out cases.

    Args:
        workspace: Work folder of a planned dataset.
        request: Options for training.
        progress: Receives progress and messages.

    Raises:
        DocumentError: If there is no plan.
        TrainingError: If the fold, device or duration is invalid, other folds were trained with
            another plan, the checkpoint belongs to another training, or another process trains
            the fold.
        ModelError: If the model to start from is missing or damaged.
        Interrupted: If the user stopped the training; everything is saved.
    """
    plan = store.load(Plan, workspace.plan, made_by="autoseg plan")
    configuration = plan.configuration(request.configuration)
    fold = load_fold(workspace, request.fold, progress)
    _check(workspace, plan, configuration, request)
    check_previous_stage(workspace, plan, configuration, (*fold.train, *fold.validation))
    with locked(workspace.fold(configuration.name, request.fold)):
        return _train_fold(workspace, plan, fold, request, progress)


def _train_fold(
    workspace: Workspace, plan: Plan, fold: Fold, request: TrainRequest, progress: Progress
) -> TrainedFold:
    """Train and score a fold whose lock is held."""
    configuration = plan.configuration(request.configuration)
    workers = default_workers() if request.workers is None else request.workers
    folder = workspace.fold(configuration.name, request.fold)
    pretrained = None
    if request.pretrained is not None:
        pretrained = load_pretrained(request.pretrained, plan, configuration.architecture, progress)
    if request.restart:
        _delete_training(folder)
    preprocess(
        workspace, configuration=configuration.name, workers=max(1, workers), progress=progress
    )
    precision = StepChecks(request.cache, progress).safe_precision(
        configuration, training_device(request.device, configuration), request.precision
    )
    options = PredictOptions(
        device=request.device, precision=precision, workers=max(1, workers), cache=request.cache
    )
    cases = (*fold.train, *fold.validation)
    cascade_options = replace(options, precision=request.precision)
    make_cascade_inputs(workspace, plan, configuration, cases, cascade_options, progress)
    _record_model(workspace, plan, configuration)
    task = training_task(workspace, plan, fold, request, pretrained, precision)
    if (folder / RUN_NAME).is_file() and (folder / WEIGHTS_NAME).is_file():
        run = _load_finished_run(folder, task, progress)
        if note := note_on_newer_stage(workspace, configuration, request.fold):
            progress.say(note)
    else:
        remove_leftovers(folder)
        run = _train_and_save(task, plan, configuration, request, progress)
        if task.device.type == "cuda":
            torch.cuda.empty_cache()  # release the memory of the training for prediction
    report = None
    if request.fold != ALL:
        report = score_fold(workspace, folder, fold, options, progress)
    return TrainedFold(folder=folder, run=run, report=report)


def _check(
    workspace: Workspace, plan: Plan, configuration: Configuration, request: TrainRequest
) -> None:
    """Check a request before cases are prepared or, with `restart`, a checkpoint is deleted.

    Raises:
        TrainingError: If the device or duration is invalid, the loss cannot be computed on the
            device, or other folds were trained with another plan.
    """
    training_device(request.device, configuration)
    request.length.length(configuration.recipe, plan.training_seconds(configuration))
    replaced = request.fold if request.restart else None
    check_trained_with(workspace, plan, configuration, replaced=replaced)


def _train_and_save(
    task: TrainingTask,
    plan: Plan,
    configuration: Configuration,
    request: TrainRequest,
    progress: Progress,
) -> Run:
    """Start or resume the training, and save its result; this frees the training state."""
    progress.begin(f"training {configuration.name}, fold {request.fold}")
    with replace_out_of_memory_error(out_of_memory_error(task)):
        state = _resumed_state(task, progress) or _first_state(task, progress)
    with listen_for_stop() as stop:
        _train_to_end(task, plan, state, stop, progress)
    run = _run(configuration, request, task, state)
    _save(state, run, task.checkpoint.parent, stop)
    return run


def _train_to_end(
    task: TrainingTask, plan: Plan, state: TrainingState, stop: StopRequest, progress: Progress
) -> None:
    folder = task.checkpoint.parent
    names = tuple(target.name for target in plan.labels.targets)
    reporter = TrainingReporter(task, folder, names, progress)
    fit(task, state, Callbacks(on_step=reporter.on_step, on_epoch=reporter.on_epoch, stop=stop))
    reporter.finish(state)


def _first_state(task: TrainingTask, progress: Progress) -> TrainingState:
    """Return the initial state of a training, after a forecast of its duration.

    Raises:
        Interrupted: If the user pressed Ctrl-C, which stops a slow step of the forecast at once.
    """
    announce(task, progress)
    try:
        seconds = measure_step(task)
    except KeyboardInterrupt as stop:
        msg = "stopped before the first step. The same command starts the training."
        raise Interrupted(msg) from stop
    progress.say(forecast_message(task.length, seconds))
    state = new_state(task, epoch_steps=epoch_steps(task.recipe, task.length, seconds))
    if state.pretraining is not None:
        progress.say(pretraining_summary(state.pretraining))
    return state


def _resumed_state(task: TrainingTask, progress: Progress) -> TrainingState | None:
    if not task.checkpoint.is_file():
        return None
    state = new_state(task, epoch_steps=1)
    load_checkpoint(state, task.checkpoint, identity=task.identity, started_with=started_with(task))
    progress.say(f"resuming at step {state.position.step} from {task.checkpoint}")
    return state


def _record_model(workspace: Workspace, plan: Plan, configuration: Configuration) -> None:
    """Save the files that prediction needs next to the fold folders."""
    folder = workspace.models / configuration.name
    model = TrainedModel(configuration=configuration.name, mirror_axes=configuration.mirror_axes)
    store.save(model, folder / MODEL_NAME)
    store.save(plan, folder / PLAN_NAME)
    with atomic_write(folder / FINGERPRINT_NAME) as temporary:
        shutil.copyfile(workspace.fingerprint, temporary)


def _delete_training(folder: Path) -> None:
    shutil.rmtree(folder / VALIDATION_NAME, ignore_errors=True)
    for name in (RUN_NAME, WEIGHTS_NAME, CHECKPOINT_NAME):
        (folder / name).unlink(missing_ok=True)


def _save(state: TrainingState, run: Run, folder: Path, stop: StopRequest) -> None:
    """Save a finished training, after deleting the predictions of earlier weights.

    Raises:
        Interrupted: If the user requested a stop after the last step.
    """
    shutil.rmtree(folder / VALIDATION_NAME, ignore_errors=True)
    save_weights(state.result, folder / WEIGHTS_NAME)
    store.save(run, folder / RUN_NAME)
    if stop.is_requested:
        raise Interrupted(UNSCORED)


def _load_finished_run(folder: Path, task: TrainingTask, progress: Progress) -> Run:
    run = store.load(Run, folder / RUN_NAME, made_by="autoseg train --restart")
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
        return count_noun(length.total, "step")
    steps = "" if length.most_steps is None else f" or {count_noun(length.most_steps, 'step')}"
    return f"{format_duration(length.seconds)}{steps}"


def _run(
    configuration: Configuration, request: TrainRequest, task: TrainingTask, state: TrainingState
) -> Run:
    cuda = task.device.type == "cuda"
    return Run(
        configuration=configuration.name,
        fold=request.fold,
        recipe=task.recipe,
        options=TrainingOptions(length=task.length, seed=task.seed, precision=request.precision),
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
    )
