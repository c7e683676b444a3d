"""Store prepared cases on disk, compressed in small blocks so that patches load fast.

Each case has a folder with `image.b2nd`, `labels.b2nd`, `foreground.npy` and `case.json`. Folders
are written atomically, so a case that can be opened is complete.
"""

import errno
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import ImageArray, LabelArray, VoxelList, VoxelSource
from autoseg.core.atomic_write import atomic_folder
from autoseg.core.errors import CaseError, DocumentError, affects_all
from autoseg.documents import store
from autoseg.documents.preparation import PlannedData, PlannedPreparation
from autoseg.preprocessing.array_files import open_array, write_array
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.preprocessing.records import CascadeInputRecord, CaseRecord

ALGORITHM_VERSION = 2
"""Increased whenever the results of preprocessing change, so that cases are prepared again."""

IMAGE_FILE = "image.b2nd"
LABELS_FILE = "labels.b2nd"
FOREGROUND_FILE = "foreground.npy"
FILES = (IMAGE_FILE, LABELS_FILE, FOREGROUND_FILE)
CASCADE_INPUT_FILE = "cascade_input.b2nd"


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
            self._check_positions(positions)
        except Exception as error:
            raise self._damaged(path, error) from error
        self._check_same()
        return tuple(positions[start:stop] for start, stop in pairwise(self.record.class_offsets))

    def check_inside(self, position: Sequence[int]) -> None:
        """Raise a CaseError if a position of `foreground` is not inside the case."""
        if not all(0 <= at < size for at, size in zip(position, self.shape, strict=True)):
            found = ValueError(f"position {tuple(position)} outside of {self.shape}")
            raise self._damaged(self.folder / FOREGROUND_FILE, found)

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
        image = self._read(self.folder / IMAGE_FILE, (slice(None), *box))
        labels = self._read(self.folder / LABELS_FILE, box)
        self._check_same()
        if int(labels.max()) > self.record.highest_class:
            found = ValueError(f"class {labels.max()}, at most {self.record.highest_class}")
            raise self._damaged(self.folder / LABELS_FILE, found)
        return image, labels

    def read_cascade_input(self, start: tuple[int, ...], stop: tuple[int, ...]) -> LabelArray:
        """Load the cascade input of a box; see `read_patch`.

        Raises:
            ValueError: If the box is not inside the case, or there is no previous stage.
        """
        if self.cascade_input is None:
            msg = f"{self.folder} has no prediction of a previous stage."
            raise ValueError(msg)
        path = self.cascade_input.folder / CASCADE_INPUT_FILE
        classes: LabelArray = self._read(path, self._box(start, stop))
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
        image: ImageArray = self._read(self.folder / IMAGE_FILE, ...)
        return image

    @property
    def voxels(self) -> VoxelSource:
        """The prepared image, of which only the indexed part is loaded."""
        corner = self._read(self.folder / IMAGE_FILE, (..., *(slice(1),) * len(self.shape)))
        return _StoredVoxels(self, (len(corner), *self.shape), corner.dtype)

    def read_box(self, box: Any) -> NDArray[Any]:  # noqa: ANN401  (an index of any form)
        """Load a box of the prepared image; `box` is an index as of an array."""
        voxels: NDArray[Any] = self._read(self.folder / IMAGE_FILE, box)
        return voxels

    def read_classes(self) -> LabelArray:
        """Load the class index of every voxel."""
        classes: LabelArray = self._read(self.folder / LABELS_FILE, ...)
        return classes

    def is_intact(self) -> bool:
        """Return True if all files have the sizes that they were written with."""
        sizes = zip(FILES, self.record.file_sizes, strict=False)  # older records have none
        try:
            return all((self.folder / name).stat().st_size == size for name, size in sizes)
        except FileNotFoundError:
            return False

    def _check_positions(self, positions: NDArray[Any]) -> None:
        offsets = self.record.class_offsets
        expected = (offsets[-1], len(self.shape))
        if positions.dtype != np.int32 or positions.shape != expected:
            msg = (
                f"found {positions.dtype} of shape {positions.shape}, expected int32 of {expected}"
            )
            raise ValueError(msg)
        if any(start > stop for start, stop in pairwise((0, *offsets))):
            raise ValueError(f"class_offsets are not sorted: {offsets}")

    def _read(self, path: Path, box: Any) -> Any:  # noqa: ANN401  (blosc2 is untyped)
        try:
            return open_array(path, self.shape)[box]
        except (OSError, RuntimeError, ValueError, TypeError, IndexError) as error:
            raise self._damaged(path, error) from error

    def _damaged(self, path: Path, error: Exception) -> Exception:
        """Return the error for a file that cannot be read, and mark the data to be made again.

        They are marked by deleting the record, without which their folder counts as incomplete.
        Errors of the system, such as too many open files or a lost connection, are returned
        unchanged.
        """
        number = getattr(error, "errno", None)
        if isinstance(error, MemoryError) or number not in {None, errno.ENOENT}:
            return error
        self._check_same()  # else it was only replaced
        found = f"the prepared data of {self.record.name} are damaged: {path}: {error}."
        records = (CaseRecord.FILE_NAME, CascadeInputRecord.FILE_NAME)
        try:
            for name in records:
                (path.parent / name).unlink(missing_ok=True)
        except OSError:
            advice = f"Delete the folder {path.parent} and run the same command again."
        else:
            advice = (
                "Run the same command again, which prepares them again from the images. If it "
                f"happens again, check the disk of {path.parent}"
            )
        return CaseError(f"{found} {advice}")


@dataclass(frozen=True)
class _StoredVoxels:
    """The image of a prepared case, loaded where it is indexed; see `VoxelSource`."""

    case: StoredCase
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, box: Any, /) -> NDArray[Any]:  # noqa: ANN401
        return self.case.read_box(box)


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
    positions = np.concatenate(prepared.foreground)
    voxels = prepared.image.voxels
    num_bytes = voxels.dtype.itemsize * prod(voxels.shape)
    num_bytes += prepared.classes.nbytes + positions.nbytes
    with atomic_folder(folder, num_bytes=num_bytes) as temporary:
        write_array(voxels, temporary / IMAGE_FILE, patch_shape, axis=1)
        write_array(prepared.classes, temporary / LABELS_FILE, patch_shape, axis=0)
        np.save(temporary / FOREGROUND_FILE, positions)
        record = CaseRecord(
            name=prepared.name,
            key=key,
            content_key=content_key,
            restoration=prepared.image.restoration,
            class_offsets=tuple(offsets.tolist()),
            highest_class=int(prepared.classes.max(initial=0)),
            file_sizes=tuple((temporary / name).stat().st_size for name in FILES),
        )
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
        if affects_all(error):
            raise
        msg = (
            f"{folder / IMAGE_FILE} cannot be opened ({error.strerror}). Delete the folder "
            f"{folder} and run the same command again to prepare the case again."
        )
        raise CaseError(msg) from error


def open_prepared(folder: Path, key: str) -> StoredCase | None:
    """Open the prepared case in a folder; None if there is none with this key, or a damaged one."""
    case = _existing_case(folder)
    return case if case is not None and case.record.key == key and case.is_intact() else None


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
    if case is None or case.record.content_key != content_key or not case.is_intact():
        return False
    store.save(case.record.model_copy(update={"key": key}), folder / CaseRecord.FILE_NAME)
    return True


def _existing_case(folder: Path) -> StoredCase | None:
    try:
        return open_case(folder)
    except (DocumentError, CaseError):
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
    with atomic_folder(folder, num_bytes=classes.nbytes) as temporary:
        write_array(classes, temporary / CASCADE_INPUT_FILE, patch_shape, axis=0)
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
