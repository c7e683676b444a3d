"""Find and load the configurations that predict: one, or the selection of `autoseg select`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import ModelError
from autoseg.core.formatting import format_folds
from autoseg.core.work_root import WORK_ROOT
from autoseg.documents.selection import Selection
from autoseg.documents.splits import FoldName, default_folds
from autoseg.documents.store import load
from autoseg.models.archive.archived import archived_model
from autoseg.models.archive.reader import ModelArchive
from autoseg.models.folder import (
    ModelFolder,
    StoredModel,
    named_fold,
    trained_folds,
    weights_digest,
)
from autoseg.models.loader import LoadedModel, LoadOptions, find_model, load_stored, open_model

RESELECT = "run `autoseg select` again"
"""Advice for a selection that is older than the trained models."""


@dataclass(frozen=True)
class StoredSelection:
    """The model for prediction, before any network is loaded.

    Attributes:
        path: Path of the model file, work folder, model folder or fold folder.
        members: The stored configurations.
        folds: Folds of each member; None for all trained numbered folds.
        selection: The selection document; None for a configuration that was not selected.
        warnings: Sentences about differences between the selection and the trained models.
        has_changed: Whether networks changed after the selection, so that its scores are outdated.
    """

    path: Path
    members: tuple[StoredModel, ...]
    folds: tuple[Sequence[FoldName] | None, ...]
    selection: Selection | None = None
    warnings: tuple[str, ...] = ()
    has_changed: bool = False


def find_selection(
    path: Path | None, folds: Sequence[FoldName] | None = None, *, work_root: Path = WORK_ROOT
) -> StoredSelection:
    """Find the model that a path refers to, without loading networks.

    Args:
        path: As in `find_model`. A work folder with a selection means the selected configurations;
            a model file means all its members.
        folds: Folds to average in each configuration; None for the selected folds, or else all
            trained numbered folds.
        work_root: Folder of the work folders.

    Raises:
        ModelError: If there is no model, the choice is ambiguous, a model file is not valid, or a
            selected fold is missing.
        DocumentError: If `selection.json` is damaged.
    """
    model = find_model(path, work_root=work_root, take_selection=True)
    if model.is_file():
        return _from_archive(ModelArchive(model), folds)
    if (model / Selection.FILE_NAME).is_file():
        return _from_work_folder(model, folds)
    fold = named_fold(model)
    chosen_folds = (fold.fold,) if folds is None and fold is not None else folds
    return StoredSelection(path=model, members=(open_model(model),), folds=(chosen_folds,))


def load_members(stored: StoredSelection, options: LoadOptions) -> tuple[LoadedModel, ...]:
    """Load the members of a stored selection to the device.

    Raises:
        ModelError: If weights are missing or damaged, or the members' plans are incompatible.
        DocumentError: If `model.json` or `plan.json` of a folder is missing or damaged.
    """
    members = tuple(
        load_stored(member, options, folds)
        for member, folds in zip(stored.members, stored.folds, strict=True)
    )
    for member in members[1:]:
        _check_same_task(members[0], member)
    return members


def describe_selection(stored: StoredSelection) -> str | None:
    """Describe the selected configurations in a sentence; return None without a selection."""
    selection = stored.selection
    if selection is None:
        return None
    parts = (
        f"{name} ({format_folds(selection.folds[index] if folds is None else folds)})"
        for index, (name, folds) in enumerate(zip(selection.members, stored.folds, strict=True))
    )
    steps = "; ".join(
        f"only the largest component of {'/'.join(map(str, step.values))} is kept"
        for step in selection.postprocessing
    )
    end = f"; {steps}" if steps else ""
    return f"Predicting with {' + '.join(parts)}, as selected by cross-validation{end}."


def _from_archive(archive: ModelArchive, folds: Sequence[FoldName] | None) -> StoredSelection:
    """Return the members of a model file."""
    members = tuple(archived_model(archive, name) for name in archive.manifest.members)
    selection = archive.read_selection()
    selected_folds = (None,) * len(members) if selection is None else selection.folds
    return StoredSelection(
        path=archive.path,
        members=members,
        folds=selected_folds if folds is None else (folds,) * len(members),
        selection=selection,
    )


def _from_work_folder(work: Path, folds: Sequence[FoldName] | None) -> StoredSelection:
    """Return the selected configurations of a work folder, whose folds must all exist."""
    selection = load(Selection, work / Selection.FILE_NAME)
    folders = tuple(work / "models" / name for name in selection.members)
    for folder, selected_folds in zip(folders, selection.folds, strict=True):
        trained = trained_folds(folder)
        if not set(selected_folds) <= set(trained):
            msg = (
                f"{work / Selection.FILE_NAME} selects {folder.name} with folds "
                f"{list(selected_folds)}, but the trained folds are {list(trained)}. Run `autoseg "
                "select` again, or choose one configuration with --model models/<configuration>."
            )
            raise ModelError(msg)
    members = tuple(map(ModelFolder, folders))
    changed = _changed_folds(tuple(zip(members, selection.folds, strict=True)), selection.weights)
    unused = tuple(
        warning
        for folder, selected_folds in zip(folders, selection.folds, strict=True)
        for warning in _unused_folds(folder, selected_folds)
    )
    return StoredSelection(
        path=work,
        members=members,
        folds=selection.folds if folds is None else (folds,) * len(folders),
        selection=selection,
        warnings=(*changed, *unused),
        has_changed=bool(changed),
    )


def selected_weights(
    selected: Sequence[tuple[Path, str | None, Sequence[FoldName]]],
) -> dict[Path, dict[FoldName, str]]:
    """Return a hash of the weights of each existing fold, also of previous stages, by model folder.

    Args:
        selected: Selected model folders with the names of their previous stages and their folds.
    """
    pending, digests = list(selected), dict[Path, dict[FoldName, str]]()
    while pending:
        folder, stage, folds = pending.pop(0)
        if folder in digests:
            continue
        found = {fold: weights_digest(folder / f"fold_{fold}") for fold in folds}
        digests[folder] = {fold: digest for fold, digest in found.items() if digest is not None}
        if stage is not None:
            earlier = ModelFolder(folder.parent / stage)
            pending.append((earlier.path, earlier.previous_stage(), folds))
    return digests


def _changed_folds(
    selected: Sequence[tuple[ModelFolder, Sequence[FoldName]]], known: Mapping[str, str]
) -> tuple[str, ...]:
    """Return warnings about networks that changed after the selection, including previous stages.

    Such networks can still predict; only the scores of the selection are outdated.

    Args:
        selected: Selected model folders with their folds.
        known: `Selection.weights`.
    """
    warnings = []
    stages = [(model.path, model.previous_stage(), folds) for model, folds in selected]
    for folder, digests in selected_weights(stages).items():
        newer = [
            fold
            for fold, digest in digests.items()
            if known.get(f"{folder.name}/fold_{fold}", digest) != digest
        ]
        if newer:
            warnings.append(
                f"{format_folds(newer)} of {folder.name} changed after the selection; {RESELECT}"
            )
    return tuple(warnings)


def _unused_folds(folder: Path, selected: Sequence[FoldName]) -> tuple[str, ...]:
    """Return a warning about trained folds of a member that are not part of the selection."""
    unused = sorted(set(default_folds(trained_folds(folder))) - set(selected), key=str)
    if not unused:
        return ()
    folds = f"{format_folds(unused)} of {folder.name} {'was' if len(unused) == 1 else 'were'}"
    return (f"{folds} trained after the selection and therefore not used; {RESELECT}",)


def _check_same_task(first: LoadedModel, other: LoadedModel) -> None:
    """Check that two members have the same inputs and outputs."""
    field = first.plan.differing_field(other.plan)
    if field is not None:
        names = f"{first.configuration.name} and {other.configuration.name}"
        msg = (
            f"{names} cannot predict together: their plans differ in {field}. Train them with "
            "one plan, and run `autoseg select` again."
        )
        raise ModelError(msg)
