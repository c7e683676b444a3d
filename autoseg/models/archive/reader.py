"""Read the parts of a model file into memory and verify each against the manifest."""

import hashlib
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from autoseg.core.errors import ModelError, UnknownComponent, first_line
from autoseg.core.frozen import Frozen
from autoseg.documents.archive import MANIFEST_VERSION, Manifest
from autoseg.documents.model import WEIGHTS_NAME, TrainedModel
from autoseg.documents.model_card import CARD_NAME, CARD_PAGE_NAME, ModelCard
from autoseg.documents.preparation import PlannedPreparation
from autoseg.documents.selection import Selection
from autoseg.documents.splits import FoldName, fold_from_folder, sort_folds
from autoseg.documents.store import format_validation_error
from autoseg.models.archive.contents import MANIFEST_NAME, MOST_PARTS
from autoseg.models.archive.validation import invalid_file_error, open_checked_zip

T = TypeVar("T", bound=Frozen)


class _Versioned(Frozen, extra="ignore"):
    """The only field common to manifests of all versions."""

    schema_version: int


class ModelArchive:
    """A model file. Opening it reads and checks only the manifest.

    Attributes:
        path: The file.
        manifest: Its table of contents.
    """

    def __init__(self, path: Path) -> None:
        """Open a model file.

        Raises:
            ModelError: If the file is not a model file, is damaged, was written by a newer
                autoseg, or contains unexpected parts.
        """
        self.path = path
        with open_checked_zip(path) as archive:
            entries = {entry.filename: entry.file_size for entry in archive.infolist()}
            self.manifest = _manifest(archive.read(MANIFEST_NAME), path)
        self._parts = {part.name: part for part in self.manifest.parts}
        self._check_parts(entries)

    def folds(self, configuration: str) -> tuple[FoldName, ...]:
        """Return the folds of a configuration that the file contains."""
        paths = (name.split("/") for name in self._parts if name.endswith(f"/{WEIGHTS_NAME}"))
        names = (path[1] for path in paths if path[0] == configuration)
        return sort_folds(fold for name in names if (fold := fold_from_folder(name)) is not None)

    def read_selection(self) -> Selection | None:
        """Return the model selection, or None if the file has none.

        Raises:
            ModelError: If the selection names members or folds that the file does not contain.
        """
        if Selection.FILE_NAME not in self._parts:
            return None
        selection = self.read_document(Selection, Selection.FILE_NAME)
        if selection.members != self.manifest.members:
            raise invalid_file_error(
                self.path,
                f"its {Selection.FILE_NAME} lists the members {', '.join(selection.members)!a}, "
                f"its manifest {', '.join(self.manifest.members)!a}",
            )
        for name, folds in zip(selection.members, selection.folds, strict=True):
            if missing := set(folds) - set(self.folds(name)):
                fold = missing.pop()
                raise invalid_file_error(
                    self.path,
                    f"its {Selection.FILE_NAME} names fold {fold} of {name}, which is missing",
                )
        return selection

    def read_card(self) -> ModelCard:
        """Return the model card."""
        return self.read_document(ModelCard, CARD_NAME)

    def read_card_page(self) -> str:
        """Return the model card as Markdown."""
        return self.read(CARD_PAGE_NAME).decode("utf-8", errors="replace")

    def size(self, name: str) -> int:
        """Return the size in bytes of a part listed in the manifest."""
        return self._parts[name].size

    def read(self, name: str) -> bytes:
        """Return the content of a part listed in the manifest.

        Raises:
            ModelError: If the content cannot be read or its SHA-256 differs from the manifest.
        """
        part = self._parts[name]
        with open_checked_zip(self.path) as archive:
            try:
                with archive.open(name) as file:
                    content = file.read(part.size + 1)  # whatever size the zip declares
            except (KeyError, RuntimeError) as error:
                found = f"{name} cannot be read ({first_line(error)})"
                raise invalid_file_error(self.path, found) from error
        if hashlib.sha256(content).hexdigest() != part.sha256:
            raise invalid_file_error(self.path, f"the SHA-256 of {name} differs from the manifest")
        return content

    def read_document(self, kind: type[T], name: str) -> T:
        """Return a part parsed as a document.

        Raises:
            ModelError: If the part does not have the fields of `kind`.
        """
        return _parsed(kind, self.read(name), name, self.path)

    def _check_parts(self, entries: dict[str, int]) -> None:
        """Check that zip and manifest list the same parts, once each, with all required ones."""
        listed = {MANIFEST_NAME, *self._parts}
        if len(listed) != 1 + len(self.manifest.parts):
            raise invalid_file_error(self.path, "its manifest lists a part twice")
        configurations = self.manifest.configurations
        documents = (TrainedModel.FILE_NAME, PlannedPreparation.FILE_NAME)
        needed = {f"{name}/{part}" for name in configurations for part in documents}
        missing = sorted((needed | {CARD_NAME, CARD_PAGE_NAME} | listed) - set(entries))
        if missing:
            raise invalid_file_error(self.path, f"{missing[0]} is missing")
        foreign = sorted(set(entries) - listed)
        foreign += [name for name in listed if "/" in name and _folder(name) not in configurations]
        if foreign:
            raise invalid_file_error(
                self.path, f"{foreign[0]} does not belong to the model in its manifest"
            )
        for part in self.manifest.parts:
            if entries[part.name] != part.size:
                raise invalid_file_error(
                    self.path,
                    f"{part.name} has {entries[part.name]} bytes, but its manifest lists "
                    f"{part.size}",
                )
        self._check_configurations()

    def _check_configurations(self) -> None:
        names = self.manifest.configurations
        if len(set(names)) != len(names):
            raise invalid_file_error(self.path, "its manifest lists a configuration twice")
        for name in names:
            if not self.folds(name):
                raise invalid_file_error(self.path, f"it has no weights of {name}")


def _folder(name: str) -> str:
    return name.split("/", maxsplit=1)[0]


def _manifest(content: bytes, path: Path) -> Manifest:
    version = _parsed(_Versioned, content, MANIFEST_NAME, path).schema_version
    if version > MANIFEST_VERSION:
        msg = (
            f"{path} was written by a newer autoseg (format version {version}; this autoseg reads "
            f"up to {MANIFEST_VERSION}). Upgrade with `pip install --upgrade autoseg`."
        )
        raise ModelError(msg)
    manifest = _parsed(Manifest, content, MANIFEST_NAME, path)
    if len(manifest.parts) > MOST_PARTS:
        parts = len(manifest.parts)
        raise invalid_file_error(
            path, f"its manifest lists {parts} parts; expected at most {MOST_PARTS}"
        )
    return manifest


def _parsed(kind: type[T], content: bytes, name: str, path: Path) -> T:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        found = f"{name} has invalid fields:\n{format_validation_error(error)}\n"
        raise invalid_file_error(path, found) from error
    except UnknownComponent as error:
        msg = f"{path} needs a component that this autoseg does not have. {error}"
        raise ModelError(msg) from error
