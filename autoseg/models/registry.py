"""A folder of model files that are used by name."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from autoseg.core.atomic_write import atomic_write
from autoseg.core.errors import ModelError
from autoseg.core.names import EXPECTED, is_file_name
from autoseg.documents import store
from autoseg.documents.registered_model import RegisteredModel
from autoseg.models.archive.archived import archived_model
from autoseg.models.archive.contents import SUFFIX
from autoseg.models.archive.reader import ModelArchive


@dataclass(frozen=True)
class ModelRegistry:
    """Copies of model files with their names and hashes.

    Attributes:
        folder: Folder of the registry; it need not exist.
    """

    folder: Path

    def file(self, name: str) -> Path:
        """Return the path of the model file of a name."""
        return self.folder / f"{name}{SUFFIX}"

    def names(self) -> tuple[str, ...]:
        """Return the names of all models, sorted."""
        stems = (path.stem for path in self.folder.glob("*.json"))
        return tuple(sorted(stem for stem in stems if is_file_name(stem)))  # not temporary files

    def read(self, name: str) -> RegisteredModel:
        """Load the record of a model.

        Raises:
            ModelError: If no model has that name.
            DocumentError: If its record is damaged.
        """
        if name not in self.names():
            raise ModelError(f"There is no registered model {name!r}. {self._known(name)}")
        return store.load(RegisteredModel, self._record(name))

    def add(self, file: Path, name: str) -> RegisteredModel:
        """Copy a model file into the registry.

        Args:
            file: The model file.
            name: Its name in the registry.

        Raises:
            ModelError: If the name is invalid or used, or the file is not a valid model file.
        """
        if not is_file_name(name):
            raise ModelError(f"found the name {name!r}; {EXPECTED}. Choose another name.")
        if name in self.names():
            raise ModelError(
                f"{self.folder} has a model {name!r} already. Choose another name, or remove it "
                f"first: autoseg models remove {name}"
            )
        if not file.is_file():
            raise ModelError(f"{file} is not a file. Pass a model file written by autoseg export.")
        archive = ModelArchive(file)
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.file(name)) as temporary:
            shutil.copyfile(file, temporary)
            record = RegisteredModel(
                name=name,
                sha256=_sha256(temporary),
                num_bytes=temporary.stat().st_size,
                dataset=archived_model(archive).read_plan().dataset_name,
                members=archive.manifest.members,
            )
        store.save(record, self._record(name))  # last: a model with a record is complete
        return record

    def remove(self, name: str) -> None:
        """Delete a model.

        Raises:
            ModelError: If no model has that name.
        """
        if name not in self.names():
            raise ModelError(f"There is no registered model {name!r}. {self._known(name)}")
        self._record(name).unlink(missing_ok=True)
        self.file(name).unlink(missing_ok=True)

    def resolve(self, text: str) -> Path:
        """Return the model file of a registered name, or a text with another meaning as a path.

        A text with a slash is a path, so `./NAME` is a file or folder called like a model.

        Raises:
            ModelError: If both a registered model and a file have that name, neither has, or the
                file of the model has changed.
        """
        path = Path(text)
        if any(separator in text for separator in (os.sep, os.altsep) if separator):
            return path
        if text not in self.names():
            if path.exists() or path.suffix or not self.names():
                return path
            raise ModelError(
                f"{text} is neither a file or folder nor a registered model. {self._known(text)}"
            )
        if path.exists():
            raise ModelError(
                f"{text} is both a registered model and a file or folder here. Pass --model "
                f"./{text} for the latter, or --model {self.file(text)} for the model."
            )
        return self._checked(text)

    def _checked(self, name: str) -> Path:
        record, file = self.read(name), self.file(name)
        if not file.is_file() or _sha256(file) != record.sha256:
            raise ModelError(
                f"{file} is missing or has changed since it was added as {name!r}. Remove it "
                f"(autoseg models remove {name}) and add the original file again."
            )
        return file

    def _record(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _known(self, name: str) -> str:
        names = self.names()
        if not names:
            return f"{self.folder} is empty; add one: autoseg models add FILE --as NAME"
        close = get_close_matches(name, names, n=1)
        suggestion = f" Did you mean {close[0]}?" if close else ""
        return f"{self.folder} has: {', '.join(names)}.{suggestion}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
