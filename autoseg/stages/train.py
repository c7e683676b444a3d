"""`autoseg train`: prepared cases -> models/<configuration>/fold_<k>/."""

import hashlib
import platform
import shutil
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import torch

from autoseg.augmentations.mirroring import Mirroring
from autoseg.core.atomic import remove_leftovers, replacing
from autoseg.core.device import Precision, choose_device
from autoseg.core.errors import Interrupted
from autoseg.core.interrupt import StopRequest, listening
from autoseg.core.parallel import default_workers
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.model import (
    FINGERPRINT_NAME,
    MODEL_NAME,
    PLAN_NAME,
    WEIGHTS_NAME,
    TrainedModel,
)
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.recipe import TrainingOptions
from autoseg.documents.report import Report
from autoseg.documents.run import Run, Versions
from autoseg.documents.splits import ALL, Fold, FoldName
from autoseg.documents.workspace import Workspace
from autoseg.normalizers.zscore import ZScore
from autoseg.preprocessing.storage import StoredCase
from autoseg.stages.continuation import check_trained_with
from autoseg.stages.folds import load_fold
from autoseg.stages.length import LengthRequest
from autoseg.stages.predict import PredictOptions
from autoseg.stages.preprocess import preprocess
from autoseg.stages.pretrained import load_pretrained, told
from autoseg.stages.previous_stage import (
    check_previous_stage,
    make_priors,
    note_on_newer_stage,
    open_prepared,
)
from autoseg.stages.score_fold import VALIDATION_NAME, score_fold
from autoseg.stages.training_progress import TrainingReporter, announce, duration, forecast
from autoseg.training.checkpoint import load_checkpoint, save_weights
from autoseg.training.distance_maps import measure_for
from autoseg.training.loading import BatchDataset
from autoseg.training.lock import locked
from autoseg.training.loop import Job, Watch, fit, measure_step, new_state
from autoseg.training.precision import training_dtype
from autoseg.training.pretrained import Pretrained, fine_tuning
from autoseg.training.sampling import Sampling
from autoseg.training.schedule import epoch_steps
from autoseg.training.state import TrainingState

CHECKPOINT_NAME = "checkpoint.safetensors"
RUN_NAME = "run.json"

UNSCORED = "stopped; the training is complete. The same command scores it and goes on from there."
"""What to tell whoever stops between training and scoring."""


@dataclass(frozen=True)
class TrainRequest:
    """What the user asked for.

    Attributes:
        fold: Which fold to hold out; "all" holds none out.
        configuration: Which configuration; None takes the plan's default.
        length: How long.
        seed: Of weights, sampling and augmentation.
        precision: Type that convolutions compute in.
        device: Name of the device; "auto" takes an accelerator if there is one.
        workers: Processes that prepare batches; None fits the machine.
        checkpoint_seconds: How often the state is saved.
        restart: Whether to throw away what was trained of this fold before.
        pretrained: Model to start from, as `autoseg predict --model` takes it; None starts at
            random.
    """

    fold: FoldName
    configuration: str | None = None
    length: LengthRequest = field(default_factory=LengthRequest)
    seed: int = 0
    precision: Precision = "auto"
    device: str = "auto"
    workers: int | None = None
    checkpoint_seconds: float = 180.0
    restart: bool = False
    pretrained: Path | None = None


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
    options = PredictOptions(
        device=request.device, precision=request.precision, workers=max(1, workers)
    )
    cases = (*fold.train, *fold.validation)
    make_priors(workspace, plan, configuration, cases, options, progress)
    _record_model(workspace, plan, configuration)
    job = _job(workspace, plan, fold, request, pretrained)
    if (folder / RUN_NAME).is_file() and (folder / WEIGHTS_NAME).is_file():
        run = _finished_run(folder, job, progress)
        if note := note_on_newer_stage(workspace, configuration, request.fold):
            progress.say(note)
    else:
        remove_leftovers(folder)
        state = _resumed_state(job, progress) or _first_state(job, progress)
        with listening() as stop:
            _train_to_end(job, plan, state, stop, progress)
        run = _run(configuration, request, job, state)
        _save(state, run, folder, stop)
    report = None
    if request.fold != ALL:
        report = score_fold(workspace, folder, fold, options, progress)
    return TrainedFold(folder=folder, run=run, report=report)


def _check(
    workspace: Workspace, plan: Plan, configuration: Configuration, request: TrainRequest
) -> None:
    """Find what is wrong with a request before it costs a preprocessing or, restarting, a model.

    Raises:
        TrainingError: If the device or length is none, or the plan is not that of other folds.
    """
    choose_device(request.device)
    request.length.length(configuration.recipe)
    replaced = request.fold if request.restart else None
    check_trained_with(workspace, plan, configuration, replaced=replaced)


def _train_to_end(
    job: Job, plan: Plan, state: TrainingState, stop: StopRequest, progress: Progress
) -> None:
    folder = job.checkpoint.parent
    names = tuple(target.name for target in plan.labels.targets)
    reporter = TrainingReporter(job, folder, names, progress)
    fit(job, state, Watch(on_step=reporter.on_step, on_epoch=reporter.on_epoch, stop=stop))
    reporter.finish(state)


def _first_state(job: Job, progress: Progress) -> TrainingState:
    """Return the state that a training begins with, after a forecast of its length.

    Raises:
        Interrupted: If Ctrl-C came; it ends a slow step of the forecast at once.
    """
    announce(job, progress)
    try:
        seconds = measure_step(job)
    except KeyboardInterrupt as stop:
        msg = "stopped before the first step. The same command begins the training."
        raise Interrupted(msg) from stop
    progress.say(forecast(job.length, seconds))
    state = new_state(job, epoch_steps=epoch_steps(job.recipe, job.length, seconds))
    if state.pretraining is not None:
        progress.say(told(state.pretraining))
    return state


def _resumed_state(job: Job, progress: Progress) -> TrainingState | None:
    if not job.checkpoint.is_file():
        return None
    state = new_state(job, epoch_steps=1)
    load_checkpoint(state, job.checkpoint, identity=job.identity)
    progress.say(f"going on from step {state.position.step} of {job.checkpoint}")
    return state


def _job(
    workspace: Workspace,
    plan: Plan,
    fold: Fold,
    request: TrainRequest,
    pretrained: Pretrained | None,
) -> Job:
    configuration = plan.configuration(request.configuration)
    recipe = configuration.recipe if pretrained is None else fine_tuning(configuration.recipe)
    options = TrainingOptions(
        length=request.length.length(recipe), seed=request.seed, precision=request.precision
    )
    data = _data(workspace, plan, configuration, fold, options.seed)
    device = choose_device(request.device)
    fingerprint = store.load(Fingerprint, workspace.fingerprint, made_by="autoseg plan")
    return Job(
        architecture=configuration.architecture,
        loss=configuration.loss,
        recipe=recipe,
        length=options.length,
        seed=options.seed,
        data=data,
        labels=plan.labels,
        class_frequencies=fingerprint.class_frequencies,
        device=device,
        dtype=training_dtype(device, options.precision, configuration.topology),
        workers=_loader_workers(request.workers, device),
        checkpoint=workspace.fold(configuration.name, request.fold) / CHECKPOINT_NAME,
        checkpoint_seconds=request.checkpoint_seconds,
        identity=_identity(plan, configuration, options, data)
        + ("" if pretrained is None else pretrained.sha256),
        pretrained=pretrained,
    )


def _loader_workers(wanted: int | None, device: torch.device) -> int:
    """Return the processes that prepare batches: one beside a CPU that trains, else up to 12.

    Source: nnU-Net takes 12 beside a graphics card; a CPU is busy with the network itself.
    """
    if wanted is not None:
        return wanted
    return min(1, default_workers() - 1) if device.type == "cpu" else min(12, default_workers())


def _data(
    workspace: Workspace, plan: Plan, configuration: Configuration, fold: Fold, seed: int
) -> BatchDataset:
    masked = tuple(
        channel
        for channel, normalizer in enumerate(configuration.normalizers)
        if isinstance(normalizer, ZScore) and normalizer.masked
    )
    training = Sampling(
        patch_shape=configuration.topology.patch_shape,
        batch_size=configuration.batch_size,
        foreground_fraction=configuration.recipe.foreground_fraction,
        masked_channels=masked,
        augmentations=configuration.recipe.augmentations,
        seed=seed,
        ignored_index=plan.labels.ignored_index,
        num_prior_channels=plan.num_prior_channels(configuration),
        margin=configuration.architecture.output_margin(),
        measure=measure_for(configuration.loss, plan.labels, configuration.spacing),
    )
    return BatchDataset(
        training_cases=_open(workspace, configuration, fold.train),
        validation_cases=_open(workspace, configuration, fold.validation),
        training=training,
        validation=replace(training, augmentations=()),
    )


def _open(
    workspace: Workspace, configuration: Configuration, names: tuple[str, ...]
) -> tuple[StoredCase, ...]:
    return tuple(open_prepared(workspace, configuration, name) for name in names)


def _identity(
    plan: Plan, configuration: Configuration, options: TrainingOptions, data: BatchDataset
) -> str:
    """Return a hash of all that an interrupted training and its continuation must share."""
    digest = hashlib.sha256()
    digest.update(configuration.model_dump_json().encode())
    digest.update(options.model_dump_json(exclude_none=True).encode())
    digest.update(plan.labels.model_dump_json().encode())
    for case in (*data.training_cases, *data.validation_cases):
        digest.update(f"{case.record.name}:{case.record.key}\n".encode())
        if case.prior is not None:
            digest.update(case.prior.key.encode())
    return digest.hexdigest()


def _record_model(workspace: Workspace, plan: Plan, configuration: Configuration) -> None:
    """Put beside the folds what prediction needs to use them."""
    folder = workspace.models / configuration.name
    mirror_axes: tuple[int, ...] = ()
    for entry in configuration.recipe.augmentations:
        if isinstance(entry, Mirroring):
            mirror_axes = entry.allowed_axes(configuration.topology.num_axes)
    store.save(
        TrainedModel(configuration=configuration.name, mirror_axes=mirror_axes),
        folder / MODEL_NAME,
    )
    store.save(plan, folder / PLAN_NAME)
    with replacing(folder / FINGERPRINT_NAME) as temporary:
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


def _finished_run(folder: Path, job: Job, progress: Progress) -> Run:
    run = store.load(Run, folder / RUN_NAME, made_by="autoseg train --restart")
    started = None if run.pretraining is None else run.pretraining.sha256
    wanted = None if job.pretrained is None else job.pretrained.sha256
    if (run.options.length, run.options.seed, started) != (job.length, job.seed, wanted):
        progress.say(
            f"this fold is trained already ({run.steps} steps in {duration(run.seconds)}), "
            "with another length, seed or pretrained model; --restart trains it anew"
        )
    else:
        progress.say(f"this fold is trained already: {folder}")
    return run


def _run(
    configuration: Configuration, request: TrainRequest, job: Job, state: TrainingState
) -> Run:
    cuda = job.device.type == "cuda"
    return Run(
        configuration=configuration.name,
        fold=request.fold,
        recipe=job.recipe,
        options=TrainingOptions(length=job.length, seed=job.seed, precision=request.precision),
        device=torch.cuda.get_device_name(job.device) if cuda else str(job.device),
        precision=str(job.dtype).removeprefix("torch."),
        steps=state.position.step,
        seconds=state.position.seconds,
        epoch_steps=state.epoch_steps,
        parameters=sum(parameter.numel() for parameter in state.network.parameters()),
        versions=Versions(
            autoseg=version("autoseg"), torch=torch.__version__, python=platform.python_version()
        ),
        history=tuple(state.history),
        pretraining=state.pretraining,
    )
