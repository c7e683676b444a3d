"""Read a model file: part by part, in memory, each against the manifest."""

import hashlib
import zipfile
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from typing_extensions import override

from autoseg.core.errors import ModelError, UnknownComponent
from autoseg.core.frozen import Frozen
from autoseg.documents.archive import MANIFEST_VERSION, Manifest, Part
from autoseg.documents.card import CARD_NAME, CARD_PAGE_NAME, DataSummary, ModelCard
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.model import (
    FINGERPRINT_NAME,
    MODEL_NAME,
    PLAN_NAME,
    WEIGHTS_NAME,
    TrainedModel,
)
from autoseg.documents.plan import Plan
from autoseg.documents.splits import FoldName, fold_named, in_order
from autoseg.documents.store import explain
from autoseg.inference.archive.checks import opened, refused
from autoseg.inference.archive.contents import MANIFEST_NAME, MOST_PARTS, fold_part
from autoseg.inference.stored import StoredModel, Tensors, first_line

T = TypeVar("T", bound=Frozen)
M = TypeVar("M", bound=BaseModel)

PICKLE_STARTS = (b"\x80", b"PK\x03\x04")
"""How a pickle begins, bare or in the zip that `torch.save` makes."""


class _Versioned(BaseModel):
    """The one field that manifests of all versions have."""

    schema_version: int


class ModelArchive(StoredModel):
    """A model file; opening it reads and checks the manifest and nothing else."""

    def __init__(self, path: Path) -> None:
        """Open a model file.

        Raises:
            ModelError: If it is not one, is damaged, was made by a newer autoseg, or holds
                anything that a model does not.
        """
        super().__init__(path)
        with opened(path) as archive:
            entries = {entry.filename: entry.file_size for entry in archive.infolist()}
            self.manifest = _manifest(archive.read(MANIFEST_NAME), path)
        self._parts = {part.name: part for part in self.manifest.parts}
        self._check_parts(entries)

    @override
    def folds(self) -> tuple[FoldName, ...]:
        names = (
            name.removeprefix(f"{self.manifest.configuration}/fold_").split("/")[0]
            for name in self._parts
            if name.endswith(f"/{WEIGHTS_NAME}")
        )
        found = (fold_named(name) for name in names)
        return in_order(fold for fold in found if fold is not None)

    @override
    def read_trained(self) -> TrainedModel:
        trained = self._document(TrainedModel, f"{self.manifest.configuration}/{MODEL_NAME}")
        if trained.configuration != self.manifest.configuration:
            raise refused(
                self.path,
                f"its manifest is about {self.manifest.configuration}, its {MODEL_NAME} about "
                f"{trained.configuration!a}",
            )
        return trained

    @override
    def read_plan(self) -> Plan:
        return self._document(Plan, f"{self.manifest.configuration}/{PLAN_NAME}")

    @override
    def read_summary(self) -> DataSummary | None:
        return self.read_card().data

    def read_fingerprint(self) -> Fingerprint | None:
        """Return what was measured of the training data, if it is in the file."""
        if FINGERPRINT_NAME not in self._parts:
            return None
        return self._document(Fingerprint, FINGERPRINT_NAME)

    @override
    def read_weights(self, fold: FoldName, *, largest_bytes: int) -> Tensors:
        name = fold_part(self.manifest.configuration, fold, WEIGHTS_NAME)
        if self._parts[name].size > largest_bytes:
            raise refused(
                self.path,
                f"{name} has {self._parts[name].size} bytes, but the plan's network holds only "
                f"{largest_bytes}",
            )
        content = self.read(name)
        try:
            return load_safetensors(content)
        except (SafetensorError, KeyError, ValueError, OverflowError) as error:
            if content.startswith(PICKLE_STARTS):
                found = f"{name} is a pickle, which could run code; weights must be safetensors"
            else:
                found = f"{name} is not in safetensors format ({first_line(error)})"
            raise refused(self.path, found) from error

    @override
    def weights_name(self, fold: FoldName) -> str:
        return f"{fold_part(self.manifest.configuration, fold, WEIGHTS_NAME)} in {self.path}"

    def read_card(self) -> ModelCard:
        """Return the model card."""
        return self._document(ModelCard, CARD_NAME)

    def read_card_page(self) -> str:
        """Return the model card as text to read."""
        return self.read(CARD_PAGE_NAME).decode("utf-8", errors="replace")

    def read(self, name: str) -> bytes:
        """Return the bytes of a part that the manifest lists.

        Raises:
            ModelError: If they are not those that the manifest was written for.
        """
        part = self._parts[name]
        with opened(self.path) as archive:
            content = _content(archive, part, self.path)
        if hashlib.sha256(content).hexdigest() != part.sha256:
            raise refused(self.path, f"{name} has changed: its SHA-256 is not the manifest's")
        return content

    def _document(self, kind: type[T], name: str) -> T:
        return _parsed(kind, self.read(name), name, self.path)

    def _check_parts(self, entries: dict[str, int]) -> None:
        """Check that zip and manifest list the same parts, and that what is needed is there.

        Raises:
            ModelError: If not.
        """
        listed = {MANIFEST_NAME, *self._parts}
        if len(listed) != 1 + len(self.manifest.parts):
            raise refused(self.path, "its manifest lists a part twice")
        configuration = self.manifest.configuration
        needed = {CARD_NAME, CARD_PAGE_NAME}
        needed |= {f"{configuration}/{MODEL_NAME}", f"{configuration}/{PLAN_NAME}"}
        missing = sorted((needed | listed) - set(entries))
        if missing:
            raise refused(self.path, f"{missing[0]} is missing")
        foreign = sorted(set(entries) - listed)
        foreign += [name for name in listed if "/" in name and _folder(name) != configuration]
        if foreign:
            raise refused(self.path, f"{foreign[0]} does not belong to what its manifest lists")
        for part in self.manifest.parts:
            if entries[part.name] != part.size:
                raise refused(
                    self.path,
                    f"{part.name} has {entries[part.name]} bytes, its manifest says {part.size}",
                )
        if not self.folds():
            raise refused(self.path, "it holds no weights")


def _folder(name: str) -> str:
    return name.split("/", maxsplit=1)[0]


def _content(archive: zipfile.ZipFile, part: Part, path: Path) -> bytes:
    """Return a part's bytes; never more than the manifest says, whatever the zip does."""
    try:
        with archive.open(part.name) as file:
            content = file.read(part.size + 1)
    except (KeyError, RuntimeError) as error:
        raise refused(path, f"{part.name} cannot be read ({first_line(error)})") from error
    return content


def _manifest(content: bytes, path: Path) -> Manifest:
    found = _parsed(_Versioned, content, MANIFEST_NAME, path).schema_version
    if found > MANIFEST_VERSION:
        msg = (
            f"{path} was made by a newer autoseg (its format is version {found}, this autoseg "
            f"reads {MANIFEST_VERSION}). Upgrade with `pip install --upgrade autoseg`."
        )
        raise ModelError(msg)
    manifest = _parsed(Manifest, content, MANIFEST_NAME, path)
    if len(manifest.parts) > MOST_PARTS:
        raise refused(path, f"its manifest lists {len(manifest.parts)} parts")
    return manifest


def _parsed(kind: type[M], content: bytes, name: str, path: Path) -> M:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise refused(path, f"{name} does not read as expected:\n{explain(error)}\n") from error
    except UnknownComponent as error:
        msg = f"{path} needs a part of autoseg that is not here. {error}"
        raise ModelError(msg) from error
