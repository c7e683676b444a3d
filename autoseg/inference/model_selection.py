"""What predicts: one trained configuration, or those that `autoseg select` chose, as one model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.core.arrays import LabelArray
from autoseg.core.errors import ModelError
from autoseg.core.work_root import WORK_ROOT
from autoseg.documents.model import PLAN_NAME, WEIGHTS_NAME
from autoseg.documents.plan import Plan
from autoseg.documents.quality import mean_agreement
from autoseg.documents.selection import SELECTION_NAME, LargestComponent, Selection
from autoseg.documents.splits import FoldName, averaged_folds
from autoseg.documents.store import load
from autoseg.inference.archive.archived import archived_model
from autoseg.inference.archive.reading import ModelArchive
from autoseg.inference.model import (
    LoadedModel,
    LoadOptions,
    find_model,
    load_stored,
    open_model,
)
from autoseg.inference.postprocessing import postprocessed
from autoseg.inference.stored import ModelFolder, StoredModel, named_fold, trained_folds
from autoseg.inference.tta_consistency import TtaConsistency

SHARED = ("channel_names", "labels", "axis_order", "orientation")
"""What the plans of configurations must agree on, so that they can predict the same image."""

AGAIN = "run `autoseg select` again"
"""What to do about a selection that is behind the trained models."""


@dataclass(frozen=True)
class StoredSelection:
    """What is to predict, before any network is loaded.

    Attributes:
        path: What was named: a model file, a work folder, a model folder or a fold's.
        members: Where each configuration lies.
        folds: Which folds of each; None for all numbered ones that are trained.
        selection: Why these; None for a configuration that was not selected.
        warnings: In what the selection no longer fits the trained models, a sentence each.
        has_changed: Whether networks changed after they were selected, so that its scores are those
            of others.
    """

    path: Path
    members: tuple[StoredModel, ...]
    folds: tuple[Sequence[FoldName] | None, ...]
    selection: Selection | None = None
    warnings: tuple[str, ...] = ()
    has_changed: bool = False


@dataclass(frozen=True)
class SelectedModel:
    """Trained configurations in memory that predict together.

    Attributes:
        path: What was named: a model file, a work folder, a model folder or a fold's.
        members: One, or several whose probabilities are averaged.
        postprocessing: Steps after prediction, in order.
    """

    path: Path
    members: tuple[LoadedModel, ...]
    postprocessing: tuple[LargestComponent, ...] = ()

    @property
    def plan(self) -> Plan:
        """What all members agree on: channels, labels and axes."""
        return self.members[0].plan

    def watched(self) -> "SelectedModel":
        """Return the same model, measuring how far its networks agree on the image to come."""
        return replace(self, members=tuple(_watched(member) for member in self.members))

    def agreement(self) -> tuple[float | None, ...]:
        """Return how far the networks of a watched model agreed, per target, mean over members."""
        measured = (member.ensemble.agreement for member in self.members)
        return mean_agreement([entry.dice() for entry in measured if entry])

    def values(self, indices: LabelArray) -> LabelArray:
        """Return the label values of a predicted index map, after post-processing."""
        labels = self.plan.labels
        return postprocessed(labels.decode(indices), self.postprocessing, labels.values[0])


def _watched(member: LoadedModel) -> LoadedModel:
    labels = member.plan.labels
    agreement = TtaConsistency(labels.num_outputs, is_regional=bool(labels.regions))
    return replace(member, ensemble=replace(member.ensemble, agreement=agreement))


def load_selected(
    path: Path | None, options: LoadOptions, folds: Sequence[FoldName] | None = None
) -> SelectedModel:
    """Return the model that is meant, its networks on the device; see `find_selection`.

    Raises:
        ModelError: If there is none, several are left to choose from, or it is not valid.
        DocumentError: If one of its documents is missing or damaged.
    """
    return loaded(find_selection(path, folds), options)


def find_selection(
    path: Path | None,
    folds: Sequence[FoldName] | None = None,
    *,
    work_root: Path = WORK_ROOT,
) -> StoredSelection:
    """Return the model that is meant, not yet loaded.

    Args:
        path: As `find_model` takes it. Of a work folder with a selection, the selected
            configurations are taken, and of a model file all members.
        folds: Which folds to average, of each configuration; None for those that were selected,
            or else all numbered ones that are trained.
        work_root: Folder of the work folders.

    Raises:
        ModelError: If there is none, several are left to choose from, a model file is not valid,
            or a selected fold is not there.
        DocumentError: If `selection.json` is damaged.
    """
    found = find_model(path, work_root=work_root, take_selection=True)
    if found.is_file():
        return _archived(ModelArchive(found), folds)
    if (found / SELECTION_NAME).is_file():
        return _selected(found, folds)
    fold = named_fold(found)
    own = (fold.fold,) if folds is None and fold is not None else folds
    return StoredSelection(path=found, members=(open_model(found),), folds=(own,))


def loaded(choice: StoredSelection, options: LoadOptions) -> SelectedModel:
    """Return a choice with its networks on the device.

    Raises:
        ModelError: If weights are missing or damaged, or members do not fit each other.
        DocumentError: If `model.json` or `plan.json` of a folder is missing or damaged.
    """
    members = tuple(
        load_stored(stored, options, folds)
        for stored, folds in zip(choice.members, choice.folds, strict=True)
    )
    for member in members[1:]:
        _check_same_task(members[0], member)
    steps = () if choice.selection is None else choice.selection.postprocessing
    return SelectedModel(path=choice.path, members=members, postprocessing=steps)


def description(choice: StoredSelection) -> str | None:
    """Return in a sentence what was selected; None if nothing was."""
    selection = choice.selection
    if selection is None:
        return None
    parts = (
        f"{name} ({_fold_words(selection.folds[index] if folds is None else folds)})"
        for index, (name, folds) in enumerate(zip(selection.members, choice.folds, strict=True))
    )
    steps = "; ".join(
        f"only the largest component of {'/'.join(map(str, step.values))} is kept"
        for step in selection.postprocessing
    )
    end = f"; {steps}" if steps else ""
    return f"Predicting with {' + '.join(parts)}, as selected by cross-validation{end}."


def _fold_words(folds: Sequence[FoldName]) -> str:
    return f"fold{'s' if len(folds) != 1 else ''} {', '.join(map(str, folds))}"


def _archived(archive: ModelArchive, folds: Sequence[FoldName] | None) -> StoredSelection:
    members = tuple(archived_model(archive, name) for name in archive.manifest.members)
    selection = archive.read_selection()
    own = (None,) * len(members) if selection is None else selection.folds
    return StoredSelection(
        path=archive.path,
        members=members,
        folds=own if folds is None else (folds,) * len(members),
        selection=selection,
    )


def _selected(work: Path, folds: Sequence[FoldName] | None) -> StoredSelection:
    """Return what the selection of a work folder names.

    Raises:
        ModelError: If one of its folds is not there.
    """
    selection = load(Selection, work / SELECTION_NAME, made_by="autoseg select")
    folders = tuple(work / "models" / name for name in selection.members)
    for folder, wanted in zip(folders, selection.folds, strict=True):
        trained = trained_folds(folder)
        missing = sorted(set(wanted) - set(trained), key=str)
        if missing or not trained:
            msg = (
                f"{work / SELECTION_NAME} names {folder.name} with folds {list(wanted)}, but "
                f"trained are {list(trained)}. Run `autoseg select` again, or choose one "
                "configuration with --model models/<configuration>."
            )
            raise ModelError(msg)
    chosen = tuple(zip(folders, selection.folds, strict=True))
    changed = _changed(chosen, (work / SELECTION_NAME).stat().st_mtime)
    further = tuple(warning for folder, own in chosen for warning in _further(folder, own))
    return StoredSelection(
        path=work,
        members=tuple(ModelFolder(folder) for folder in folders),
        folds=selection.folds if folds is None else (folds,) * len(folders),
        selection=selection,
        warnings=(*changed, *further),
        has_changed=bool(changed),
    )


def _changed(
    selected: Sequence[tuple[Path, Sequence[FoldName]]], selected_at: float
) -> tuple[str, ...]:
    """Return which networks, of members or of stages before them, changed after the selection.

    It does not keep them from predicting: they are whole, only the scores are of others.
    """
    waiting, seen, found = list(selected), set[Path](), []
    while waiting:
        folder, folds = waiting.pop(0)
        if folder in seen:
            continue
        seen.add(folder)
        weights = ((fold, folder / f"fold_{fold}" / WEIGHTS_NAME) for fold in folds)
        newer = [
            fold for fold, path in weights if path.is_file() and path.stat().st_mtime > selected_at
        ]
        if newer:
            found.append(
                f"{_fold_words(newer)} of {folder.name} changed after the selection; {AGAIN}"
            )
        stage = _stage_of(folder)
        waiting += [] if stage is None else [(folder.parent / stage, folds)]
    return tuple(found)


def _stage_of(folder: Path) -> str | None:
    """Return the previous stage of a model folder's configuration; None without one."""
    plan = load(Plan, folder / PLAN_NAME, made_by="autoseg train")
    named = (entry for entry in plan.configurations if entry.name == folder.name)
    return next((entry.previous_stage for entry in named), None)


def _further(folder: Path, selected: Sequence[FoldName]) -> tuple[str, ...]:
    """Return which trained folds of a member the selection does not have."""
    further = sorted(set(averaged_folds(trained_folds(folder))) - set(selected), key=str)
    if not further:
        return ()
    came = f"{_fold_words(further)} of {folder.name} came after the selection"
    return (f"{came} and takes no part in it; {AGAIN}",)


def _check_same_task(first: LoadedModel, other: LoadedModel) -> None:
    """Check that two members predict the same from the same images.

    Raises:
        ModelError: If they do not.
    """
    for field in SHARED:
        if getattr(first.plan, field) != getattr(other.plan, field):
            names = f"{first.configuration.name} and {other.configuration.name}"
            msg = (
                f"{names} cannot predict together: their plans differ in {field}. Train them with "
                "one plan, and run `autoseg select` again."
            )
            raise ModelError(msg)


def only(model: LoadedModel) -> SelectedModel:
    """Return a single loaded configuration as what predicts."""
    return SelectedModel(path=model.folder, members=(model,))
