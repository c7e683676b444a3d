"""Which names a model file may hold, and how large each part may be.

A model file is a plain zip whose entries are stored, not compressed:

    manifest.json                                 every part with its size and SHA-256
    card.json, model_card.md                      the model card, to compute with and to read
    fingerprint.json                              what was measured of the training data
    selection.json                                what was chosen, from what, and why
    cross_validation.json                         scores of the choice on all held-out cases
    <configuration>/model.json, plan.json         how to build and use the networks
    <configuration>/fold_<k>/weights.safetensors  one network
    <configuration>/fold_<k>/run.json             how it was trained
    <configuration>/fold_<k>/evaluation.json      its scores on held-out cases
"""

import re
from typing import NamedTuple

from autoseg.documents.archive import CONFIGURATION
from autoseg.documents.model import FINGERPRINT_NAME, MODEL_NAME, PLAN_NAME, WEIGHTS_NAME
from autoseg.documents.model_card import CARD_NAME, CARD_PAGE_NAME
from autoseg.documents.selection import CROSS_VALIDATION_NAME, SELECTION_NAME
from autoseg.documents.splits import FoldName

SUFFIX = ".autoseg"
"""Ending of a model file."""

MANIFEST_NAME = "manifest.json"
RUN_NAME = "run.json"
EVALUATION_NAME = "evaluation.json"

MOST_PARTS = 256
"""Entries of a model file; five folds each of two configurations and a previous stage are 57."""

LARGEST_DIRECTORY_BYTES = 2**20
"""The zip's own list of entries, which is read before anything is known about the file."""

MIB = 2**20


class Kind(NamedTuple):
    """Parts of one kind.

    Attributes:
        names: Pattern of their whole name.
        largest_bytes: Beyond this size such a part is refused.
    """

    names: re.Pattern[str]
    largest_bytes: int


_FOLD = CONFIGURATION + r"/fold_(?:0|[1-9][0-9]{0,3}|all)"

KINDS: tuple[Kind, ...] = (
    Kind(re.compile(re.escape(MANIFEST_NAME)), MIB),
    Kind(re.compile(re.escape(CARD_PAGE_NAME)), MIB),
    Kind(re.compile(re.escape(CARD_NAME)), 4 * MIB),
    Kind(re.compile(re.escape(FINGERPRINT_NAME)), 256 * MIB),
    Kind(re.compile(re.escape(SELECTION_NAME)), 16 * MIB),
    Kind(re.compile(re.escape(CROSS_VALIDATION_NAME)), 256 * MIB),
    Kind(re.compile(f"{CONFIGURATION}/{re.escape(MODEL_NAME)}"), MIB),
    Kind(re.compile(f"{CONFIGURATION}/{re.escape(PLAN_NAME)}"), 16 * MIB),
    Kind(re.compile(f"{_FOLD}/{re.escape(RUN_NAME)}"), 16 * MIB),
    Kind(re.compile(f"{_FOLD}/{re.escape(EVALUATION_NAME)}"), 256 * MIB),
    Kind(re.compile(f"{_FOLD}/{re.escape(WEIGHTS_NAME)}"), 4096 * MIB),
)
"""Everything that a model file may hold. Weights of 4 GiB are a thousand million float32 ones, ten
times the largest network that is planned."""


def largest_bytes(name: str) -> int | None:
    """Return how large a part of this name may be, or None if no part has such a name."""
    for kind in KINDS:
        if kind.names.fullmatch(name):
            return kind.largest_bytes
    return None


def fold_part(configuration: str, fold: FoldName, name: str) -> str:
    """Return the name of a fold's part."""
    return f"{configuration}/fold_{fold}/{name}"
