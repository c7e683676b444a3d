"""Read a model file: part by part, in memory, each against the manifest."""

import hashlib
import zipfile
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from autoseg.core.errors import ModelError, UnknownComponent, first_line
from autoseg.core.frozen import Frozen
from autoseg.documents.archive import MANIFEST_VERSION, ArchivePart, Manifest
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.model import (
    FINGERPRINT_NAME,
    MODEL_NAME,
    PLAN_NAME,
    WEIGHTS_NAME,
)
from autoseg.documents.model_card import CARD_NAME, CARD_PAGE_NAME, ModelCard
from autoseg.documents.report import Report
from autoseg.documents.selection import CROSS_VALIDATION_NAME, SELECTION_NAME, Selection
from autoseg.documents.splits import FoldName, fold_named, in_order
from autoseg.documents.store import explain
from autoseg.inference.archive.checks import opened, refused
from autoseg.inference.archive.contents import MANIFEST_NAME, MOST_PARTS

T = TypeVar("T", bound=Frozen)
M = TypeVar("M", bound=BaseModel)


class _Versioned(BaseModel):
    """The one field that manifests of all versions have."""

    schema_version: int


class ModelArchive:
    """A model file; opening it reads and checks the manifest and nothing else.

    Attributes:
        path: The file.
        manifest: What is in it.
    """

    def __init__(self, path: Path) -> None:
        """Open a model file.

        Raises:
            ModelError: If it is not one, is damaged, was made by a newer autoseg, or holds
                anything that a model does not.
        """
        self.path = path
        with opened(path) as archive:
            entries = {entry.filename: entry.file_size for entry in archive.infolist()}
            self.manifest = _manifest(archive.read(MANIFEST_NAME), path)
        self._parts = {part.name: part for part in self.manifest.parts}
        self._check_parts(entries)

    def folds(self, configuration: str) -> tuple[FoldName, ...]:
        """Return which folds of a configuration are in the file."""
        names = (
            name.removeprefix(f"{configuration}/fold_").split("/")[0]
            for name in self._parts
            if _folder(name) == configuration and name.endswith(f"/{WEIGHTS_NAME}")
        )
        return in_order(fold for name in names if (fold := fold_named(name)) is not None)

    def read_selection(self) -> Selection | None:
        """Return why these configurations predict, if that is in the file.

        Raises:
            ModelError: If it names other members or folds than there are.
        """
        if SELECTION_NAME not in self._parts:
            return None
        selection = self.read_document(Selection, SELECTION_NAME)
        if selection.members != self.manifest.members:
            raise refused(
                self.path,
                f"its {SELECTION_NAME} is about {', '.join(selection.members)!a}, its manifest "
                f"about {', '.join(self.manifest.members)!a}",
            )
        for name, folds in zip(selection.members, selection.folds, strict=True):
            if missing := set(folds) - set(self.folds(name)):
                fold = missing.pop()
                raise refused(self.path, f"its {SELECTION_NAME} names a fold {fold} of {name}")
        return selection

    def read_cross_validation(self) -> Report | None:
        """Return the scores of what predicts on all held-out cases, if they are in the file."""
        if CROSS_VALIDATION_NAME not in self._parts:
            return None
        return self.read_document(Report, CROSS_VALIDATION_NAME)

    def read_fingerprint(self) -> Fingerprint | None:
        """Return what was measured of the training data, if it is in the file."""
        if FINGERPRINT_NAME not in self._parts:
            return None
        return self.read_document(Fingerprint, FINGERPRINT_NAME)

    def read_card(self) -> ModelCard:
        """Return the model card."""
        return self.read_document(ModelCard, CARD_NAME)

    def read_card_page(self) -> str:
        """Return the model card as text to read."""
        return self.read(CARD_PAGE_NAME).decode("utf-8", errors="replace")

    def size(self, name: str) -> int:
        """Return the bytes of a part that the manifest lists."""
        return self._parts[name].size

    def read(self, name: str) -> bytes:
        """Return the content of a part that the manifest lists.

        Raises:
            ModelError: If it is not what the manifest was written for.
        """
        part = self._parts[name]
        with opened(self.path) as archive:
            content = _content(archive, part, self.path)
        if hashlib.sha256(content).hexdigest() != part.sha256:
            raise refused(self.path, f"{name} has changed: its SHA-256 is not the manifest's")
        return content

    def read_document(self, kind: type[T], name: str) -> T:
        """Return a part as a document.

        Raises:
            ModelError: If it is not one of that kind.
        """
        return _parsed(kind, self.read(name), name, self.path)

    def _check_parts(self, entries: dict[str, int]) -> None:
        """Check that zip and manifest list the same parts, and that what is needed is there.

        Raises:
            ModelError: If not.
        """
        listed = {MANIFEST_NAME, *self._parts}
        if len(listed) != 1 + len(self.manifest.parts):
            raise refused(self.path, "its manifest lists a part twice")
        configurations = self.manifest.configurations
        needed = {f"{name}/{part}" for name in configurations for part in (MODEL_NAME, PLAN_NAME)}
        missing = sorted((needed | {CARD_NAME, CARD_PAGE_NAME} | listed) - set(entries))
        if missing:
            raise refused(self.path, f"{missing[0]} is missing")
        foreign = sorted(set(entries) - listed)
        foreign += [name for name in listed if "/" in name and _folder(name) not in configurations]
        if foreign:
            raise refused(self.path, f"{foreign[0]} does not belong to what its manifest lists")
        for part in self.manifest.parts:
            if entries[part.name] != part.size:
                raise refused(
                    self.path,
                    f"{part.name} has {entries[part.name]} bytes, its manifest says {part.size}",
                )
        self._check_configurations()

    def _check_configurations(self) -> None:
        names = self.manifest.configurations
        if len(set(names)) != len(names):
            raise refused(self.path, "its manifest lists a configuration twice")
        for name in names:
            if not self.folds(name):
                raise refused(self.path, f"it holds no weights of {name}")


def _folder(name: str) -> str:
    return name.split("/", maxsplit=1)[0]


def _content(archive: zipfile.ZipFile, part: ArchivePart, path: Path) -> bytes:
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
