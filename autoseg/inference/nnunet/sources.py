"""Find the parts of trained nnU-Net models in a folder, or in the zip that nnU-Net exports.

A zip is never extracted: what is needed is read into memory, and only after its declared size was
found to be one that such a part can have.
"""

import re
import zipfile
from abc import ABC, abstractmethod
from io import BufferedIOBase, BytesIO
from pathlib import Path, PurePosixPath

from typing_extensions import override

from autoseg.core.errors import ModelError
from autoseg.documents.splits import FoldName, averaged_folds, fold_named, in_order

PLANS = "plans.json"
DATASET = "dataset.json"

POSTPROCESSING = "postprocessing.pkl"
"""What nnU-Net keeps its post-processing in: pickled functions, which nothing here loads."""

CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
"""Which checkpoint of a fold is taken: the first that is there."""

MIB = 2**20
LARGEST_DOCUMENT_BYTES = 64 * MIB
LARGEST_CHECKPOINT_BYTES = 8192 * MIB
"""The largest planned network has about 600 MB of weights, and the optimiser as much again."""

MOST_ENTRIES = 100_000
"""Of a zip; an export with all predictions of the cross-validation has one for each case."""

LARGEST_SWELLING = 100
"""Times that a part may grow when it is unpacked: weights shrink by a tenth, JSON by ten times."""

FOLD = re.compile(r"fold_(\w+)")


class ModelSource(ABC):
    """Where the files of trained models lie.

    Attributes:
        path: The folder or zip.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Return the names of all files, with `/` between folders."""

    @abstractmethod
    def open(self, name: str, *, largest_bytes: int) -> BufferedIOBase:
        """Return a file, ready to be read from any place.

        Raises:
            ModelError: If it is larger than that, or cannot be read.
        """

    def models(self) -> tuple[str, ...]:
        """Return the folders that hold plans, a dataset and at least one fold's checkpoint."""
        names = set(self.names())
        folders = {str(PurePosixPath(name).parent) for name in names if _is_named(name, PLANS)}
        return tuple(sorted(folder for folder in folders if self.checkpoints(folder)))

    def checkpoints(self, folder: str) -> dict[FoldName, str]:
        """Return the file of each fold that is used unasked, by the fold's name."""
        found: dict[FoldName, str] = {}
        for checkpoint in reversed(CHECKPOINTS):
            for name in self.names():
                path = PurePosixPath(name)
                if path.name == checkpoint and str(path.parent.parent) == folder:
                    match = FOLD.fullmatch(path.parent.name)
                    fold = None if match is None else fold_named(match.group(1))
                    if fold is not None:
                        found[fold] = name
        return {fold: found[fold] for fold in in_order(averaged_folds(tuple(found)))}

    def read(self, folder: str, name: str) -> bytes:
        """Return a document of a model.

        Raises:
            ModelError: If it is missing or too large.
        """
        wanted = str(PurePosixPath(folder) / name)
        if wanted not in self.names():
            msg = (
                f"{self.path} has no {wanted}. nnU-Net puts {PLANS} and {DATASET} beside the folds "
                "of a trained model; copy the whole folder."
            )
            raise ModelError(msg)
        with self.open(wanted, largest_bytes=LARGEST_DOCUMENT_BYTES) as file:
            return file.read()


class FolderSource(ModelSource):
    """A folder of nnU-Net's results: of one trained model, or of a dataset's."""

    @override
    def names(self) -> tuple[str, ...]:
        wanted = (
            *(PLANS, DATASET, POSTPROCESSING, f"crossval_results_*/{POSTPROCESSING}"),
            *(f"fold_*/{name}" for name in CHECKPOINTS),
        )
        found = [
            path
            for name in wanted
            for path in (*self.path.glob(name), *self.path.glob(f"*/{name}"))
        ]
        return tuple(sorted(path.relative_to(self.path).as_posix() for path in found))

    @override
    def open(self, name: str, *, largest_bytes: int) -> BufferedIOBase:
        path = self.path / name
        if path.stat().st_size > largest_bytes:
            raise _too_large(self.path, name, path.stat().st_size, largest_bytes)
        return path.open("rb")


class ZipSource(ModelSource):
    """What `nnUNetv2_export_model_to_zip` writes."""

    def __init__(self, path: Path) -> None:
        """Read the list of entries.

        Raises:
            ModelError: If it is not a zip, or has an entry that no export has.
        """
        super().__init__(path)
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, UnicodeError, EOFError) as error:
            raise _unsound(path, str(error)) from error
        if len(entries) > MOST_ENTRIES:
            raise _unsound(path, f"it has {len(entries)} entries")
        self._entries = {entry.filename: entry for entry in entries if not entry.is_dir()}
        for name in self._entries:
            if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or ":" in name:
                raise _unsound(path, f"its entry {name[:80]!a} names a place outside of it")

    @override
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._entries))

    @override
    def open(self, name: str, *, largest_bytes: int) -> BufferedIOBase:
        entry = self._entries[name]
        if entry.file_size > largest_bytes:
            raise _too_large(self.path, name, entry.file_size, largest_bytes)
        if entry.file_size > MIB and entry.file_size > LARGEST_SWELLING * entry.compress_size:
            raise _unsound(
                self.path,
                f"{name[:80]!a} has {entry.compress_size} bytes that claim to become "
                f"{entry.file_size}",
            )
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(entry) as file:
                return BytesIO(file.read(entry.file_size))
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as error:
            raise _unsound(self.path, f"{name[:80]!a} cannot be read: {error}") from error


def opened_source(path: Path) -> ModelSource:
    """Return where models lie.

    Raises:
        ModelError: If there is nothing, or a file that is not a zip.
    """
    if path.is_dir():
        return FolderSource(path)
    if path.is_file():
        return ZipSource(path)
    msg = (
        f"{path} does not exist. Name the folder of a trained nnU-Net model (nnUNetTrainer__…), or "
        "the zip that nnUNetv2_export_model_to_zip writes."
    )
    raise ModelError(msg)


def _is_named(name: str, wanted: str) -> bool:
    return PurePosixPath(name).name == wanted


def _too_large(path: Path, name: str, size: int, largest: int) -> ModelError:
    return _unsound(path, f"{name[:80]!a} has {size} bytes; at most {largest} are read")


def _unsound(path: Path, found: str) -> ModelError:
    return ModelError(
        f"{path} is not a valid export of nnU-Net: {found}. Expected is the folder of a trained "
        "model, or the zip that nnUNetv2_export_model_to_zip writes; copy it again."
    )
