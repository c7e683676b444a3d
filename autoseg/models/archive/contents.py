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

_FOLD = CONFIGURATION + r"/fold_(?:0|[1-9][0-9]{0,3}|all)"

KINDS = {
    re.escape(MANIFEST_NAME): MIB,
    re.escape(CARD_PAGE_NAME): MIB,
    re.escape(CARD_NAME): 4 * MIB,
    re.escape(Fingerprint.FILE_NAME): 256 * MIB,
    re.escape(Selection.FILE_NAME): 16 * MIB,
    re.escape(CROSS_VALIDATION_NAME): 256 * MIB,
    f"{CONFIGURATION}/{re.escape(TrainedModel.FILE_NAME)}": MIB,
    f"{CONFIGURATION}/{re.escape(PlannedPreparation.FILE_NAME)}": 16 * MIB,
    f"{_FOLD}/{re.escape(RUN_NAME)}": 16 * MIB,
    f"{_FOLD}/{re.escape(Report.FILE_NAME)}": 256 * MIB,
    f"{_FOLD}/{re.escape(WEIGHTS_NAME)}": 4096 * MIB,
}
"""Pattern of the whole name of each kind of part that a model file may contain, and its maximum
size. Weights of 4 GiB are about 10⁹ float32 parameters, ten times the largest planned network."""


def largest_bytes(name: str) -> int | None:
    """Return the maximum size of a part in bytes, or None for an unknown name."""
    return next((size for pattern, size in KINDS.items() if re.fullmatch(pattern, name)), None)


def fold_part(configuration: str, fold: FoldName, name: str) -> str:
    """Return the name of a part of one fold.

    Args:
        configuration: Name of the configuration.
        fold: The fold.
        name: File name inside the fold's folder.
    """
    return f"{configuration}/fold_{fold}/{name}"
