"""Trained models on disk: read their documents and weights without building networks."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from typing_extensions import override

from autoseg.core.errors import ModelError, first_line
from autoseg.core.formatting import format_folds
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.model import WEIGHTS_NAME, TrainedModel
from autoseg.documents.model_card import DataSummary, summarize_fingerprint
from autoseg.documents.plan import Plan
from autoseg.documents.splits import FoldName, fold_from_folder, sort_folds
from autoseg.documents.store import load, save

Tensors = dict[str, torch.Tensor]

DIGESTED_BYTES = 2**20
"""Bytes at each end of a weights file that enter its hash, in addition to its size."""


class StoredModel(ABC):
    """A trained model on disk.

    Attributes:
        path: Folder or file of the model.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def folds(self) -> tuple[FoldName, ...]:
        """Return the folds that are trained to the end, in order."""

    def check_trained(self, folds: Iterable[FoldName]) -> None:
        """Check that the given folds, and at least one fold, are trained to the end.

        Raises:
            ModelError: If they are not.
        """
        trained = self.folds()
        missing = sort_folds(set(folds) - set(trained))
        if not trained:
            msg = (
                f"no fold of {self.path} is trained to the end; expected at least one. Run "
                "`autoseg train` until one is finished."
            )
            raise ModelError(msg)
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            msg = (
                f"{format_folds(missing)} of {self.path} {verb} not trained to the end; trained: "
                f"{', '.join(map(str, trained))}. Choose other folds with --fold, or finish the "
                "missing ones with `autoseg train`."
            )
            raise ModelError(msg)

    @abstractmethod
    def read_trained(self) -> TrainedModel:
        """Read the description of the trained model: its configuration and mirror axes."""

    @abstractmethod
    def read_plan(self) -> Plan:
        """Read the plan."""

    @abstractmethod
    def read_summary(self) -> DataSummary | None:
        """Read the summary of the training data; None if the model does not contain one."""

    @abstractmethod
    def read_weights(self, fold: FoldName, *, largest_bytes: int) -> Tensors:
        """Read the weights of one fold in their stored precision.

        Args:
            fold: Fold to read.
            largest_bytes: Maximum file size for the network; larger files are not read.

        Raises:
            ModelError: If the weights are missing, damaged or too large.
        """

    @abstractmethod
    def sibling(self, configuration: str) -> "StoredModel":
        """Return another configuration that is stored next to this one.

        Raises:
            ModelError: If there is no configuration with this name.
        """

    @abstractmethod
    def weights_name(self, fold: FoldName) -> str:
        """Return the name of a fold's weights for messages."""


class ModelFolder(StoredModel):
    """A model folder of a work folder: `models/<configuration>`; its documents are read once."""

    def __init__(
        self,
        path: Path,
        *,
        trained: TrainedModel | None = None,
        plan: Plan | None = None,
        fingerprint: Fingerprint | None = None,
    ) -> None:
        """Initialize a model folder; documents that are None are read when they are needed.

        Args:
            path: The folder.
            trained: Description of the model.
            plan: The plan.
            fingerprint: Fingerprint of the training data.
        """
        super().__init__(path)
        self._trained, self._plan, self._fingerprint = trained, plan, fingerprint

    def save(self) -> None:
        """Save the documents that were given, for prediction without the work folder."""
        for document in (self._trained, self._plan, self._fingerprint):
            if document is not None:
                save(document, self.path / document.FILE_NAME)

    @override
    def folds(self) -> tuple[FoldName, ...]:
        return trained_folds(self.path)

    @override
    def read_trained(self) -> TrainedModel:
        if self._trained is None:
            self._trained = load(TrainedModel, self.path / TrainedModel.FILE_NAME)
        return self._trained

    @override
    def read_plan(self) -> Plan:
        if self._plan is None:
            self._plan = load(Plan, self.path / Plan.FILE_NAME, made_by=TrainedModel.MADE_BY)
        return self._plan

    @override
    def read_summary(self) -> DataSummary | None:
        path = self.path / Fingerprint.FILE_NAME
        if self._fingerprint is None and path.is_file():
            self._fingerprint = load(Fingerprint, path, made_by=TrainedModel.MADE_BY)
        return None if self._fingerprint is None else summarize_fingerprint(self._fingerprint)

    def previous_stage(self) -> str | None:
        """Return the previous stage of this folder's configuration; None if it has none."""
        configurations = self.read_plan().configurations
        matching = (entry for entry in configurations if entry.name == self.path.name)
        return next((entry.previous_stage for entry in matching), None)

    @override
    def read_weights(self, fold: FoldName, *, largest_bytes: int) -> Tensors:
        path = self._weights(fold)
        try:
            with path.open("rb") as file:  # safetensors does not tell why it cannot open a file
                size = file.seek(0, os.SEEK_END)
            if size > largest_bytes:
                raise unusable_weights_error(
                    str(path), f"{size} bytes, expected at most {largest_bytes}"
                )
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise unusable_weights_error(str(path), first_line(error)) from error

    @override
    def sibling(self, configuration: str) -> "ModelFolder":
        folder = self.path.absolute().parent / configuration
        if not trained_folds(folder):
            msg = (
                f"{self.path} refines the predictions of {configuration}, but {folder} contains no "
                f"trained model. Copy it there, or train it with `autoseg train DATASET "
                f"--configuration {configuration}`."
            )
            raise ModelError(msg)
        return ModelFolder(folder)

    @override
    def weights_name(self, fold: FoldName) -> str:
        return str(self._weights(fold))

    def _weights(self, fold: FoldName) -> Path:
        return self.path / f"fold_{fold}" / WEIGHTS_NAME


def trained_folds(folder: Path) -> tuple[FoldName, ...]:
    """Return the folds of a model folder that are trained to the end."""
    if not (folder / TrainedModel.FILE_NAME).is_file():
        return ()
    weights = folder.glob(f"fold_*/{WEIGHTS_NAME}")
    folds = (fold_from_folder(path.parent.name) for path in weights)
    return sort_folds(fold for fold in folds if fold is not None)


def weights_digest(folder: Path) -> str | None:
    """Return a hash that identifies the trained weights of a fold; None without weights.

    It is that of the size and of both ends of the file: training changes all tensors.
    """
    try:
        with (folder / WEIGHTS_NAME).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            digest = hashlib.sha256(str(size).encode())
            for start in (0, max(0, size - DIGESTED_BYTES)):
                file.seek(start)
                digest.update(file.read(DIGESTED_BYTES))
    except FileNotFoundError:
        return None
    return digest.hexdigest()


class NamedFold(NamedTuple):
    """A fold that is given by the path of its folder.

    Attributes:
        model: Model folder of the fold.
        fold: Number of the fold, or "all".
    """

    model: Path
    fold: FoldName


def named_fold(path: Path) -> NamedFold | None:
    """Return the trained fold of a fold folder; None if the path is not a fold folder.

    Raises:
        ModelError: If the folder contains weights but does not have the name of a fold.
    """
    if not (path / WEIGHTS_NAME).is_file():
        return None
    folder = path if path.name.startswith("fold_") else path.resolve()  # "." has no name
    fold = fold_from_folder(folder.name)
    if fold is None:
        msg = (
            f"{path} contains weights, but is not named fold_<number> or fold_all. Restore its "
            f"name and leave it in its model folder, next to {TrainedModel.FILE_NAME} and "
            f"{Plan.FILE_NAME}."
        )
        raise ModelError(msg)
    return NamedFold(folder.parent, fold)


def unusable_weights_error(weights: str, reason: str) -> ModelError:
    """Build the error for weights that cannot be loaded."""
    return ModelError(
        f"{weights} cannot be used ({reason}). Copy the model again, or train this fold again with "
        "`autoseg train --restart`."
    )
