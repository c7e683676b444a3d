"""Find and load trained models from folders or model files (JSON and safetensors, no pickle)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from autoseg.core.device import Precision, autocast_dtype, choose_device
from autoseg.core.errors import ModelError
from autoseg.core.instructions import choices, choose
from autoseg.core.work_root import WORK_ROOT
from autoseg.documents.model import WEIGHTS_NAME
from autoseg.documents.model_card import DataSummary
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.selection import Selection
from autoseg.documents.splits import ALL, FoldName, default_folds
from autoseg.models.archive.archived import archived_model
from autoseg.models.archive.contents import SUFFIX
from autoseg.models.archive.reader import ModelArchive
from autoseg.models.folder import ModelFolder, StoredModel, named_fold, trained_folds
from autoseg.models.networks import load_network

PrecisionRule = Callable[[Configuration, torch.device, Precision], Precision]
"""Chooses the precision for prediction from the configuration, device and requested precision."""


def requested_precision(
    _configuration: Configuration, device: torch.device, precision: Precision
) -> Precision:
    """Return the requested precision unchanged.

    On a CPU, this also sets the CPU instructions that this process computes with.

    Args:
        _configuration: Configuration of the network; unused.
        device: Device that the network runs on.
        precision: Requested precision.
    """
    if device.type == "cpu":
        choose(choices()[0])
    return precision


@dataclass(frozen=True)
class LoadOptions:
    """Options for loading networks.

    Attributes:
        device: Name of the device; "auto" uses an accelerator if available.
        precision: Precision of convolutions.
        use_mirroring: Whether to use TTA along the axes that were mirrored in training.
        rule: Chooses the precision of each network.
    """

    device: str = "auto"
    precision: Precision = "auto"
    use_mirroring: bool = True
    rule: PrecisionRule = requested_precision


@dataclass(frozen=True)
class LoadedModel:
    """A trained model with its networks in memory.

    Attributes:
        path: Model folder or model file that it was loaded from.
        plan: Plan of the dataset: channels, labels, axes.
        configuration: Configuration of the networks.
        networks: One per fold, with float32 weights, on `device`.
        device: Device that the networks run on.
        dtype: Autocast type of convolutions; float32 means no autocast.
        mirror_axes: Patch axes to flip for TTA; empty for none.
        data: Summary of the training data; None if the model does not contain one.
        previous: Previous stage of the cascade; None if the configuration has none.
    """

    path: Path
    plan: Plan
    configuration: Configuration
    networks: tuple[nn.Module, ...]
    device: torch.device
    dtype: torch.dtype
    mirror_axes: tuple[int, ...] = ()
    data: DataSummary | None = None
    previous: "LoadedModel | None" = None


def find_model(
    path: Path | None, *, work_root: Path = WORK_ROOT, take_selection: bool = False
) -> Path:
    """Find the trained model that a path refers to.

    Args:
        path: A model file (`*.autoseg`), a work folder, a model folder (`models/<configuration>`)
            or one fold of it, or a folder of work folders; None means `work_root`.
        work_root: Folder of the work folders.
        take_selection: Whether to return a work folder itself if it contains a selection.

    Returns:
        A model file, a model folder, or a fold folder if `path` is one. If a work folder has
        several trained configurations, the plan's default configuration, or else the only one that
        is not a previous stage of another.

    Raises:
        ModelError: If there is no trained model, or if the choice is ambiguous.
    """
    if path is None:
        return _only_model(work_root, take_selection=take_selection)
    if path.is_file():
        return path
    if not path.is_dir():
        msg = (
            f"{path} is not a folder or file. Pass a model file (*{SUFFIX}), a work folder, or "
            "models/<configuration> in a work folder to --model."
        )
        raise ModelError(msg)
    if (path / WEIGHTS_NAME).is_file() or trained_folds(path):
        return path
    if trained_models(path):
        return _default_model(path, take_selection=take_selection)
    if any(trained_models(folder) for folder in path.iterdir()):
        return _only_model(path, take_selection=take_selection)
    msg = f"{path} contains no completely trained model. {_next_step(path)}"
    raise ModelError(msg)


def trained_models(work: Path) -> tuple[Path, ...]:
    """List the model folders of a work folder (or of its `models` folder) with a trained fold."""
    parent = work / "models" if (work / "models").is_dir() else work
    folders = sorted(parent.iterdir()) if parent.is_dir() else []
    return tuple(folder for folder in folders if trained_folds(folder))


def open_model(path: Path) -> StoredModel:
    """Open a model file, a model folder, or the model folder of a fold, without loading networks.

    If a model file has several members, the first one is opened.

    Raises:
        ModelError: If `path` is a file but not a valid model file.
    """
    if path.is_file():
        return archived_model(ModelArchive(path))
    fold = named_fold(path)
    return ModelFolder(path if fold is None else fold.model)


def load_stored(
    stored: StoredModel,
    options: LoadOptions,
    folds: Sequence[FoldName] | None,
    *,
    next_stages: tuple[str, ...] = (),
) -> LoadedModel:
    """Load a trained model and its previous stages to a device.

    Args:
        stored: The model on disk.
        options: Device, precision and mirroring.
        folds: Folds to average, at least one; None for all trained numbered folds.
        next_stages: Later stages of the cascade, which use this model's predictions. They cannot
            also be previous stages of it.

    Raises:
        ModelError: If `folds` is empty, a requested fold is not trained, weights do not match the
            plan, a model file is not valid, or a previous stage is missing or of another dataset.
        DocumentError: If `model.json` or `plan.json` of a folder is missing or damaged.
    """
    trained, plan = stored.read_trained(), stored.read_plan()
    configuration = plan.configuration(trained.configuration)
    device = choose_device(options.device)
    networks = tuple(
        load_network(configuration.architecture, stored, fold, device)
        for fold in _chosen_folds(stored, folds)
    )
    precision = options.rule(configuration, device, options.precision)
    previous, stages = None, (*next_stages, configuration.name)
    if configuration.previous_stage is not None:
        stored_stage = _stored_stage(stored, configuration.previous_stage, stages)
        previous = load_stored(
            stored_stage, options, previous_stage_folds(folds), next_stages=stages
        )
        _check_stages(plan, previous)
    return LoadedModel(
        path=stored.path,
        plan=plan,
        configuration=configuration,
        networks=networks,
        device=device,
        dtype=autocast_dtype(device, precision),
        mirror_axes=trained.mirror_axes if options.use_mirroring else (),
        data=stored.read_summary(),
        previous=previous,
    )


def previous_stage_folds(folds: Sequence[FoldName] | None) -> Sequence[FoldName] | None:
    """Choose the folds of a previous stage for folds of a cascade; None means all numbered folds.

    The previous stage uses the same folds, so that neither stage was trained on a held-out case.
    With fold `all`, which is trained on every case, it uses all numbered folds.
    """
    return None if folds is None or ALL in folds else folds


def _chosen_folds(stored: StoredModel, folds: Sequence[FoldName] | None) -> Sequence[FoldName]:
    """Return the folds to load, each once; check that they are trained."""
    stored.check_trained(folds or ())
    if folds is None:
        return default_folds(stored.folds())
    if not folds:
        msg = (
            f"no fold of {stored.path} was chosen; expected at least one. Pass some of the trained "
            f"folds ({', '.join(map(str, stored.folds()))}), or None for all numbered ones."
        )
        raise ModelError(msg)
    return tuple(dict.fromkeys(folds))


def _stored_stage(stored: StoredModel, stage: str, next_stages: tuple[str, ...]) -> StoredModel:
    """Return the stored model of a previous stage; check that the cascade is not circular."""
    if stage in next_stages:
        msg = (
            f"{stored.path}: circular cascade of {' and '.join(next_stages)}; expected stages in "
            f"one order. Correct {Plan.FILE_NAME}, or copy the model again."
        )
        raise ModelError(msg)
    return stored.sibling(stage)


def _check_stages(plan: Plan, previous: LoadedModel) -> None:
    """Check that two stages of a cascade have the same channels, labels and axes."""
    field = plan.differing_field(previous.plan)
    if field is not None:
        msg = (
            f"{previous.path} is the previous stage of a cascade, but the {field} of the two "
            f"stages differ: {getattr(previous.plan, field)!r} and {getattr(plan, field)!r}. "
            "Train both with one plan."
        )
        raise ModelError(msg)


def _only_model(work_root: Path, *, take_selection: bool) -> Path:
    """Return the model of the only work folder with a trained model."""
    folders = sorted(work_root.iterdir()) if work_root.is_dir() else []
    works = [folder for folder in folders if trained_models(folder)]
    if not works:
        msg = (
            f"no trained model found under {work_root.absolute()}. {_next_step(*folders)} "
            "For a model in another place, pass --model PATH."
        )
        raise ModelError(msg)
    if len(works) > 1:
        msg = (
            "several datasets have a trained model; expected one. "
            f"Add one of:\n{_model_lines(works)}"
        )
        raise ModelError(msg)
    return _default_model(works[0], take_selection=take_selection)


def _default_model(work: Path, *, take_selection: bool) -> Path:
    """Return the work folder's only model, or the model of the plan's default configuration.

    A previous stage of another model is only used if it is the plan's default configuration.
    """
    if take_selection:
        root = work.parent if work.name == "models" else work
        if (root / Selection.FILE_NAME).is_file():
            return root
    models = trained_models(work)
    if len(models) == 1:
        return models[0]
    previous_stages = set()
    for folder in map(ModelFolder, models):
        if folder.path.name == folder.read_plan().default_configuration:
            return folder.path
        previous_stages.add(folder.previous_stage())
    final = [model for model in models if model.name not in previous_stages]
    if len(final) == 1:
        return final[0]
    msg = (
        f"{work} has several trained configurations, and none is the plan's default. "
        f"Add one of:\n{_model_lines(models)}"
    )
    raise ModelError(msg)


def _model_lines(paths: Sequence[Path]) -> str:
    return "\n".join(f"  --model {path}" for path in paths)


def _next_step(*works: Path) -> str:
    """Return the next step for the user: start a training, or finish one."""
    patterns = ("fold_*", "*/fold_*", "models/*/fold_*", "*/models/*/fold_*")
    folds = [fold for work in works for pattern in patterns for fold in sorted(work.glob(pattern))]
    started = [fold for fold in folds if fold.is_dir() and not (fold / WEIGHTS_NAME).is_file()]
    if not started:
        return "Run `autoseg train DATASET` first."
    return f"Training of {started[0]} is not finished: run the same `autoseg train` again."
