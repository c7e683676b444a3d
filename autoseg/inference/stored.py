"""A trained model on disk, whatever it is stored as: what can be asked of it before it is built."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from typing_extensions import override

from autoseg.core.errors import ModelError, first_line
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.model import (
    FINGERPRINT_NAME,
    MODEL_NAME,
    PLAN_NAME,
    WEIGHTS_NAME,
    TrainedModel,
)
from autoseg.documents.model_card import DataSummary
from autoseg.documents.plan import Plan
from autoseg.documents.splits import FoldName, fold_named, in_order
from autoseg.documents.store import load
from autoseg.inference.summary import summarised

Tensors = dict[str, torch.Tensor]


class StoredModel(ABC):
    """Where a trained model lies.

    Attributes:
        path: Its folder or file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def folds(self) -> tuple[FoldName, ...]:
        """Return which folds are trained to the end, in order."""

    def check_trained(self, folds: Iterable[FoldName]) -> None:
        """Check that folds are trained to the end, and that any is.

        Raises:
            ModelError: If one is not.
        """
        trained = self.folds()
        missing = in_order(set(folds) - set(trained))
        if not trained:
            msg = f"no fold of {self.path} is trained to the end. Let `autoseg train` finish one."
            raise ModelError(msg)
        if missing:
            are = f"fold {missing[0]} of {self.path} is"
            if len(missing) > 1:
                are = f"folds {', '.join(map(str, missing))} of {self.path} are"
            msg = (
                f"{are} not trained to the end; trained: {', '.join(map(str, trained))}. Choose "
                "others with --fold, or let `autoseg train` finish what is missing."
            )
            raise ModelError(msg)

    @abstractmethod
    def read_trained(self) -> TrainedModel:
        """Return how to use the networks."""

    @abstractmethod
    def read_plan(self) -> Plan:
        """Return how to build them."""

    @abstractmethod
    def read_summary(self) -> DataSummary | None:
        """Return the training data in numbers, if they are known."""

    @abstractmethod
    def read_weights(self, fold: FoldName, *, largest_bytes: int) -> Tensors:
        """Return the weights of one fold, as they are stored.

        Args:
            fold: Which fold.
            largest_bytes: What the network can hold; larger files are not read.

        Raises:
            ModelError: If they are missing, damaged or too large.
        """

    @abstractmethod
    def sibling(self, configuration: str) -> "StoredModel":
        """Return another configuration that is stored beside this one.

        Raises:
            ModelError: If there is none of that name.
        """

    @abstractmethod
    def weights_name(self, fold: FoldName) -> str:
        """Return what to call the weights of a fold in a message."""


class ModelFolder(StoredModel):
    """A model folder of a work folder: `models/<configuration>`."""

    @override
    def folds(self) -> tuple[FoldName, ...]:
        return trained_folds(self.path)

    @override
    def read_trained(self) -> TrainedModel:
        return load(TrainedModel, self.path / MODEL_NAME, made_by="autoseg train")

    @override
    def read_plan(self) -> Plan:
        return load(Plan, self.path / PLAN_NAME, made_by="autoseg train")

    @override
    def read_summary(self) -> DataSummary | None:
        fingerprint = self.read_fingerprint()
        return None if fingerprint is None else summarised(fingerprint)

    def read_fingerprint(self) -> Fingerprint | None:
        """Return what was measured of the training data, if it lies in the folder."""
        path = self.path / FINGERPRINT_NAME
        return load(Fingerprint, path, made_by="autoseg train") if path.is_file() else None

    @override
    def read_weights(self, fold: FoldName, *, largest_bytes: int) -> Tensors:
        path = self._weights(fold)
        try:
            if path.stat().st_size > largest_bytes:
                raise unusable(
                    str(path), f"{path.stat().st_size} bytes, expected {largest_bytes} at most"
                )
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise unusable(str(path), first_line(error)) from error

    @override
    def sibling(self, configuration: str) -> "ModelFolder":
        folder = self.path.absolute().parent / configuration
        if not trained_folds(folder):
            msg = (
                f"{self.path} refines the predictions of {configuration}, of which no trained "
                f"model is at {folder}. Copy it there, or train it with `autoseg train DATASET "
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
    """Return which folds of a model folder are trained to the end."""
    if not (folder / MODEL_NAME).is_file():
        return ()
    found = (weights.parent.name for weights in folder.glob(f"fold_*/{WEIGHTS_NAME}"))
    folds = (fold_named(name.removeprefix("fold_")) for name in found)
    return in_order(fold for fold in folds if fold is not None)


class NamedFold(NamedTuple):
    """A fold that a path names.

    Attributes:
        model: The model folder that it belongs to.
        fold: Which fold.
    """

    model: Path
    fold: FoldName


def named_fold(path: Path) -> NamedFold | None:
    """Return the trained fold whose folder a path is; None if it is something else.

    Raises:
        ModelError: If the folder holds weights, but is not called like a fold.
    """
    if not (path / WEIGHTS_NAME).is_file():
        return None
    folder = path if path.name.startswith("fold_") else path.resolve()  # "." has no name
    fold = fold_named(folder.name.removeprefix("fold_"))
    if fold is None or not folder.name.startswith("fold_"):
        msg = (
            f"{path} holds weights, but is not called fold_<number> or fold_all. Give it its "
            f"name back and leave it in its model folder, beside {MODEL_NAME} and {PLAN_NAME}."
        )
        raise ModelError(msg)
    return NamedFold(folder.parent, fold)


def unusable(weights: str, reason: str) -> ModelError:
    """Return the error for weights that no network can take."""
    return ModelError(
        f"{weights} cannot be used ({reason}). Copy the model again, or train this fold again with "
        "`autoseg train --restart`."
    )
