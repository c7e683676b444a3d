"""Store prepared cases on disk, compressed in small blocks so that patches load fast.

Each case has a folder with `image.b2nd`, `labels.b2nd`, `foreground.npy` and `case.json`. Folders
are written atomically, so a case that can be opened is complete.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Literal

import blosc2
import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import ImageArray, LabelArray, VoxelList
from autoseg.core.atomic_write import atomic_folder
from autoseg.core.case import InverseTransform
from autoseg.core.errors import CaseError, DocumentError
from autoseg.documents import store
from autoseg.documents.document import Document
from autoseg.documents.preparation import PlannedData, PlannedPreparation
from autoseg.preprocessing.prepare import PreparedCase

ALGORITHM_VERSION = 2
"""Increased whenever the results of preprocessing change, so that cases are prepared again."""

IMAGE_FILE = "image.b2nd"
LABELS_FILE = "labels.b2nd"
FOREGROUND_FILE = "foreground.npy"
CASCADE_INPUT_FILE = "cascade_input.b2nd"

BLOCK_SHAPES = {2: (64, 128), 3: (16, 32, 32)}
"""Shape of a block, the unit of decompression, by number of patch axes. 32 and 64 KiB of float32
fit into the processor's cache; larger blocks read more than a patch needs (docs/benchmarks)."""

LARGEST_CHUNK = {2: 1024, 3: 128}
"""Maximum edge of a chunk in voxels, by number of patch axes; keeps chunks at or below 8 MiB."""

FULL_CHUNK_BYTES = 2**20
"""Maximum size of a chunk of several 2-D planes. Writing a chunk takes about 0.1 ms, and reads
decompress only the required blocks."""

COMPRESSION_LEVEL = 5
"""Level of LZ4 with byte shuffling. On a CT of 23 million voxels, LZ4 takes 0.1 s for 43 % of the
size, LZ4HC (as in nnU-Net v2) 0.7 s for 41 %; both read equally fast, Zstandard half as fast."""


class CaseRecord(Document):
    """Contents of `case.json`.

    Attributes:
        name: Name of the case.
        key: `preparation_key` of name, size and modification time of the source files.
        content_key: `preparation_key` of the content of the source files. It does not change if
            they are copied or touched, and identifies everything derived from the case.
        restoration: Inverse transform from the prepared grid to the image.
        class_offsets: Rows of the foreground file from entry `k` to entry `k + 1` are positions of
            target `k` (from 1); rows before entry 1 are positions of all annotated voxels.
    """

    FILE_NAME: ClassVar[str] = "case.json"
    MADE_BY: ClassVar[str] = "autoseg train"
    schema_version: Literal[1] = 1
    name: str
    key: str
    content_key: str
    restoration: InverseTransform
    class_offsets: tuple[int, ...]


class CascadeInputRecord(Document):
    """Contents of `cascade_input.json`.

    Attributes:
        name: Name of the case.
        key: Key of the case and of the networks that predicted it.
    """

    FILE_NAME: ClassVar[str] = "cascade_input.json"
    MADE_BY: ClassVar[str] = "autoseg train"
    schema_version: Literal[1] = 1
    name: str
    key: str


@dataclass(frozen=True)
class StoredCascadeInput:
    """The cascade input of a prepared case on disk, on the grid of the case.

    Attributes:
        folder: Folder of the cascade input.
        key: Key of the case and of the networks that predicted it.
    """

    folder: Path
    key: str


@dataclass(frozen=True)
class StoredCase:
    """A prepared case on disk, read patch by patch.

    Files are closed between reads, so that thousands of cases do not exhaust the file handles, and
    a case can be pickled for other processes.

    Attributes:
        folder: Folder of the case.
        record: Contents of `case.json`.
        inode: Inode of the image file when the case was opened.
        cascade_input: Prediction of the previous stage; None without a cascade.
    """

    folder: Path
    record: CaseRecord
    inode: int
    cascade_input: StoredCascadeInput | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in voxels, planned axis order."""
        return self.record.restoration.prepared_shape

    @property
    def foreground(self) -> tuple[VoxelList, ...]:
        """Memory-mapped positions of annotated voxels (if any are ignored), then of each target."""
        path = self.folder / FOREGROUND_FILE
        try:
            positions = np.load(path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from error
        self._check_same()
        return tuple(positions[start:stop] for start, stop in pairwise(self.record.class_offsets))

    def read_patch(
        self, start: tuple[int, ...], stop: tuple[int, ...]
    ) -> tuple[ImageArray, LabelArray]:
        """Load image and class indices of a box; only the required blocks are read.

        Args:
            start: First voxel along each axis.
            stop: One past the last voxel along each axis; the box is not padded.

        Raises:
            ValueError: If the box is not inside the case.
            CaseError: If a file is missing or damaged, or the case has been prepared again.
        """
        box = self._box(start, stop)
        image = _open(self.folder / IMAGE_FILE)[(slice(None), *box)]
        labels = _open(self.folder / LABELS_FILE)[box]
        self._check_same()
        return image, labels

    def read_cascade_input(self, start: tuple[int, ...], stop: tuple[int, ...]) -> LabelArray:
        """Load the cascade input of a box; see `read_patch`.

        Raises:
            ValueError: If the box is not inside the case, or there is no previous stage.
        """
        if self.cascade_input is None:
            msg = f"{self.folder} has no prediction of a previous stage."
            raise ValueError(msg)
        classes: LabelArray = _open(self.cascade_input.folder / CASCADE_INPUT_FILE)[
            self._box(start, stop)
        ]
        return classes

    def _box(self, start: tuple[int, ...], stop: tuple[int, ...]) -> tuple[slice, ...]:
        for first, last, size in zip(start, stop, self.shape, strict=True):
            if not 0 <= first < last <= size:
                msg = f"the box {start} to {stop} is not inside the case of {self.shape} voxels"
                raise ValueError(msg)
        return tuple(slice(first, last) for first, last in zip(start, stop, strict=True))

    def _check_same(self) -> None:
        """Check, after reading, that the case has the same content as when it was opened.

        Raises:
            CaseError: If the case has been prepared from other files or with another plan.
        """
        if _inode(self.folder) == self.inode:
            return
        # concurrent trainings may prepare a case twice with the same content
        case = _existing_case(self.folder)
        if case is None or case.record.content_key != self.record.content_key:
            msg = (
                f"{self.folder} was prepared again while it was in use, because plan or files have "
                "changed. Run the same command again; it reports whether this training can resume."
            )
            raise CaseError(msg)

    def read_image(self) -> ImageArray:
        """Load the whole prepared image."""
        image: ImageArray = _open(self.folder / IMAGE_FILE)[...]
        return image

    def read_classes(self) -> LabelArray:
        """Load the class index of every voxel."""
        classes: LabelArray = _open(self.folder / LABELS_FILE)[...]
        return classes


def save_case(
    prepared: PreparedCase,
    folder: Path,
    patch_shape: tuple[int, ...],
    *,
    key: str,
    content_key: str,
) -> None:
    """Save a prepared case atomically.

    Args:
        prepared: The case.
        folder: Output folder of the case; an existing one is replaced.
        patch_shape: Shape of the patches to be read, voxels; two axes mean single slices.
        key: See `CaseRecord`.
        content_key: See `CaseRecord`.
    """
    offsets = np.cumsum([0, *(len(positions) for positions in prepared.foreground)])
    record = CaseRecord(
        name=prepared.name,
        key=key,
        content_key=content_key,
        restoration=prepared.image.restoration,
        class_offsets=tuple(offsets.tolist()),
    )
    with atomic_folder(folder) as temporary:
        _write(prepared.image.voxels, temporary / IMAGE_FILE, patch_shape)
        _write(prepared.classes, temporary / LABELS_FILE, patch_shape)
        np.save(temporary / FOREGROUND_FILE, np.concatenate(prepared.foreground))
        # the folder is renamed when complete, so this file need not be written atomically
        (temporary / CaseRecord.FILE_NAME).write_text(store.to_json_text(record), encoding="utf-8")


def open_case(folder: Path) -> StoredCase:
    """Open the prepared case in a folder.

    Raises:
        DocumentError: If the folder does not contain a valid `case.json`.
        CaseError: If the image file is missing.
    """
    record = store.load(CaseRecord, folder / CaseRecord.FILE_NAME)
    return StoredCase(folder=folder, record=record, inode=_inode(folder))


def _inode(folder: Path) -> int:
    try:
        return (folder / IMAGE_FILE).stat().st_ino
    except OSError as error:
        raise _unreadable(folder / IMAGE_FILE, error) from error


def open_prepared(folder: Path, key: str) -> StoredCase | None:
    """Open the prepared case in a folder; None if there is none with this key."""
    case = _existing_case(folder)
    return case if case is not None and case.record.key == key else None


def refresh_key(folder: Path, *, key: str, content_key: str) -> bool:
    """Update the key of a prepared case whose files were only copied or touched.

    Args:
        folder: Folder of the case.
        key: The new key.
        content_key: Content key that the case must have.

    Returns:
        True if the content key matches and the key was updated.
    """
    case = _existing_case(folder)
    if case is None or case.record.content_key != content_key:
        return False
    store.save(case.record.model_copy(update={"key": key}), folder / CaseRecord.FILE_NAME)
    return True


def _existing_case(folder: Path) -> StoredCase | None:
    try:
        return open_case(folder)
    except DocumentError:
        return None


def save_cascade_input(
    classes: LabelArray, folder: Path, record: CascadeInputRecord, patch_shape: tuple[int, ...]
) -> None:
    """Save the cascade input of a prepared case atomically.

    Args:
        classes: Class index per voxel, on the grid of the case.
        folder: Output folder; an existing one is replaced.
        record: Case and key of the cascade input.
        patch_shape: Shape of the patches to be read, voxels.
    """
    with atomic_folder(folder) as temporary:
        _write(classes, temporary / CASCADE_INPUT_FILE, patch_shape)
        store.save(record, temporary / CascadeInputRecord.FILE_NAME)


def open_cascade_input(folder: Path) -> StoredCascadeInput | None:
    """Open the cascade input in a folder; return None if there is no valid one."""
    try:
        record = store.load(CascadeInputRecord, folder / CascadeInputRecord.FILE_NAME)
    except DocumentError:
        return None
    return StoredCascadeInput(folder=folder, key=record.key)


def preparation_key(
    plan: PlannedPreparation,
    configuration: PlannedData,
    source: tuple[tuple[str, int, int], ...] | tuple[str, ...],
) -> str:
    """Return a hash of everything that determines the result of preparing a case.

    Patch, batch and network are not included, so editing them does not prepare cases again.

    Args:
        plan: The plan.
        configuration: One of its configurations.
        source: Name, size and modification time of each file of the case, or a hash of each.
    """
    determined_by: dict[str, object] = {
        "algorithm": ALGORITHM_VERSION,
        "axis_order": plan.axis_order,
        "labels": plan.labels.values,
        "targets": plan.labels.target_classes,
        "ignore": plan.labels.ignore,
        "spacing": configuration.spacing,
        "normalizers": [part.model_dump(mode="json") for part in configuration.normalizers],
        "resampling": configuration.resampling.model_dump(mode="json"),
        "source": source,
    }
    text = json.dumps(determined_by, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _write(array: NDArray[Any], path: Path, patch_shape: tuple[int, ...]) -> None:
    """Write an array, trailing axes spatial, with chunk and block shapes that suit the patch."""
    axes = len(patch_shape)
    lead = (1,) * (array.ndim - axes)
    chunk = _chunk_shape(array, patch_shape)
    blosc2.asarray(
        np.ascontiguousarray(array),
        urlpath=str(path),
        chunks=chunk,
        blocks=_within((*lead, *BLOCK_SHAPES[axes]), chunk),
        cparams={
            "codec": blosc2.Codec.LZ4,
            "clevel": COMPRESSION_LEVEL,
            "filters": [blosc2.Filter.SHUFFLE],
            "splitmode": blosc2.SplitMode.ALWAYS_SPLIT,
            "nthreads": 1,
        },
    )


def _chunk_shape(array: NDArray[Any], patch_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a chunk: about a patch in 3-D, several planes in 2-D."""
    axes = len(patch_shape)
    edges = map(max, patch_shape, BLOCK_SHAPES[axes])
    wanted = (min(edge, LARGEST_CHUNK[axes]) for edge in edges)
    inner = _within(tuple(wanted), array.shape[-axes:])
    lead = [1] * (array.ndim - axes)
    if lead and axes == 2:
        fitting = FULL_CHUNK_BYTES // (prod(inner) * array.itemsize)
        lead[-1] = max(1, min(fitting, array.shape[-3]))
    return (*lead, *inner)


def _within(wanted: tuple[int, ...], bounds: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(min(size, bound) for size, bound in zip(wanted, bounds, strict=True))


def _open(path: Path) -> Any:  # noqa: ANN401  (blosc2 is untyped)
    """Open an array, memory-mapped on POSIX systems, to be decompressed in the current thread.

    Raises:
        CaseError: If the file is missing or damaged.
    """
    mapped = {"mmap_mode": "r"} if os.name == "posix" else {}
    try:
        return blosc2.open(str(path), mode="r", dparams={"nthreads": 1}, **mapped)
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> CaseError:
    return CaseError(
        f"{path} cannot be opened ({error}). Delete the folder {path.parent} and run the same "
        "command again to prepare the case again."
    )
