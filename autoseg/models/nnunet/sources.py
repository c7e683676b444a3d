"""Find the files of trained nnU-Net models in a folder or in a zip exported by nnU-Net.

A zip is never extracted. Required files are read into memory after checking their declared size.
"""

import re
import zipfile
import zlib
from abc import ABC, abstractmethod
from io import BufferedIOBase, BytesIO
from pathlib import Path, PurePosixPath

from typing_extensions import override

from autoseg.core.errors import ModelError
from autoseg.documents.splits import FoldName, default_folds, fold_from_folder, sort_folds

PLANS = "plans.json"
DATASET = "dataset.json"

POSTPROCESSING = "postprocessing.pkl"
"""File of nnU-Net's post-processing. It contains pickled functions and is never loaded."""

CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
"""Checkpoints of a fold in order of preference."""

MIB = 2**20
LARGEST_DOCUMENT_BYTES = 64 * MIB
LARGEST_CHECKPOINT_BYTES = 8192 * MIB
"""Maximum size. The largest planned network has about 600 MB of weights, and the optimiser state
is as large."""

MOST_ENTRIES = 100_000
"""Maximum number of entries of a zip. Exports with all cross-validation predictions have one per
case."""

MOST_COMPRESSION = 100
"""Maximum compression ratio of an entry. Weights shrink by 10 %, JSON to a tenth of its size."""


class ModelSource(ABC):
    """A folder or zip with the files of trained models.

    Attributes:
        path: The folder or zip.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Return the relative paths of all files, with `/` as separator."""

    @abstractmethod
    def open(self, name: str, *, largest_bytes: int) -> BufferedIOBase:
        """Open a file as a seekable stream.

        Raises:
            ModelError: If the file is larger than `largest_bytes` or cannot be read.
        """

    def models(self) -> tuple[str, ...]:
        """Return the folders that contain `plans.json` and a checkpoint of at least one fold."""
        paths = map(PurePosixPath, self.names())
        folders = {str(path.parent) for path in paths if path.name == PLANS}
        return tuple(sorted(filter(self.checkpoints, folders)))

    def checkpoints(self, folder: str) -> dict[FoldName, str]:
        """Return the checkpoint file of each fold that is used by default."""
        files: dict[FoldName, str] = {}
        for checkpoint in reversed(CHECKPOINTS):
            for name in self.names():
                path = PurePosixPath(name)
                if path.name == checkpoint and str(path.parent.parent) == folder:
                    fold = fold_from_folder(path.parent.name)
                    if fold is not None:
                        files[fold] = name
        return {fold: files[fold] for fold in sort_folds(default_folds(tuple(files)))}

    def read(self, folder: str, name: str) -> bytes:
        """Read a document of a model.

        Raises:
            ModelError: If the document is missing or too large.
        """
        wanted = str(PurePosixPath(folder) / name)
        if wanted not in self.names():
            msg = (
                f"{self.path} has no {wanted}. nnU-Net writes {PLANS} and {DATASET} next to the "
                "folds of a trained model; copy the whole folder."
            )
            raise ModelError(msg)
        with self.open(wanted, largest_bytes=LARGEST_DOCUMENT_BYTES) as file:
            return file.read()


class FolderSource(ModelSource):
    """An nnU-Net results folder of one trained model, or of all models of a dataset."""

    @override
    def names(self) -> tuple[str, ...]:
        patterns = (
            *(PLANS, DATASET, POSTPROCESSING, f"crossval_results_*/{POSTPROCESSING}"),
            *(f"fold_*/{name}" for name in CHECKPOINTS),
        )
        paths = [
            path
            for pattern in patterns
            for path in (*self.path.glob(pattern), *self.path.glob(f"*/{pattern}"))
        ]
        return tuple(sorted(path.relative_to(self.path).as_posix() for path in paths))

    @override
    def open(self, name: str, *, largest_bytes: int) -> BufferedIOBase:
        path = self.path / name
        if path.stat().st_size > largest_bytes:
            raise _too_large(self.path, name, path.stat().st_size, largest_bytes)
        return path.open("rb")


class ZipSource(ModelSource):
    """A zip written by `nnUNetv2_export_model_to_zip`."""

    def __init__(self, path: Path) -> None:
        """Read the list of entries.

        Raises:
            ModelError: If the file is not a zip, or has an invalid entry.
        """
        super().__init__(path)
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, RuntimeError, ValueError, EOFError, OSError) as error:
            raise _invalid_source(path, str(error)) from error
        if len(entries) > MOST_ENTRIES:
            raise _invalid_source(
                path, f"it has {len(entries)} entries; at most {MOST_ENTRIES} are read"
            )
        self._entries = {
            entry.filename: entry for entry in entries if entry.filename and not entry.is_dir()
        }
        for name in self._entries:
            if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or ":" in name:
                raise _invalid_source(
                    path, f"its entry {name[:80]!a} has a path outside of the zip"
                )

    @override
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._entries))

    @override
    def open(self, name: str, *, largest_bytes: int) -> BufferedIOBase:
        entry = self._entries[name]
        if entry.file_size > largest_bytes:
            raise _too_large(self.path, name, entry.file_size, largest_bytes)
        if entry.file_size > MIB and entry.file_size > MOST_COMPRESSION * entry.compress_size:
            raise _invalid_source(
                self.path,
                f"{name[:80]!a} has {entry.compress_size} bytes that expand to {entry.file_size}",
            )
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(entry) as file:
                return BytesIO(file.read(entry.file_size))
        except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError) as error:
            raise _invalid_source(self.path, f"{name[:80]!a} cannot be read: {error}") from error


def open_source(path: Path) -> ModelSource:
    """Open a folder or zip of models.

    Raises:
        ModelError: If the path does not exist, or is a file that is not a zip.
    """
    if path.is_dir():
        return FolderSource(path)
    if path.is_file():
        return ZipSource(path)
    msg = (
        f"{path} does not exist. Expected the folder of a trained nnU-Net model "
        "(nnUNetTrainer__…) or a zip written by nnUNetv2_export_model_to_zip. Check the path."
    )
    raise ModelError(msg)


def _too_large(path: Path, name: str, size: int, largest: int) -> ModelError:
    return _invalid_source(path, f"{name[:80]!a} has {size} bytes; at most {largest} are read")


def _invalid_source(path: Path, found: str) -> ModelError:
    return ModelError(
        f"{path} is not a valid export of nnU-Net: {found}. Expected the folder of a trained model "
        "or a zip written by nnUNetv2_export_model_to_zip. Copy it again."
    )
