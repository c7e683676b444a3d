"""`autoseg import nnunet`: a model that nnU-Net v2 trained -> one model file."""

import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from safetensors.torch import save_file

from autoseg.core.errors import ModelError
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.archive import Manifest
from autoseg.documents.card import UNSTATED_LICENSE
from autoseg.documents.model import MODEL_NAME, PLAN_NAME, WEIGHTS_NAME, TrainedModel
from autoseg.documents.plan import Plan
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
    ModelSource,
    opened_source,
)
from autoseg.stages.export import ExportOptions, export

POSTPROCESSING_NAMES = ("postprocessing.pkl",)
"""What nnU-Net keeps its post-processing in: pickled functions, which nothing here loads."""


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
    found = {_configuration_name(source, folder): folder for folder in source.models()}
    if not found:
        msg = (
            f"{source.path} holds no trained nnU-Net model: expected {PLANS}, {DATASET} and "
            f"fold_<k>/{CHECKPOINTS[0]}. Name the folder nnUNetTrainer__…, or the zip that "
            "nnUNetv2_export_model_to_zip writes."
        )
        raise ModelError(msg)
    if configuration is None and len(found) == 1:
        return next(iter(found.values()))
    if configuration not in found:
        known = ", ".join(map(ascii, found))
        has = "several models" if configuration is None else f"no {configuration!a}"
        msg = f"{source.path} has {has}. Choose one with --configuration: {known}."
        raise ModelError(msg)
    return found[configuration]


def _configuration_name(source: ModelSource, folder: str) -> str:
    """Return a model's configuration: the last part of its folder's name, `trainer__plans__name`.

    The folder itself may have been named by its user and then has no such name.
    """
    name = source.path.name if folder == "." else PurePosixPath(folder).name
    return name.rpartition("__")[2]


def _written(source: ModelSource, folder: str, work: Workspace, progress: Progress) -> Path:
    """Write a model folder with all folds, and return it."""
    plans = parsed(NnunetPlans, source.read(folder, PLANS), PLANS)
    dataset = parsed(NnunetDataset, source.read(folder, DATASET), DATASET)
    names = source.checkpoints(folder)
    first = _checkpoint(source, next(iter(names.values())))
    trained = _trained(first, plans)
    plan = imported_plan(NnunetModel(plans, dataset, first.configuration))
    _check_single_stage(plan)
    network = plan.configuration(None).architecture
    for fold, name in progress.track(names.items(), description="Folds", total=len(names)):
        checkpoint = _checkpoint(source, name)
        _check_same(trained, _trained(checkpoint, plans), name)
        weights = work.fold(trained.configuration, fold) / WEIGHTS_NAME
        weights.parent.mkdir(parents=True)
        save_file(renamed_tensors(checkpoint.weights, network, name), weights)
    stored = work.models / trained.configuration
    store.save(plan, stored / PLAN_NAME)
    store.save(trained, stored / MODEL_NAME)
    return stored


def _checkpoint(source: ModelSource, name: str) -> Checkpoint:
    with source.open(name, largest_bytes=LARGEST_CHECKPOINT_BYTES) as file:
        return read_checkpoint(file, f"{name} of {source.path}")


def _trained(checkpoint: Checkpoint, plans: NnunetPlans) -> TrainedModel:
    return TrainedModel(
        configuration=checkpoint.configuration,
        mirror_axes=checkpoint.mirror_axes,
        origin=(
            f"nnU-Net v2 ({store.printable(checkpoint.trainer)}, "
            f"{store.printable(plans.plans_name)}, {store.printable(plans.dataset_name)})"
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


def _check_single_stage(plan: Plan) -> None:
    """Check that the model predicts from images alone.

    Raises:
        ModelError: If it is a later stage of a cascade.
    """
    configuration = plan.configuration(None)
    if configuration.previous_stage is not None:
        msg = (
            f"{configuration.name} is the later stage of a cascade, which cannot be imported yet. "
            f"Import {configuration.previous_stage}, or 3d_fullres if it was trained."
        )
        raise ModelError(msg)


def _note_differences(source: ModelSource, folder: str, progress: Progress) -> None:
    """Say which parts of the model are not taken over."""
    best = [
        name for name in source.checkpoints(folder).values() if not name.endswith(CHECKPOINTS[0])
    ]
    if best:
        progress.say(f"note: {best[0]} is used; there is no {CHECKPOINTS[0]}.")
    if any(name.endswith(POSTPROCESSING_NAMES) for name in source.names()):
        progress.say(
            "note: nnU-Net's post-processing is a pickle of functions and is not imported."
        )
