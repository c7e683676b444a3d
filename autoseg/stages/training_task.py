"""From what the user asked for to everything that a training needs."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from autoseg.core.device import Precision, choose_device
from autoseg.core.errors import TrainingError
from autoseg.core.parallel import default_workers
from autoseg.documents import store
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.recipe import TrainingOptions
from autoseg.documents.splits import Fold, FoldName
from autoseg.documents.workspace import Workspace
from autoseg.preprocessing.storage import StoredCase
from autoseg.stages.cascade import open_prepared
from autoseg.stages.training_duration import TrainingDuration
from autoseg.training.distance_maps import measure_for
from autoseg.training.loading import BatchDataset
from autoseg.training.loop import TrainingTask
from autoseg.training.precision import training_dtype
from autoseg.training.pretrained import Pretrained, fine_tuning
from autoseg.training.sampling import Sampling, augments_on_device

CHECKPOINT_NAME = "checkpoint.safetensors"


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
        compiled: Whether torch compiles the network before it trains.
        cache: Folder that findings about this machine are kept in; None keeps none.
    """

    fold: FoldName
    configuration: str | None = None
    length: TrainingDuration = field(default_factory=TrainingDuration)
    seed: int = 0
    precision: Precision = "auto"
    device: str = "auto"
    workers: int | None = None
    checkpoint_seconds: float = 180.0
    restart: bool = False
    pretrained: Path | None = None
    compiled: bool = False
    cache: Path | None = None


def training_task(
    workspace: Workspace,
    plan: Plan,
    fold: Fold,
    request: TrainRequest,
    pretrained: Pretrained | None = None,
    precision: Precision | None = None,
) -> TrainingTask:
    """Return everything a training needs, its cases opened; they must be prepared.

    Args:
        workspace: The work folder.
        plan: Its plan.
        fold: Which cases to train on, and which to hold out.
        request: What the user asked for.
        pretrained: Weights to start from; None starts at random.
        precision: Type that convolutions compute in instead of the one that the user asked for;
            None is that one. A checkpoint is of the one that the user asked for.

    Raises:
        TrainingError: If the device or the length is none, or the loss cannot be computed there.
    """
    configuration = plan.configuration(request.configuration)
    recipe = configuration.recipe if pretrained is None else fine_tuning(configuration.recipe)
    options = TrainingOptions(
        length=request.length.length(recipe, plan.training_seconds(configuration)),
        seed=request.seed,
        precision=request.precision,
    )
    device = training_device(request.device, configuration)
    data = _data(workspace, plan, configuration, fold, options.seed)
    data = replace(data, are_unaugmented=augments_on_device(data.training, device))
    fingerprint = store.load(Fingerprint, workspace.fingerprint, made_by="autoseg plan")
    return TrainingTask(
        architecture=configuration.architecture,
        loss=configuration.loss,
        recipe=recipe,
        length=options.length,
        seed=options.seed,
        data=data,
        labels=plan.labels,
        class_frequencies=fingerprint.class_frequencies,
        device=device,
        dtype=training_dtype(device, precision or request.precision, configuration.topology),
        workers=loader_workers(request.workers, device),
        checkpoint=workspace.fold(configuration.name, request.fold) / CHECKPOINT_NAME,
        checkpoint_seconds=request.checkpoint_seconds,
        identity=_identity(plan, configuration, options, data)
        + ("" if pretrained is None else pretrained.sha256),
        pretrained=pretrained,
        compiled=request.compiled,
    )


def training_device(name: str, configuration: Configuration) -> torch.device:
    """Return the device that a configuration trains on.

    Args:
        name: As `choose_device` takes it.
        configuration: What trains.

    Raises:
        TrainingError: If the device is none, or the loss cannot be computed there.
    """
    device, loss = choose_device(name), configuration.loss
    if device.type == "mps" and loss.needs_float64:
        msg = (
            f"the loss {loss.kind} computes in float64, which {device} lacks. Train with "
            "--device cpu, or plan with another loss: `autoseg plan DATASET --loss dice_ce`."
        )
        raise TrainingError(msg)
    return device


def loader_workers(wanted: int | None, device: torch.device) -> int:
    """Return the processes that prepare batches: one beside a CPU that trains, else up to 12.

    Source: nnU-Net takes 12 beside a GPU; a CPU is busy with the network itself.
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
        if normalizer.clears_outside
    )
    training = Sampling(
        patch_shape=configuration.topology.patch_shape,
        batch_size=configuration.batch_size,
        foreground_fraction=configuration.recipe.foreground_fraction,
        masked_channels=masked,
        augmentations=configuration.recipe.augmentations,
        seed=seed,
        ignored_index=plan.labels.ignored_index,
        num_cascade_channels=plan.num_cascade_channels(configuration),
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
        digest.update(f"{case.record.name}:{case.record.content_key}\n".encode())
        if case.cascade_input is not None:
            digest.update(case.cascade_input.key.encode())
    return digest.hexdigest()
