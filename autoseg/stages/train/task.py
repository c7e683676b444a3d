"""Build the task of a training from the options of `autoseg train`."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from autoseg.core.compute import Compute
from autoseg.core.device import Precision, choose_device
from autoseg.core.errors import TrainingError
from autoseg.core.parallel import default_workers
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.recipe import TrainingOptions
from autoseg.documents.splits import Fold, FoldName
from autoseg.preprocessing.storage import StoredCase
from autoseg.stages.project import Project
from autoseg.stages.train.duration import TrainingDuration
from autoseg.tracking.tracked import Tracking
from autoseg.training.distance_maps import distance_mapper_for
from autoseg.training.loading import BatchDataset
from autoseg.training.precision import training_dtype
from autoseg.training.pretrained import Pretrained, fine_tuning
from autoseg.training.sampling import Sampling, augments_on_device, target_weights
from autoseg.training.task import TrainingTask

CHECKPOINT_NAME = "checkpoint.safetensors"


@dataclass(frozen=True)
class TrainRequest:
    """Options for training one fold.

    Attributes:
        fold: Fold to hold out; "all" trains on every case.
        configuration: Name of the configuration; None for the plan's default.
        length: Training duration.
        seed: Random seed for weight initialisation, sampling and augmentation.
        compute: Device, precision, number of processes that prepare batches, and cache folder.
        checkpoint_seconds: Time between two checkpoints.
        restart: Whether to discard the fold's checkpoint and weights, and retrain.
        pretrained: Model to start from, as for `autoseg predict --model`; None initialises the
            weights randomly.
        compiled: Whether to compile the network with `torch.compile` before training.
        tracking: Experiment trackers.
    """

    fold: FoldName
    configuration: str | None = None
    length: TrainingDuration = field(default_factory=TrainingDuration)
    seed: int = 0
    compute: Compute = field(default_factory=Compute)
    checkpoint_seconds: float = 180.0
    restart: bool = False
    pretrained: Path | None = None
    compiled: bool = False
    tracking: Tracking = field(default_factory=Tracking)


def training_task(
    project: Project,
    fold: Fold,
    cases: Mapping[str, StoredCase],
    request: TrainRequest,
    pretrained: Pretrained | None = None,
    precision: Precision | None = None,
) -> TrainingTask:
    """Build the task of a training.

    Args:
        project: The project.
        fold: Names of the cases to train on, and of the cases to hold out.
        cases: Prepared cases by name, which include those of the fold, with their cascade inputs.
        request: Options for training.
        pretrained: Weights to start from; None initialises them randomly.
        precision: Overrides the precision of the request; None does not. The identity of the
            checkpoint always uses the precision of the request.

    Raises:
        TrainingError: If the device or the duration is invalid, or the loss cannot be computed on
            the device.
    """
    plan = project.plan
    configuration = plan.configuration(request.configuration)
    device = training_device(request.compute.device, configuration)
    recipe = configuration.recipe
    options = TrainingOptions(
        length=request.length.length(recipe, plan.training_seconds(configuration)),
        seed=request.seed,
        precision=request.compute.precision,
    )
    data = _data(project, configuration, fold, cases, options.seed, device)
    precision = precision or request.compute.precision
    return TrainingTask(
        architecture=configuration.architecture,
        loss=configuration.loss,
        recipe=recipe if pretrained is None else fine_tuning(recipe),
        length=options.length,
        seed=options.seed,
        data=data,
        labels=plan.labels,
        class_frequencies=project.fingerprint.class_frequencies,
        device=device,
        dtype=training_dtype(device, precision, configuration.topology),
        workers=loader_workers(request.compute.workers, device),
        checkpoint=project.workspace.fold(configuration.name, request.fold) / CHECKPOINT_NAME,
        checkpoint_seconds=request.checkpoint_seconds,
        identity=training_identity(plan, configuration, options, data)
        + ("" if pretrained is None else pretrained.sha256),
        pretrained=pretrained,
        compiled=request.compiled,
    )


def training_device(name: str, configuration: Configuration) -> torch.device:
    """Return the device that a configuration trains on.

    Args:
        name: Device name, as for `choose_device`.
        configuration: Configuration to train.

    Raises:
        TrainingError: If the device does not exist, or cannot compute the loss.
    """
    device, loss = choose_device(name), configuration.loss
    if device.type == "mps" and loss.needs_float64:
        msg = (
            f"the loss {loss.kind} computes in float64, which {device} does not support. Train "
            "with --device cpu, or plan with another loss: `autoseg plan DATASET --loss dice_ce`."
        )
        raise TrainingError(msg)
    return device


def loader_workers(requested: int | None, device: torch.device) -> int:
    """Return the number of processes that prepare batches: one to train on a CPU, else up to 12.

    Source: nnU-Net uses 12 to train on a GPU; a CPU is busy with the network itself.
    """
    if requested is not None:
        return requested
    return min(1, default_workers() - 1) if device.type == "cpu" else min(12, default_workers())


def _data(
    project: Project,
    configuration: Configuration,
    fold: Fold,
    cases: Mapping[str, StoredCase],
    seed: int,
    device: torch.device,
) -> BatchDataset:
    plan = project.plan
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
        distance_mapper=distance_mapper_for(configuration.loss, plan.labels, configuration.spacing),
        target_weights=target_weights(
            project.fingerprint.class_frequencies,
            plan.labels,
            configuration.recipe.rare_class_power,
        ),
    )
    return BatchDataset(
        training_cases=tuple(cases[name] for name in fold.train),
        validation_cases=tuple(cases[name] for name in fold.validation),
        training=training,
        validation=replace(training, augmentations=(), target_weights=()),
        are_unaugmented=augments_on_device(training, device),
    )


def training_identity(
    plan: Plan, configuration: Configuration, options: TrainingOptions, data: BatchDataset
) -> str:
    """Return a hash of everything that must not change when a training is resumed.

    Args:
        plan: The plan.
        configuration: The configuration.
        options: Length, seed and precision.
        data: Cases, each with the identity of its cascade input.
    """
    digest = hashlib.sha256()
    digest.update(configuration.model_dump_json().encode())
    digest.update(options.model_dump_json(exclude_none=True).encode())
    digest.update(plan.labels.model_dump_json().encode())
    for case in (*data.training_cases, *data.validation_cases):
        digest.update(f"{case.record.name}:{case.record.content_key}\n".encode())
        if case.cascade_input is not None:
            digest.update(case.cascade_input.key.encode())
    return digest.hexdigest()
