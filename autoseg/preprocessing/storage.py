"""Prepared cases on disk: one folder each, compressed in small blocks, so that a patch reads fast.

A folder holds `image.b2nd`, `labels.b2nd`, `foreground.npy` and `case.json`. It appears under its
name when it is complete, so whatever can be opened is whole.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, Literal

import blosc2
import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import ImageArray, LabelArray, VoxelList
from autoseg.core.atomic_write import atomic_folder
from autoseg.core.case import InverseTransform
from autoseg.core.errors import CaseError, DocumentError
from autoseg.core.frozen import Frozen
from autoseg.documents import store
from autoseg.documents.preparation import PlannedData, PlannedPreparation
from autoseg.preprocessing.prepare import PreparedCase

ALGORITHM_VERSION = 2
"""Raised whenever preprocessing computes other numbers, so that older results are redone."""

IMAGE_FILE = "image.b2nd"
LABELS_FILE = "labels.b2nd"
FOREGROUND_FILE = "foreground.npy"
RECORD_FILE = "case.json"
CASCADE_INPUT_FILE = "cascade_input.b2nd"
CASCADE_INPUT_RECORD_FILE = "cascade_input.json"

BLOCK_SHAPES = {2: (64, 128), 3: (16, 32, 32)}
"""What is decompressed at once, by number of patch axes: 32 and 64 KiB of float32, which stay in
the processor's cache. Measured with docs/benchmarks: larger ones read more than a patch needs."""

LARGEST_CHUNK = {2: 1024, 3: 128}
"""Longest edge of a chunk in voxels, by number of patch axes: chunks stay at or below 8 MiB."""

FULL_CHUNK_BYTES = 2**20
"""Planes that are read one by one share a chunk up to here: each chunk costs about 0.1 ms to write,
and what is read is blocks, never whole chunks."""

COMPRESSION_LEVEL = 5
"""Of LZ4, each byte of a number in a stream of its own. Measured on a CT of 23 million voxels:
0.1 s and 43 % of the size, where LZ4HC, which nnU-Net v2 takes, needs 0.7 s for 41 %; both are read
equally fast, Zstandard half as fast."""


class CaseRecord(Frozen):
    """What `case.json` says about a prepared case.

    Attributes:
        name: Name of the case.
        key: `preparation_key` by the state of the files that it was prepared from, which says
            without reading them whether they are as they were.
        content_key: `preparation_key` by the content of these files, which stays the same when they
            are copied or touched; what is made from the case is recognised by it.
        restoration: How a prediction gets back to the image.
        class_offsets: Positions of target `k` (from 1) are the rows from entry `k` to entry
            `k + 1` of the foreground file; before them are those of all annotated voxels.
    """

    schema_version: Literal[1] = 1
    name: str
    key: str
    content_key: str
    restoration: InverseTransform
    class_offsets: tuple[int, ...]


class CascadeInputRecord(Frozen):
    """What `cascade_input.json` says about a previous stage's prediction of a prepared case.

    Attributes:
        name: Name of the case.
        key: Of the networks that predicted it, and of the case.
    """

    schema_version: Literal[1] = 1
    name: str
    key: str


@dataclass(frozen=True)
class StoredCascadeInput:
    """What the previous stage of a cascade predicted for a prepared case, on that case's grid.

    Attributes:
        folder: Where it lies.
        key: Of the networks that predicted it, and of the case.
    """

    folder: Path
    key: str


@dataclass(frozen=True)
class StoredCase:
    """A prepared case on disk, read patch by patch.

    Nothing stays open between reads: a dataset of thousands of cases needs no thousands of file
    handles, and the case can be sent to other processes.

    Attributes:
        folder: Where it lies.
        record: Name, key and the way back.
        inode: Of the image's file when the case was opened.
        cascade_input: What the previous stage of a cascade predicted; None without one.
    """

    folder: Path
    record: CaseRecord
    inode: int
    cascade_input: StoredCascadeInput | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Size in voxels, planned axis order."""
        return self.record.restoration.prepared_shape

    @property
    def foreground(self) -> tuple[VoxelList, ...]:
        """Positions of annotated voxels, if some are ignored, then of those of each target.

        They are memory-mapped anew.
        """
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
        """Return image and class indices of a box inside the case; only its blocks are read.

        Args:
            start: First voxel along each axis.
            stop: One past the last; nothing is padded, so it must lie within the shape.

        Raises:
            ValueError: If the box does not lie within the case.
            CaseError: If a file is missing or damaged, or the case was prepared anew since.
        """
        box = self._box(start, stop)
        image = _open(self.folder / IMAGE_FILE)[(slice(None), *box)]
        labels = _open(self.folder / LABELS_FILE)[box]
        self._check_same()
        return image, labels

    def read_cascade_input(self, start: tuple[int, ...], stop: tuple[int, ...]) -> LabelArray:
        """Return the class indices that the previous stage predicted in a box; see `read_patch`.

        Raises:
            ValueError: If the box does not lie within the case, or there is no previous stage.
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
                msg = f"no box from {start} to {stop} in a case of {self.shape} voxels"
                raise ValueError(msg)
        return tuple(slice(first, last) for first, last in zip(start, stop, strict=True))

    def _check_same(self) -> None:
        """Check, after reading, that the case is still the one that was opened.

        Trainings that begin together may prepare one case twice, which gives the same content.

        Raises:
            CaseError: If it was prepared from other files or by another plan since.
        """
        if _inode(self.folder) == self.inode:
            return
        record = _record(self.folder)
        if record is None or record.content_key != self.record.content_key:
            msg = (
                f"{self.folder} was prepared anew while it was in use: plan or files have changed. "
                "Run the same command again: it says whether this training can go on."
            )
            raise CaseError(msg)

    def read_image(self) -> ImageArray:
        """Return the whole prepared image."""
        image: ImageArray = _open(self.folder / IMAGE_FILE)[...]
        return image

    def read_classes(self) -> LabelArray:
        """Return the class index of every voxel."""
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
    """Write a prepared case, whole or not at all.

    Args:
        prepared: What to write.
        folder: Its own folder; an older one is replaced.
        patch_shape: What is going to be read at a time; two axes mean slice by slice.
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
        # the folder appears as a whole, so that this file needs no care of its own
        (temporary / RECORD_FILE).write_text(store.as_text(record), encoding="utf-8")


def open_case(folder: Path) -> StoredCase:
    """Return the prepared case in a folder.

    Raises:
        DocumentError: If the folder holds none.
    """
    record = store.load(CaseRecord, folder / RECORD_FILE, made_by="autoseg train")
    return StoredCase(folder=folder, record=record, inode=_inode(folder))


def _inode(folder: Path) -> int:
    try:
        return (folder / IMAGE_FILE).stat().st_ino
    except OSError as error:
        raise _unreadable(folder / IMAGE_FILE, error) from error


def is_prepared(folder: Path, key: str) -> bool:
    """Return whether the folder holds the case as `key` says it should be."""
    record = _record(folder)
    return record is not None and record.key == key


def is_renewed(folder: Path, *, key: str, content_key: str) -> bool:
    """Return whether the folder holds the case as `content_key` has it; it then has `key` as well.

    So files that were copied or touched need not be prepared again.
    """
    record = _record(folder)
    if record is None or record.content_key != content_key:
        return False
    store.save(record.model_copy(update={"key": key}), folder / RECORD_FILE)
    return True


def _record(folder: Path) -> CaseRecord | None:
    if not (folder / RECORD_FILE).is_file():
        return None
    try:
        return open_case(folder).record
    except DocumentError:
        return None


def save_cascade_input(
    classes: LabelArray, folder: Path, record: CascadeInputRecord, patch_shape: tuple[int, ...]
) -> None:
    """Write what a previous stage predicted for a prepared case, whole or not at all.

    Args:
        classes: Class index of every voxel, on the grid of the case.
        folder: Its own folder; an older one is replaced.
        record: Of which case, by which networks.
        patch_shape: What is going to be read at a time.
    """
    with atomic_folder(folder) as temporary:
        _write(classes, temporary / CASCADE_INPUT_FILE, patch_shape)
        store.save(record, temporary / CASCADE_INPUT_RECORD_FILE)


def open_cascade_input(folder: Path) -> StoredCascadeInput | None:
    """Return what a previous stage predicted for a case; None if the folder does not hold it."""
    path = folder / CASCADE_INPUT_RECORD_FILE
    if not path.is_file():
        return None
    try:
        record = store.load(CascadeInputRecord, path, made_by="autoseg train")
    except DocumentError:
        return None
    return StoredCascadeInput(folder=folder, key=record.key)


def preparation_key(
    plan: PlannedPreparation,
    configuration: PlannedData,
    source: tuple[tuple[str, int, int], ...] | tuple[str, ...],
) -> str:
    """Return a hash over all that determines a prepared case; equal means nothing to redo.

    Patch, batch and network are not in it, so editing those in a plan redoes nothing.

    Args:
        plan: The plan.
        configuration: One of its configurations.
        source: Name, size and modification time of each file of the case; or a hash of each.
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
    """Write an array whose trailing axes are spatial, in chunks and blocks that suit the patch."""
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
    """Return what is compressed into one piece of the file: about a patch, or as many planes."""
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
    """Return the array, memory-mapped where the system can, decompressed in this thread.

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
        "command again; the case is then prepared anew."
    )
