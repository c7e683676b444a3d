"""Find and load trained models: JSON and safetensors, in a folder or a file, never pickled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from autoseg.core.device import Precision, autocast_dtype, choose_device
from autoseg.core.errors import ModelError
from autoseg.core.instructions import choices, choose
from autoseg.core.work_root import WORK_ROOT
from autoseg.documents.model import PLAN_NAME, WEIGHTS_NAME
from autoseg.documents.model_card import DataSummary
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.selection import SELECTION_NAME
from autoseg.documents.splits import ALL, FoldName, averaged_folds
from autoseg.documents.store import load
from autoseg.inference.archive.archived import archived_model
from autoseg.inference.archive.contents import SUFFIX
from autoseg.inference.archive.reading import ModelArchive
from autoseg.inference.ensemble import Ensemble
from autoseg.inference.heads import split_head
from autoseg.inference.networks import load_network
from autoseg.inference.stored import (
    ModelFolder,
    StoredModel,
    named_fold,
    trained_folds,
)

PrecisionRule = Callable[[Configuration, torch.device, Precision], Precision]
"""Gives the precision that a network predicts in, from the one that was asked for."""


def as_asked(
    _configuration: Configuration, device: torch.device, precision: Precision
) -> Precision:
    """Return the precision that was asked for; on a CPU, this process has computed then."""
    if device.type == "cpu":
        choose(choices()[0])
    return precision


@dataclass(frozen=True)
class LoadOptions:
    """How to load networks.

    Attributes:
        device: Name of the device; "auto" takes an accelerator if there is one.
        precision: What convolutions compute in.
        use_mirroring: Whether to average over flips, where training mirrored.
        rule: Chooses the precision of each network.
    """

    device: str = "auto"
    precision: Precision = "auto"
    use_mirroring: bool = True
    rule: PrecisionRule = as_asked


@dataclass(frozen=True)
class LoadedModel:
    """A trained model, in memory and ready.

    Attributes:
        folder: Where it was loaded from: a folder or a model file.
        plan: How its dataset was understood: channels, labels, axes.
        configuration: Which of the plan's configurations the networks are.
        ensemble: The networks.
        data: The training data in numbers; None if the model came without.
        previous: The previous stage of a cascade; None without one.
    """

    folder: Path
    plan: Plan
    configuration: Configuration
    ensemble: Ensemble
    data: DataSummary | None = None
    previous: "LoadedModel | None" = None


def find_model(
    path: Path | None, *, work_root: Path = WORK_ROOT, take_selection: bool = False
) -> Path:
    """Return the one trained model that is meant.

    Args:
        path: A model file (`*.autoseg`), a work folder, a model folder (`models/<configuration>`)
            or one fold of it, or a folder of work folders; None is `work_root`.
        work_root: Folder of the work folders.
        take_selection: Whether a work folder that has a selection is itself what is meant.

    Returns:
        A model file, a model folder, or the fold's folder if `path` is one. Of a work folder with
        several trained configurations, the one that the plan names as default, or else the one
        that is no previous stage of another.

    Raises:
        ModelError: If there is none, or if several are left to choose from.
    """
    if path is None:
        return _only_model(work_root, take_selection=take_selection)
    if path.is_file():
        return path
    if not path.is_dir():
        msg = (
            f"{path} is not a folder or file. --model takes a model file (*{SUFFIX}), a work "
            "folder, or models/<configuration> in it."
        )
        raise ModelError(msg)
    if (path / WEIGHTS_NAME).is_file() or trained_folds(path):
        return path
    if trained_models(path):
        return _default_model(path, take_selection=take_selection)
    if any(trained_models(folder) for folder in path.iterdir()):
        return _only_model(path, take_selection=take_selection)
    msg = f"{path} holds no model whose training is complete. {_unfinished(path)}"
    raise ModelError(msg)


def trained_models(work: Path) -> tuple[Path, ...]:
    """Return the model folders of a work folder (or of its `models` folder) that can predict."""
    parent = work / "models" if (work / "models").is_dir() else work
    folders = sorted(parent.iterdir()) if parent.is_dir() else []
    return tuple(folder for folder in folders if trained_folds(folder))


def open_model(path: Path) -> StoredModel:
    """Return where a model lies, ready to be read: a model file, a model folder or that of a fold.

    Of a model file with several members, the first.

    Raises:
        ModelError: If it is a file, but not a valid model file.
    """
    if path.is_file():
        return archived_model(ModelArchive(path))
    fold = named_fold(path)
    return ModelFolder(path if fold is None else fold.model)


def load_model(
    path: Path,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    folds: Sequence[FoldName] | None = None,
    use_mirroring: bool = True,
    rule: PrecisionRule = as_asked,
) -> LoadedModel:
    """Return a trained model, its networks on the device.

    Args:
        path: A model file (of several members the first is loaded), a model folder or one fold's.
        device: Name of the device; "auto" takes an accelerator if there is one.
        precision: What convolutions compute in.
        folds: Which folds to average; None for all numbered ones that are trained.
        use_mirroring: Whether to average over flips, where training mirrored.
        rule: Chooses the precision of each network.

    Raises:
        ModelError: If a wanted fold is not trained, weights do not fit the plan, or a model file
            is not valid.
        DocumentError: If `model.json` or `plan.json` of a folder is missing or damaged.
    """
    if folds is None and (fold := named_fold(path)):
        folds = (fold.fold,)
    options = LoadOptions(device, precision, use_mirroring, rule)
    return load_stored(open_model(path), options, folds)


def load_stored(
    stored: StoredModel,
    options: LoadOptions,
    folds: Sequence[FoldName] | None,
    *,
    next_stages: tuple[str, ...] = (),
) -> LoadedModel:
    """Return a trained model and its previous stages, their networks on the device.

    Args:
        stored: Where it lies.
        options: Device, precision and mirroring.
        folds: Which folds to average; None for all numbered ones that are trained.
        next_stages: Configurations that refine what this one predicts; they cannot precede it.

    Raises:
        ModelError: As `load_model`, or if a previous stage is missing or of another dataset.
        DocumentError: If `model.json` or `plan.json` of a folder is missing or damaged.
    """
    trained, plan = stored.read_trained(), stored.read_plan()
    configuration = plan.configuration(trained.configuration)
    chosen = choose_device(options.device)
    networks = tuple(
        load_network(configuration.architecture, stored, fold, chosen)
        for fold in _wanted_folds(stored, folds)
    )
    precision = options.rule(configuration, chosen, options.precision)
    ensemble = ensemble_of(
        networks, configuration, device=chosen, dtype=autocast_dtype(chosen, precision)
    )
    if options.use_mirroring:
        ensemble = replace(ensemble, mirror_axes=trained.mirror_axes)
    previous, stages = None, (*next_stages, configuration.name)
    if configuration.previous_stage is not None:
        before = _stored_stage(stored, configuration.previous_stage, stages)
        previous = load_stored(before, options, previous_folds(folds), next_stages=stages)
        _check_stages(plan, previous)
    return LoadedModel(
        folder=stored.path,
        plan=plan,
        configuration=configuration,
        ensemble=ensemble,
        data=stored.read_summary(),
        previous=previous,
    )


def previous_folds(folds: Sequence[FoldName] | None) -> Sequence[FoldName] | None:
    """Return which folds of a previous stage go with folds of a cascade; None for all numbered.

    The same, so that a held-out case is new to both. With the fold that trained on every case go
    all numbered ones.
    """
    return None if folds is None or ALL in folds else folds


def _stored_stage(stored: StoredModel, stage: str, next_stages: tuple[str, ...]) -> StoredModel:
    """Return where a previous stage lies.

    Raises:
        ModelError: If it is not there, or is one of those that it should precede.
    """
    if stage in next_stages:
        msg = (
            f"{stored.path}: the stages {' and '.join(next_stages)} are said to precede each "
            f"other. Correct {PLAN_NAME}, or copy the model again."
        )
        raise ModelError(msg)
    return stored.sibling(stage)


def _check_stages(plan: Plan, previous: LoadedModel) -> None:
    """Check that two stages of a cascade mean the same by channels, classes and axes.

    Raises:
        ModelError: If they do not.
    """
    for field in ("channel_names", "labels", "axis_order", "orientation"):
        if getattr(plan, field) != getattr(previous.plan, field):
            msg = (
                f"{previous.folder} is the previous stage of a cascade, but their {field} differ: "
                f"{getattr(previous.plan, field)!r} and {getattr(plan, field)!r}. Train both with "
                "one plan."
            )
            raise ModelError(msg)


def ensemble_of(
    networks: Sequence[nn.Module],
    configuration: Configuration,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> Ensemble:
    """Return networks that are on the device as an ensemble without mirroring.

    They are put into evaluation mode. Models of nnU-Net stay whole: they are to round their scores
    as nnU-Net does.
    """
    is_whole = configuration.blending == "nnunet"
    ready = tuple(network.eval() for network in networks)
    return Ensemble(
        networks=ready,
        device=device,
        dtype=dtype,
        patch_shape=configuration.topology.patch_shape,
        num_classes=configuration.architecture.num_classes,
        blending=configuration.blending,
        margin=configuration.architecture.output_margin(),
        parts=() if is_whole else split_head(ready, configuration.architecture),
    )


def _wanted_folds(stored: StoredModel, folds: Sequence[FoldName] | None) -> Sequence[FoldName]:
    """Return the folds to load.

    Raises:
        ModelError: If one of them, or any at all, is not trained to the end.
    """
    stored.check_trained(folds or ())
    return averaged_folds(stored.folds()) if folds is None else tuple(dict.fromkeys(folds))


def _only_model(work_root: Path, *, take_selection: bool) -> Path:
    """Return the model of the only work folder that has one.

    Raises:
        ModelError: If there is none, or more than one.
    """
    folders = sorted(work_root.iterdir()) if work_root.is_dir() else []
    works = [folder for folder in folders if trained_models(folder)]
    if not works:
        msg = (
            f"there is no trained model under {work_root.absolute()}. {_unfinished(*folders)} "
            "A model elsewhere is named with --model PATH."
        )
        raise ModelError(msg)
    if len(works) > 1:
        msg = "several datasets have a trained model. Add one of:\n" + _model_lines(works)
        raise ModelError(msg)
    return _default_model(works[0], take_selection=take_selection)


def _default_model(work: Path, *, take_selection: bool) -> Path:
    """Return the work folder's only model, or that of the plan's default configuration.

    A stage that another model refines is not what to predict with, unless the plan says so.

    Raises:
        ModelError: If the default is not among several.
    """
    if take_selection:
        root = work.parent if work.name == "models" else work
        if (root / SELECTION_NAME).is_file():
            return root
    models = trained_models(work)
    if len(models) == 1:
        return models[0]
    refined = set()
    for model in models:
        plan = load(Plan, model / PLAN_NAME, made_by="autoseg train")
        if model.name == plan.default_configuration:
            return model
        refined |= {
            entry.previous_stage for entry in plan.configurations if entry.name == model.name
        }
    last = [model for model in models if model.name not in refined]
    if len(last) == 1:
        return last[0]
    msg = (
        f"{work} has several trained configurations, and none is the plan's default. "
        f"Add one of:\n{_model_lines(models)}"
    )
    raise ModelError(msg)


def _model_lines(paths: Sequence[Path]) -> str:
    return "\n".join(f"  --model {path}" for path in paths)


def _unfinished(*works: Path) -> str:
    """Return what to do next: start a training, or let one finish."""
    places = ("fold_*", "*/fold_*", "models/*/fold_*", "*/models/*/fold_*")
    folds = [fold for work in works for place in places for fold in sorted(work.glob(place))]
    started = [fold for fold in folds if fold.is_dir() and not (fold / WEIGHTS_NAME).is_file()]
    if not started:
        return "Run `autoseg train DATASET` first."
    return f"Training of {started[0]} is not finished: run the same `autoseg train` again."
