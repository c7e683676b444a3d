"""Names and maximum sizes of the parts of a model file.

A model file is a zip whose entries are stored without compression:

    manifest.json                                 size and SHA-256 of every part
    card.json, model_card.md                      the model card as data and as text
    fingerprint.json                              dataset fingerprint of the training data
    selection.json                                the selected model, all candidates, the reason
    cross_validation.json                         scores of the selection on all held-out cases
    <configuration>/model.json, plan.json         how to build and use the networks
    <configuration>/fold_<k>/weights.safetensors  weights of one network
    <configuration>/fold_<k>/run.json             training record of the fold
    <configuration>/fold_<k>/evaluation.json      scores on the fold's held-out cases
"""

import re
from typing import NamedTuple

from autoseg.documents.archive import CONFIGURATION
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.model import WEIGHTS_NAME, TrainedModel
from autoseg.documents.model_card import CARD_NAME, CARD_PAGE_NAME
from autoseg.documents.preparation import PlannedPreparation
from autoseg.documents.report import Report
from autoseg.documents.selection import CROSS_VALIDATION_NAME, Selection
from autoseg.documents.splits import FoldName

SUFFIX = ".autoseg"
"""File extension of model files."""

MANIFEST_NAME = "manifest.json"

RUN_NAME = "run.json"
"""Written again here, because `Run` imports torch, which describing a model does not need."""

MOST_PARTS = 256
"""Maximum number of entries. Two configurations and a previous stage of five folds have 57."""

LARGEST_DIRECTORY_BYTES = 2**20
"""Maximum size of the zip's list of entries, which is read before any other check."""

MIB = 2**20


class Kind(NamedTuple):
    """One kind of part.

    Attributes:
        names: Pattern that matches the whole name.
        largest_bytes: Maximum size; larger parts are rejected.
    """

    names: re.Pattern[str]
    largest_bytes: int


_FOLD = CONFIGURATION + r"/fold_(?:0|[1-9][0-9]{0,3}|all)"

KINDS: tuple[Kind, ...] = (
    Kind(re.compile(re.escape(MANIFEST_NAME)), MIB),
    Kind(re.compile(re.escape(CARD_PAGE_NAME)), MIB),
    Kind(re.compile(re.escape(CARD_NAME)), 4 * MIB),
    Kind(re.compile(re.escape(Fingerprint.FILE_NAME)), 256 * MIB),
    Kind(re.compile(re.escape(Selection.FILE_NAME)), 16 * MIB),
    Kind(re.compile(re.escape(CROSS_VALIDATION_NAME)), 256 * MIB),
    Kind(re.compile(f"{CONFIGURATION}/{re.escape(TrainedModel.FILE_NAME)}"), MIB),
    Kind(re.compile(f"{CONFIGURATION}/{re.escape(PlannedPreparation.FILE_NAME)}"), 16 * MIB),
    Kind(re.compile(f"{_FOLD}/{re.escape(RUN_NAME)}"), 16 * MIB),
    Kind(re.compile(f"{_FOLD}/{re.escape(Report.FILE_NAME)}"), 256 * MIB),
    Kind(re.compile(f"{_FOLD}/{re.escape(WEIGHTS_NAME)}"), 4096 * MIB),
)
"""All parts that a model file may contain. Weights of 4 GiB are about 10⁹ float32 parameters, ten
times the largest planned network."""


def largest_bytes(name: str) -> int | None:
    """Return the maximum size of a part in bytes, or None for an unknown name."""
    for kind in KINDS:
        if kind.names.fullmatch(name):
            return kind.largest_bytes
    return None


def fold_part(configuration: str, fold: FoldName, name: str) -> str:
    """Return the name of a part of one fold.

    Args:
        configuration: Name of the configuration.
        fold: The fold.
        name: File name inside the fold's folder.
    """
    return f"{configuration}/fold_{fold}/{name}"
