"""Keep what networks found for an image in little space: a byte per class and voxel, compressed.

Several configurations work on grids of their own, one after the other. What each of them found
waits here until all have, or lies on disk for `autoseg select`. Where a network is sure of a class,
or of its absence, next to no space is taken; where it is not, up to a byte.
"""

import os
import shutil
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from pydantic import Field, PositiveInt

from autoseg.core.atomic_write import atomic_folder
from autoseg.core.case import InverseTransform
from autoseg.core.errors import CaseError
from autoseg.core.frozen import Frozen
from autoseg.documents import store
from autoseg.inference.sliding_window import LogitsSlab

ARRAY_FILE = "probabilities.b2nd"
RECORD_FILE = "grid.json"

FULL = 255
"""What a probability of 1 is stored as."""

CHUNK_PLANES = 8
CHUNK_VOXELS = 2**19
"""Planes and voxels that are compressed together, of one class."""

LARGEST_IN_MEMORY = 2**30
"""Bytes of compressed probabilities of one image and configuration that are kept in memory."""

COMPRESSION_LEVEL = 1
"""Of Zstandard."""

ProbabilityArray = UInt8[np.ndarray, "outputs planes rows columns"]


class ProbabilityGrid(Frozen):
    """Where stored probabilities stand, and what they are.

    Attributes:
        restoration: The way back to the original image.
        orders: Per prepared axis, 0 to take the nearest voxel or 1 to interpolate linearly.
        num_outputs: Probabilities per voxel.
        is_regional: Whether each is that of a region, which may overlap; else they sum to one.
    """

    schema_version: Literal[1] = 1
    restoration: InverseTransform
    orders: tuple[Annotated[int, Field(ge=0, le=1)], ...]
    num_outputs: PositiveInt
    is_regional: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of the array: outputs, planes, rows, columns; a 2-D image has one plane."""
        space = self.restoration.prepared_shape
        return (self.num_outputs, *(1,) * (3 - len(space)), *space)


class TemporaryFolder:
    """A folder that goes with the last reference to it, or else with the process."""

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="autoseg_"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class Probabilities:
    """What one configuration found for an image, on its prepared grid.

    Attributes:
        grid: Where it stands.
        array: A blosc2 array of `grid.shape`, uint8, in memory or on disk.
        folder: Temporary folder of the array, which goes when nobody needs it; None for others.
    """

    grid: ProbabilityGrid
    array: Any
    folder: "TemporaryFolder | None" = None

    def planes(self, start: int, stop: int) -> ProbabilityArray:
        """Return the probabilities of some planes, 0 … `FULL`."""
        planes: ProbabilityArray = self.array[:, start:stop]
        return planes


def compacted(slabs: Iterable[LogitsSlab], grid: ProbabilityGrid) -> Probabilities:
    """Return the probabilities that logits stand for, compressed in memory.

    If they do not become small, as those of networks that are sure of nothing, they go to a
    temporary file.

    Args:
        slabs: The logits on the prepared grid, from the first plane to the last.
        grid: Where they stand.

    Raises:
        ValueError: If the slabs do not cover the prepared image.
    """
    writer = _Writer(grid, None)
    for slab in slabs:
        writer.add(slab)
    return writer.finished()


def saving(
    slabs: Iterable[LogitsSlab], grid: ProbabilityGrid, folder: Path
) -> Iterator[LogitsSlab]:
    """Yield the slabs as they come, while their probabilities are written into a folder.

    The folder appears once the last slab has been taken; if not all are, nothing appears.
    """
    with atomic_folder(folder) as temporary:
        writer = _Writer(grid, temporary / ARRAY_FILE)
        for slab in slabs:
            writer.add(slab)
            yield slab
        writer.finished()
        store.save(grid, temporary / RECORD_FILE)


def open_probabilities(folder: Path) -> Probabilities:
    """Return the probabilities in a folder; they are read as they are asked for.

    Raises:
        CaseError: If they are missing or damaged.
        DocumentError: If the document beside them is.
    """
    grid = store.load(ProbabilityGrid, folder / RECORD_FILE, made_by="autoseg train")
    import blosc2

    path = folder / ARRAY_FILE
    mapped = {"mmap_mode": "r"} if os.name == "posix" else {}
    try:
        array = blosc2.open(str(path), mode="r", dparams={"nthreads": 1}, **mapped)
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    if tuple(array.shape) != grid.shape:
        raise _unreadable(path, f"it has shape {array.shape}, expected {grid.shape}")
    return Probabilities(grid=grid, array=array)


def has_probabilities(folder: Path) -> bool:
    """Return whether a folder holds stored probabilities."""
    return (folder / RECORD_FILE).is_file() and (folder / ARRAY_FILE).is_file()


class _Writer:
    """Turns slabs into chunks; planes of a strip of rows wait until they fill whole chunks."""

    def __init__(self, grid: ProbabilityGrid, path: Path | None) -> None:
        self._grid = grid
        self._array = _empty(grid.shape, path)
        self._is_on_disk = path is not None
        self._folder: TemporaryFolder | None = None
        self._height = int(self._array.chunks[1])
        self._waiting: dict[int, list[ProbabilityArray]] = {}  # by the strip's first row
        self._next_planes: dict[int, int] = {}
        self._missing = prod(grid.shape[1:3])

    def add(self, slab: LogitsSlab) -> None:
        """Take a slab; it must begin where the last one of its strip ended."""
        waiting = self._waiting.setdefault(slab.row, [])
        for start in range(0, slab.logits.shape[1], self._height):
            logits = slab.logits[:, start : start + self._height]
            waiting.append(_quantised(logits, is_regional=self._grid.is_regional))
        count = sum(planes.shape[1] for planes in waiting)
        self._write(slab.row, count - count % self._height)

    def finished(self) -> Probabilities:
        """Write the last planes and return all.

        Raises:
            ValueError: If planes are missing.
        """
        for row, waiting in self._waiting.items():
            self._write(row, sum(planes.shape[1] for planes in waiting))
        if self._missing:
            of = prod(self._grid.shape[1:3])
            msg = f"the logits do not cover {self._missing} of {of} rows of the prepared image."
            raise ValueError(msg)
        return Probabilities(grid=self._grid, array=self._array, folder=self._folder)

    def _write(self, row: int, count: int) -> None:
        """Write the first planes of those that wait in a strip, and keep the rest."""
        if not count:
            return
        planes = np.concatenate(self._waiting[row], axis=1)
        height = planes.shape[2]
        start = self._next_planes.get(row, 0)
        self._array[:, start : start + count, row : row + height] = np.ascontiguousarray(
            planes[:, :count]
        )
        self._next_planes[row] = start + count
        self._missing -= count * height
        if not self._is_on_disk and self._array.schunk.cbytes > LARGEST_IN_MEMORY:
            self._move_to_disk()
        self._waiting[row] = [planes[:, count:].copy()] if count < planes.shape[1] else []

    def _move_to_disk(self) -> None:
        self._folder = TemporaryFolder()
        path = self._folder.path / ARRAY_FILE
        self._array = self._array.copy(urlpath=str(path), chunks=self._array.chunks)
        self._is_on_disk = True


def _empty(shape: Sequence[int], path: Path | None) -> Any:  # noqa: ANN401  (blosc2 is untyped)
    """Return an array of zeros that takes no space yet, on disk or in memory."""
    import blosc2

    _, planes, rows, columns = shape
    height = min(CHUNK_PLANES, planes)
    chunk_rows = min(rows, max(1, CHUNK_VOXELS // (height * columns)))
    return blosc2.zeros(
        tuple(shape),
        dtype=np.uint8,
        urlpath=None if path is None else str(path),
        chunks=(1, height, chunk_rows, columns),
        cparams={
            "codec": blosc2.Codec.ZSTD,
            "clevel": COMPRESSION_LEVEL,
            "filters": [blosc2.Filter.NOFILTER],
            "nthreads": 1,
        },
    )


def _quantised(logits: np.ndarray, *, is_regional: bool) -> ProbabilityArray:
    """Return the probabilities of a few planes' logits, rounded to steps of 1/`FULL`."""
    scores = torch.from_numpy(logits)
    probabilities = scores.sigmoid() if is_regional else scores.softmax(dim=0)
    return probabilities.mul_(FULL).round_().to(torch.uint8).numpy()


def _unreadable(path: Path, reason: str) -> CaseError:
    return CaseError(
        f"{path} cannot be read ({reason}). Delete the folder {path.parent} and run `autoseg "
        "train` for this fold again: it predicts what is missing."
    )
