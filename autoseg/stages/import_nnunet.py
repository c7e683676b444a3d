"""`autoseg import nnunet`: a model that nnU-Net v2 trained -> one model file."""

import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from safetensors.torch import save_file

from autoseg.core.errors import ModelError
from autoseg.core.progress import Progress
from autoseg.core.text import printable
from autoseg.documents import store
from autoseg.documents.archive import Manifest
from autoseg.documents.model import MODEL_NAME, PLAN_NAME, WEIGHTS_NAME, TrainedModel
from autoseg.documents.model_card import UNSTATED_LICENSE
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.workspace import Workspace
from autoseg.inference.archive.contents import SUFFIX
from autoseg.inference.nnunet.checkpoints import Checkpoint, read_checkpoint
from autoseg.inference.nnunet.conversion import NnunetModel, imported_plan
from autoseg.inference.nnunet.network import renamed_tensors
from autoseg.inference.nnunet.plans import NnunetDataset, NnunetPlans, parsed
from autoseg.inference.nnunet.sources import (
    CHECKPOINTS,
    DATASET,
    LARGEST_CHECKPOINT_BYTES,
    PLANS,
    POSTPROCESSING,
    FolderSource,
    ModelSource,
    opened_source,
)
from autoseg.stages.export import ExportOptions, export


@dataclass(frozen=True)
class ImportOptions:
    """What to import.

    Attributes:
        configuration: Which one, if there are several.
        half: Whether weights are stored in half precision: half the size, rounded.
        license: Of the model, for its card.
    """

    configuration: str | None = None
    half: bool = False
    license: str = UNSTATED_LICENSE


def import_nnunet(
    model: Path, output: Path, options: ImportOptions, progress: Progress
) -> Manifest:
    """Write a model that nnU-Net v2 trained as a model file, and return what is in it.

    Args:
        model: Folder of a trained model or of a dataset's models, or the zip that nnU-Net exports.
        output: The file, ending in `.autoseg`; an older one is replaced.
        options: What to import.
        progress: Where notes go.

    Raises:
        ModelError: If there is no such model, a part of it is damaged or not what nnU-Net writes,
            or autoseg could not predict as nnU-Net does.
    """
    if output.suffix != SUFFIX:
        msg = f"{output} does not end in {SUFFIX}. Name the file {output.stem}{SUFFIX}, say."
        raise ModelError(msg)
    source = opened_source(model)
    folder = _chosen(source, options.configuration)
    _note_differences(source, folder, progress)
    with tempfile.TemporaryDirectory(prefix="autoseg_import_") as temporary:
        stored = _written(source, folder, Workspace(Path(temporary)), progress)
        exported = ExportOptions(half=options.half, license=options.license)
        return export(stored, output, exported)


def _chosen(source: ModelSource, configuration: str | None) -> str:
    """Return the folder of the one model that is meant.

    Raises:
        ModelError: If there is none, or if several are left to choose from.
    """
    found = {folder: _model_name(source, folder) for folder in source.models()}
    if not found:
        msg = (
            f"{source.path} holds no trained nnU-Net model: expected {PLANS}, {DATASET} and "
            f"fold_<k>/{CHECKPOINTS[0]}. Name the folder nnUNetTrainer__…, or the zip that "
            "nnUNetv2_export_model_to_zip writes."
        )
        raise ModelError(msg)
    meant = [
        folder
        for folder, name in found.items()
        if configuration in (None, name, _configuration_of(name))
    ]
    if len(meant) == 1:
        return meant[0]
    if meant:
        has, choices = "several models", [found[folder] for folder in meant]
    else:
        has, choices = f"no {configuration!a}", list(found.values())
    short = [_configuration_of(name) for name in choices]
    known = ", ".join(map(ascii, short if len(set(short)) == len(short) else choices))
    msg = f"{source.path} has {has}. Choose one with --configuration: {known}."
    raise ModelError(msg)


def _model_name(source: ModelSource, folder: str) -> str:
    """Return what a model's folder is called: `trainer__plans__configuration`, by nnU-Net.

    The folder may have been renamed by its user.
    """
    return source.path.resolve().name if folder == "." else PurePosixPath(folder).name


def _configuration_of(name: str) -> str:
    return name.rpartition("__")[2]


def _written(source: ModelSource, folder: str, work: Workspace, progress: Progress) -> Path:
    """Write the model's folder, and those of the stages before it; return the first."""
    plans = parsed(NnunetPlans, source.read(folder, PLANS), PLANS)
    dataset = parsed(NnunetDataset, source.read(folder, DATASET), DATASET)
    first = _checkpoint(source, next(iter(source.checkpoints(folder).values())))
    plan = imported_plan(NnunetModel(plans, dataset, first.configuration))
    for configuration in plan.configurations:
        place = (source, folder)
        if configuration.name != first.configuration:
            place = _earlier_stage(source, folder, configuration.name)
        stored = work.models / configuration.name
        store.save(plan, stored / PLAN_NAME)
        store.save(_write_folds(place, plan, configuration, stored, progress), stored / MODEL_NAME)
    return work.models / first.configuration


def _earlier_stage(source: ModelSource, folder: str, configuration: str) -> tuple[ModelSource, str]:
    """Return where an earlier stage lies: beside the later one, of the same trainer and plans.

    Raises:
        ModelError: If it is not there.
    """
    training = _model_name(source, folder).rpartition("__")[0]
    wanted = f"{training}__{configuration}" if training else configuration
    for name in source.models():
        if _model_name(source, name) == wanted:
            return source, name
    beside = source.path.resolve().parent / wanted
    if folder == "." and FolderSource(beside).models() == (".",):
        return FolderSource(beside), "."
    msg = (
        f"{source.path} is the later stage of a cascade, and {wanted!a} before it is not "
        "there. Name the dataset's folder of nnUNet_results with --configuration, or a zip that "
        "has both."
    )
    raise ModelError(msg)


def _write_folds(
    place: tuple[ModelSource, str],
    plan: Plan,
    configuration: Configuration,
    stored: Path,
    progress: Progress,
) -> TrainedModel:
    """Write the weights of every fold, and return how they were trained.

    Raises:
        ModelError: If a checkpoint is damaged, or trained otherwise than the others.
    """
    source, folder = place
    names = source.checkpoints(folder)
    trained: TrainedModel | None = None
    told = f"Reading folds of {configuration.name}"
    for fold, name in progress.track(names.items(), description=told, total=len(names)):
        checkpoint = _checkpoint(source, name)
        now = _trained(checkpoint, plan)
        trained = trained or now
        _check_same(trained, now, name)
        weights = stored / f"fold_{fold}" / WEIGHTS_NAME
        weights.parent.mkdir(parents=True)
        save_file(renamed_tensors(checkpoint.weights, configuration.architecture, name), weights)
    if trained is None or trained.configuration != configuration.name:
        msg = f"{folder} of {source.path} holds no checkpoint of {configuration.name}."
        raise ModelError(msg)
    return trained


def _checkpoint(source: ModelSource, name: str) -> Checkpoint:
    with source.open(name, largest_bytes=LARGEST_CHECKPOINT_BYTES) as file:
        return read_checkpoint(file, f"{name} of {source.path}")


def _trained(checkpoint: Checkpoint, plan: Plan) -> TrainedModel:
    return TrainedModel(
        configuration=checkpoint.configuration,
        mirror_axes=checkpoint.mirror_axes,
        origin=(
            f"nnU-Net v2 ({printable(checkpoint.trainer)}, {plan.decisions[0].value}, "
            f"{printable(plan.dataset_name)})"
        ),
    )


def _check_same(first: TrainedModel, other: TrainedModel, name: str) -> None:
    """Check that a fold was trained like the first.

    Raises:
        ModelError: If not.
    """
    if first != other:
        msg = (
            f"{name} was trained otherwise than the first fold: {other} against {first}. Import "
            "folds of one training only: move the others elsewhere."
        )
        raise ModelError(msg)


def _note_differences(source: ModelSource, folder: str, progress: Progress) -> None:
    """Say which parts of the model are not taken over."""
    best = [
        name for name in source.checkpoints(folder).values() if not name.endswith(CHECKPOINTS[0])
    ]
    if best:
        progress.say(f"note: {best[0]} is used; there is no {CHECKPOINTS[0]}.")
    inside = "" if folder == "." else f"{folder}/"
    own = [name for name in source.names() if name.startswith(inside)]
    if any(PurePosixPath(name).name == POSTPROCESSING for name in own):
        progress.say(
            "note: nnU-Net's post-processing is a pickle of functions and is not imported."
        )
