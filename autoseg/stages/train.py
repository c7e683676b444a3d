"""`autoseg train`: prepared cases -> models/<configuration>/fold_<k>/."""

import platform
import shutil
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch

from autoseg.core.atomic_write import atomic_write, remove_leftovers
from autoseg.core.device import naming_lack_of_memory
from autoseg.core.errors import Interrupted
from autoseg.core.interrupt import StopRequest, listening
from autoseg.core.parallel import default_workers
from autoseg.core.progress import Progress
from autoseg.core.text import counted
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
from autoseg.documents.run import Run
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
from autoseg.stages.pretrained import load_pretrained, told
from autoseg.stages.score_fold import VALIDATION_NAME, score_fold
from autoseg.stages.step_check import StepChecks
from autoseg.stages.training_progress import TrainingReporter, announce, duration, forecast
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
    started_with,
    too_large,
)
from autoseg.training.state import TrainingState

RUN_NAME = "run.json"

UNSCORED = "stopped; the training is complete. The same command scores it and goes on from there."
"""What to tell whoever stops between training and scoring."""


@dataclass(frozen=True)
class TrainedFold:
    """A fold that is trained to its end.

    Attributes:
        folder: Where it lies.
        run: The record of its training.
        report: Scores of the held-out cases, predicted whole; None if none was held out.
    """

    folder: Path
    run: Run
    report: Report | None


def train(workspace: Workspace, request: TrainRequest, *, progress: Progress) -> TrainedFold:
    """Train one fold to its end, or go on where it stopped, and score its held-out cases.

    Raises:
        DocumentError: If there is no plan.
        TrainingError: If the fold, device or length is none, other folds were trained with another
            plan, the fold's checkpoint belongs to another training, or another process trains it.
        ModelError: If the model to start from is missing or damaged.
        Interrupted: If someone asked to stop; everything is saved.
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
    """Train and score a fold that nobody else trains now."""
    configuration = plan.configuration(request.configuration)
    workers = default_workers() if request.workers is None else request.workers
    folder = workspace.fold(configuration.name, request.fold)
    pretrained = None
    if request.pretrained is not None:
        pretrained = load_pretrained(request.pretrained, plan, configuration.architecture, progress)
    if request.restart:
        _forget(folder)
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
    asked = replace(options, precision=request.precision)
    make_cascade_inputs(workspace, plan, configuration, cases, asked, progress)
    _record_model(workspace, plan, configuration)
    task = training_task(workspace, plan, fold, request, pretrained, precision)
    if (folder / RUN_NAME).is_file() and (folder / WEIGHTS_NAME).is_file():
        run = _finished_run(folder, task, progress)
        if note := note_on_newer_stage(workspace, configuration, request.fold):
            progress.say(note)
    else:
        remove_leftovers(folder)
        run = _trained(task, plan, configuration, request, progress)
        if task.device.type == "cuda":
            torch.cuda.empty_cache()  # what the training held is for predicting now
    report = None
    if request.fold != ALL:
        report = score_fold(workspace, folder, fold, options, progress)
    return TrainedFold(folder=folder, run=run, report=report)


def _check(
    workspace: Workspace, plan: Plan, configuration: Configuration, request: TrainRequest
) -> None:
    """Find what is wrong with a request before it costs a preprocessing or, restarting, a model.

    Raises:
        TrainingError: If the device or length is none, the loss cannot be computed there, or the
            plan is not that of other folds.
    """
    training_device(request.device, configuration)
    request.length.length(configuration.recipe, plan.training_seconds(configuration))
    replaced = request.fold if request.restart else None
    check_trained_with(workspace, plan, configuration, replaced=replaced)


def _trained(
    task: TrainingTask,
    plan: Plan,
    configuration: Configuration,
    request: TrainRequest,
    progress: Progress,
) -> Run:
    """Train to the end, or go on to it, and save what came of it; the state is gone then."""
    progress.begin(f"training {configuration.name}, fold {request.fold}")
    with naming_lack_of_memory(too_large(task)):
        state = _resumed_state(task, progress) or _first_state(task, progress)
    with listening() as stop:
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
    """Return the state that a training begins with, after a forecast of its length.

    Raises:
        Interrupted: If Ctrl-C came; it ends a slow step of the forecast at once.
    """
    announce(task, progress)
    try:
        seconds = measure_step(task)
    except KeyboardInterrupt as stop:
        msg = "stopped before the first step. The same command begins the training."
        raise Interrupted(msg) from stop
    progress.say(forecast(task.length, seconds))
    state = new_state(task, epoch_steps=epoch_steps(task.recipe, task.length, seconds))
    if state.pretraining is not None:
        progress.say(told(state.pretraining))
    return state


def _resumed_state(task: TrainingTask, progress: Progress) -> TrainingState | None:
    if not task.checkpoint.is_file():
        return None
    state = new_state(task, epoch_steps=1)
    load_checkpoint(state, task.checkpoint, identity=task.identity, started_with=started_with(task))
    progress.say(f"going on from step {state.position.step} of {task.checkpoint}")
    return state


def _record_model(workspace: Workspace, plan: Plan, configuration: Configuration) -> None:
    """Put beside the folds what prediction needs to use them."""
    folder = workspace.models / configuration.name
    model = TrainedModel(configuration=configuration.name, mirror_axes=configuration.mirror_axes)
    store.save(model, folder / MODEL_NAME)
    store.save(plan, folder / PLAN_NAME)
    with atomic_write(folder / FINGERPRINT_NAME) as temporary:
        shutil.copyfile(workspace.fingerprint, temporary)


def _forget(folder: Path) -> None:
    shutil.rmtree(folder / VALIDATION_NAME, ignore_errors=True)
    for name in (RUN_NAME, WEIGHTS_NAME, CHECKPOINT_NAME):
        (folder / name).unlink(missing_ok=True)


def _save(state: TrainingState, run: Run, folder: Path, stop: StopRequest) -> None:
    """Write a finished training; what other weights predicted there goes first.

    Raises:
        Interrupted: If someone asked to stop after the last step.
    """
    shutil.rmtree(folder / VALIDATION_NAME, ignore_errors=True)
    save_weights(state.result, folder / WEIGHTS_NAME)
    store.save(run, folder / RUN_NAME)
    if stop.is_made:
        raise Interrupted(UNSCORED)


def _finished_run(folder: Path, task: TrainingTask, progress: Progress) -> Run:
    run = store.load(Run, folder / RUN_NAME, made_by="autoseg train --restart")
    if differences := _differences(run, task):
        progress.say(
            f"this fold is trained already ({run.steps} steps in {duration(run.seconds)}), "
            f"otherwise than asked for: {'; '.join(differences)}. --restart trains it anew"
        )
    else:
        progress.say(f"this fold is trained already: {folder}")
    return run


def _differences(run: Run, task: TrainingTask) -> list[str]:
    """Return in what a finished training is not what is asked for."""
    found = []
    if run.options.length != task.length:
        found.append(f"{_length(run.options.length)}, asked for {_length(task.length)}")
    if run.options.seed != task.seed:
        found.append(f"seed {run.options.seed}, asked for {task.seed}")
    then, now = run.pretraining, task.pretrained
    if (then and then.sha256) != (now and now.sha256):
        begun, wanted = then.model if then else "random", now.model if now else "random"
        found.append(f"{begun} weights at the start, asked for {wanted} ones")
    return found


def _length(length: AnyLength) -> str:
    """Return when a training ends."""
    if isinstance(length, Iterations):
        return counted(length.total, "step")
    most = "" if length.most_steps is None else f" or {counted(length.most_steps, 'step')}"
    return f"{duration(length.seconds)}{most}"


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
