"""`autoseg import nnunet`: convert a trained nnU-Net v2 model into one model file."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from safetensors.torch import save

from autoseg.core.atomic_write import temporary_folder
from autoseg.core.errors import ModelError
from autoseg.core.formatting import printable
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.archive import Manifest
from autoseg.documents.model import WEIGHTS_NAME, TrainedModel
from autoseg.documents.model_card import UNSTATED_LICENSE
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.workspace import Workspace
from autoseg.models.nnunet.checkpoints import Checkpoint, read_checkpoint
from autoseg.models.nnunet.conversion import NnunetModel, convert_plan
from autoseg.models.nnunet.network import rename_tensors
from autoseg.models.nnunet.plans import NnunetDataset, NnunetPlans, parse_document
from autoseg.models.nnunet.sources import (
    CHECKPOINTS,
    DATASET,
    LARGEST_CHECKPOINT_BYTES,
    PLANS,
    POSTPROCESSING,
    FolderSource,
    ModelSource,
    open_source,
)
from autoseg.stages.export import ExportOptions, check_output, export


@dataclass(frozen=True)
class ImportOptions:
    """Options of an import.

    Attributes:
        configuration: Configuration to import; needed if there are several.
        half: Whether to store rounded weights in half precision, which halves the file size.
        license: License of the model, written to the model card.
    """

    configuration: str | None = None
    half: bool = False
    license: str = UNSTATED_LICENSE


def import_nnunet(
    model: Path, output: Path, options: ImportOptions, progress: Progress
) -> Manifest:
    """Convert a trained nnU-Net v2 model into a model file.

    Args:
        model: Folder of a trained model or of a dataset's models, or the zip that nnU-Net exports.
        output: File to write, with the extension `.autoseg`; an existing file is replaced.
        options: Options of the import.
        progress: Receives notes and progress.

    Returns:
        The manifest of the written file.

    Raises:
        ModelError: If the model does not exist, is damaged, or uses features of nnU-Net that
            autoseg does not support.
    """
    check_output(output)
    source = open_source(model)
    folder = _choose_model(source, options.configuration)
    _note_differences(source, folder, progress)
    with temporary_folder(output) as temporary:
        stored = _write_model(source, folder, Workspace(temporary), progress)
        exported = ExportOptions(half=options.half, license=options.license)
        return export(stored, output, exported)


def _choose_model(source: ModelSource, configuration: str | None) -> str:
    """Return the folder of the model to import; raise a ModelError if not exactly one matches."""
    found = {folder: _model_name(source, folder) for folder in source.models()}
    if not found:
        msg = (
            f"{source.path} holds no trained nnU-Net model: expected {PLANS}, {DATASET} and "
            f"fold_<k>/{CHECKPOINTS[0]}. Pass the folder nnUNetTrainer__…, or a zip written by "
            "nnUNetv2_export_model_to_zip."
        )
        raise ModelError(msg)
    matching = [
        folder
        for folder, name in found.items()
        if configuration in (None, name, _configuration_of(name))
    ]
    if len(matching) == 1:
        return matching[0]
    if matching:
        content, choices = "several models", [found[folder] for folder in matching]
    else:
        content, choices = f"no {configuration!a}", list(found.values())
    short = [_configuration_of(name) for name in choices]
    known = ", ".join(map(ascii, short if len(set(short)) == len(short) else choices))
    msg = f"{source.path} has {content}. Choose one with --configuration: {known}."
    raise ModelError(msg)


def _model_name(source: ModelSource, folder: str) -> str:
    """Return the name of a model folder: `trainer__plans__configuration`, unless it was renamed."""
    return source.path.resolve().name if folder == "." else PurePosixPath(folder).name


def _configuration_of(name: str) -> str:
    return name.rpartition("__")[2]


def _write_model(source: ModelSource, folder: str, work: Workspace, progress: Progress) -> Path:
    """Write the model folder and those of its previous stages; return the model folder."""
    plans = parse_document(NnunetPlans, source.read(folder, PLANS), PLANS)
    dataset = parse_document(NnunetDataset, source.read(folder, DATASET), DATASET)
    first = _checkpoint(source, next(iter(source.checkpoints(folder).values())))
    plan = convert_plan(NnunetModel(plans, dataset, first.configuration))
    for configuration in plan.configurations:
        place = (source, folder)
        if configuration.name != first.configuration:
            place = _previous_stage(source, folder, configuration.name)
        stored = work.models / configuration.name
        store.save(plan, stored / Plan.FILE_NAME)
        model = _write_folds(place, plan, configuration, stored, progress)
        store.save(model, stored / TrainedModel.FILE_NAME)
    return work.models / first.configuration


def _previous_stage(
    source: ModelSource, folder: str, configuration: str
) -> tuple[ModelSource, str]:
    """Find a previous stage of the same trainer and plans, in the source or in a sibling folder."""
    training = _model_name(source, folder).rpartition("__")[0]
    expected = f"{training}__{configuration}" if training else configuration
    for name in source.models():
        if _model_name(source, name) == expected:
            return source, name
    sibling = source.path.resolve().parent / expected
    if folder == "." and FolderSource(sibling).models() == (".",):
        return FolderSource(sibling), "."
    msg = (
        f"{source.path} is a cascade stage, and its previous stage {expected!a} was not found. "
        "Pass the dataset's folder in nnUNet_results with --configuration, or a zip with both "
        "stages."
    )
    raise ModelError(msg)


def _write_folds(
    place: tuple[ModelSource, str],
    plan: Plan,
    configuration: Configuration,
    stored: Path,
    progress: Progress,
) -> TrainedModel:
    """Write the weights of every fold, and return how they were trained."""
    source, folder = place
    names = source.checkpoints(folder)
    trained: TrainedModel | None = None
    description = f"Reading folds of {configuration.name}"
    for fold, name in progress.track(names.items(), description=description, total=len(names)):
        checkpoint = _checkpoint(source, name)
        current = _trained(checkpoint, plan)
        trained = trained or current
        if trained != current:
            msg = (
                f"{name} was trained differently from the first fold: found {current}, expected "
                f"{trained}. Import folds of one training only: move the others away."
            )
            raise ModelError(msg)
        weights = stored / f"fold_{fold}" / WEIGHTS_NAME
        weights.parent.mkdir(parents=True)
        tensors = rename_tensors(checkpoint.weights, configuration.architecture, name)
        weights.write_bytes(save(tensors))  # errors of the disk are those of Python
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


def _note_differences(source: ModelSource, folder: str, progress: Progress) -> None:
    """Report the parts of the model that are not imported."""
    best = [
        name for name in source.checkpoints(folder).values() if not name.endswith(CHECKPOINTS[0])
    ]
    if best:
        progress.say(f"note: using {best[0]}, because there is no {CHECKPOINTS[0]}.")
    prefix = "" if folder == "." else f"{folder}/"
    files = [name for name in source.names() if name.startswith(prefix)]
    if any(PurePosixPath(name).name == POSTPROCESSING for name in files):
        progress.say(
            "note: nnU-Net's post-processing is a pickle of functions and is not imported."
        )
