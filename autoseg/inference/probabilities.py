"""Store predicted probabilities compactly: one compressed byte per class and voxel.

Configurations predict one after another, each on its own grid. Their probabilities are kept in
memory until all have finished, or on disk for `autoseg select`. Confident predictions compress to
almost nothing; uncertain ones take up to one byte.
"""

import os
import shutil
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from pydantic import Field

from autoseg.core.atomic_write import atomic_folder
from autoseg.core.disk import naming_disk_errors
from autoseg.core.errors import CaseError
from autoseg.core.frozen import PositiveInt
from autoseg.documents import store
from autoseg.documents.document import Document
from autoseg.inference.blending import LogitsSlab
from autoseg.preprocessing.records import ConsistentTransform

ARRAY_FILE = "probabilities.b2nd"

FULL = 255
"""Stored value of a probability of 1."""

CHUNK_PLANES = 8
CHUNK_VOXELS = 2**19
"""Planes and maximum voxels of a compressed chunk, which contains one class."""

LARGEST_IN_MEMORY = 2**30
"""Maximum bytes of compressed probabilities in memory, per image and configuration."""

COMPRESSION_LEVEL = 1
"""Compression level of Zstandard."""

ProbabilityArray = UInt8[np.ndarray, "outputs planes rows columns"]


class ProbabilityGrid(Document):
    """The prepared grid and the outputs of stored probabilities.

    Attributes:
        restoration: Inverse transform to the original image.
        orders: Interpolation order per prepared axis: 0 for nearest, 1 for linear.
        num_outputs: Probabilities per voxel.
        is_regional: Whether the probabilities are those of regions, which may overlap; otherwise
            they sum to one.
    """

    FILE_NAME: ClassVar[str] = "grid.json"
    MADE_BY: ClassVar[str] = "autoseg train"
    schema_version: Literal[1] = 1
    restoration: ConsistentTransform
    orders: tuple[Annotated[int, Field(ge=0, le=1)], ...]
    num_outputs: PositiveInt
    is_regional: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array: outputs, planes, rows, columns; a 2-D image has one plane."""
        space = self.restoration.prepared_shape
        return (self.num_outputs, *(1,) * (3 - len(space)), *space)


class TemporaryFolder:
    """A temporary folder, deleted with the last reference to it or at exit of the process."""

    def __init__(self) -> None:
        with naming_disk_errors(Path(gettempdir()) / "autoseg_"):
            self.path = Path(mkdtemp(prefix="autoseg_"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def naming_disk_errors(self, num_bytes: int | None = None) -> AbstractContextManager[None]:
        """Name the folder in errors about a full disk."""
        return naming_disk_errors(self.path, num_bytes=num_bytes)


@dataclass(frozen=True)
class Probabilities:
    """Probabilities of one configuration for an image, on its prepared grid.

    Attributes:
        grid: Grid and outputs.
        array: A blosc2 array of shape `grid.shape`, uint8, in memory or on disk.
        folder: Temporary folder of the array, kept alive by this reference; None if the array is
            not in a temporary folder.
        path: File of the array, for error messages; None if it is not a stored one.
    """

    grid: ProbabilityGrid
    array: Any
    folder: TemporaryFolder | None = None
    path: Path | None = None

    def planes(
        self,
        start: int,
        stop: int,
        outputs: slice = slice(None),
    ) -> ProbabilityArray:
        """Decompress the probabilities of the planes `start` to `stop`, 0 … `FULL`.

        Args:
            start: First plane.
            stop: One past the last plane.
            outputs: Classes or regions to decompress; all by default.

        Raises:
            CaseError: If the stored probabilities are damaged.
        """
        try:
            planes: ProbabilityArray = self.array[outputs, start:stop]
        except RuntimeError as error:
            if self.path is None:
                raise
            raise _unreadable_error(self.path, str(error)) from error
        return planes


def compress_probabilities(slabs: Iterable[LogitsSlab], grid: ProbabilityGrid) -> Probabilities:
    """Convert logits to probabilities and compress them in memory.

    Probabilities that do not compress well, such as those of uncertain networks, are moved to a
    temporary file.

    Args:
        slabs: Logits on the prepared grid, from the first plane to the last.
        grid: Grid and outputs of the probabilities.

    Raises:
        ValueError: If the slabs do not cover the prepared image.
    """
    writer = _Writer(grid, None)
    for slab in slabs:
        writer.add(slab)
    return writer.finish()


def keep_probabilities(
    slabs: Iterable[LogitsSlab], grid: ProbabilityGrid, kept: list[Probabilities]
) -> Iterator[LogitsSlab]:
    """Yield the slabs unchanged while compressing their probabilities in memory.

    Args:
        slabs: Logits on the prepared grid, from the first plane to the last.
        grid: Grid and outputs of the probabilities.
        kept: The probabilities are appended once the last slab has been consumed.

    Raises:
        ValueError: If the slabs do not cover the prepared image.
    """
    writer = _Writer(grid, None)
    for slab in slabs:
        writer.add(slab)
        yield slab
    kept.append(writer.finish())


def save_probabilities(
    slabs: Iterable[LogitsSlab], grid: ProbabilityGrid, folder: Path
) -> Iterator[LogitsSlab]:
    """Yield the slabs unchanged while writing their probabilities to a folder.

    The folder is created once the last slab has been consumed. If not all slabs are consumed, it is
    not created.

    Args:
        slabs: Logits on the prepared grid, from the first plane to the last.
        grid: Grid and outputs of the probabilities.
        folder: Output folder.

    Raises:
        ValueError: If the slabs do not cover the prepared image.
    """
    with atomic_folder(folder) as temporary:
        writer = _Writer(grid, temporary / ARRAY_FILE)
        for slab in slabs:
            writer.add(slab)
            yield slab
        writer.finish()
        store.save(grid, temporary / ProbabilityGrid.FILE_NAME)


def open_probabilities(folder: Path) -> Probabilities:
    """Open the probabilities in a folder; planes are read on demand.

    Raises:
        CaseError: If the probabilities are missing or damaged.
        DocumentError: If the description of their grid is missing or damaged.
    """
    grid = store.load(ProbabilityGrid, folder / ProbabilityGrid.FILE_NAME)
    import blosc2

    path = folder / ARRAY_FILE
    mapped = {"mmap_mode": "r"} if os.name == "posix" else {}
    try:
        array = blosc2.open(str(path), mode="r", dparams={"nthreads": 1}, **mapped)
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreadable_error(path, str(error)) from error
    found = tuple(array.shape) if isinstance(array, blosc2.NDArray) else None
    if found != grid.shape or array.dtype != np.uint8:
        raise _unreadable_error(path, f"it has shape {found}, expected {grid.shape} of uint8")
    return Probabilities(grid=grid, array=array, path=path)


def has_probabilities(folder: Path) -> bool:
    """Return True if a folder contains stored probabilities."""
    return (folder / ProbabilityGrid.FILE_NAME).is_file() and (folder / ARRAY_FILE).is_file()


class _Writer:
    """Writes slabs as chunks; planes of a strip are buffered until they fill whole chunks."""

    def __init__(self, grid: ProbabilityGrid, path: Path | None) -> None:
        self._grid = grid
        self._array = _zeros(grid.shape, path)
        self._is_on_disk = path is not None
        self._folder: TemporaryFolder | None = None
        self._height = int(self._array.chunks[1])
        self._buffered: dict[int, list[ProbabilityArray]] = {}  # by the strip's first row
        self._next_planes: dict[int, int] = {}
        self._missing = prod(grid.shape[1:3])

    def add(self, slab: LogitsSlab) -> None:
        """Add a slab, which must start where the previous slab of its strip ended."""
        buffered = self._buffered.setdefault(slab.row, [])
        for start in range(0, slab.logits.shape[1], self._height):
            logits = slab.logits[:, start : start + self._height]
            buffered.append(_quantize(logits, is_regional=self._grid.is_regional))
        count = sum(planes.shape[1] for planes in buffered)
        self._write(slab.row, count - count % self._height)

    def finish(self) -> Probabilities:
        """Write the remaining planes; raise a ValueError if planes are missing."""
        for row, buffered in self._buffered.items():
            self._write(row, sum(planes.shape[1] for planes in buffered))
        if self._missing:
            total = prod(self._grid.shape[1:3])
            msg = (
                f"the logits do not cover {self._missing} of {total} rows of the prepared image; "
                "expected slabs of the whole image. Pass all of them."
            )
            raise ValueError(msg)
        return Probabilities(grid=self._grid, array=self._array, folder=self._folder)

    def _write(self, row: int, count: int) -> None:
        """Write the first `count` buffered planes of a strip; the rest stays buffered."""
        if not count:
            return
        planes = np.concatenate(self._buffered[row], axis=1)
        height = planes.shape[2]
        start = self._next_planes.get(row, 0)
        written = np.ascontiguousarray(planes[:, :count])
        with nullcontext() if self._folder is None else self._folder.naming_disk_errors():
            self._array[:, start : start + count, row : row + height] = written
        self._next_planes[row] = start + count
        self._missing -= count * height
        if not self._is_on_disk and self._array.schunk.cbytes > LARGEST_IN_MEMORY:
            self._move_to_disk()
        self._buffered[row] = [planes[:, count:].copy()] if count < planes.shape[1] else []

    def _move_to_disk(self) -> None:
        self._folder = TemporaryFolder()
        with self._folder.naming_disk_errors(num_bytes=self._array.schunk.cbytes):
            path = self._folder.path / ARRAY_FILE
            self._array = self._array.copy(urlpath=str(path), chunks=self._array.chunks)
        self._is_on_disk = True


def _zeros(shape: Sequence[int], path: Path | None) -> Any:  # noqa: ANN401  (blosc2 is untyped)
    """Create a compressed array of zeros, on disk or in memory."""
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


def _quantize(logits: np.ndarray, *, is_regional: bool) -> ProbabilityArray:
    """Convert logits to probabilities, rounded to multiples of 1/`FULL`."""
    scores = torch.from_numpy(logits)
    probabilities = scores.sigmoid() if is_regional else scores.softmax(dim=0)
    return probabilities.mul_(FULL).round_().to(torch.uint8).numpy()


def _unreadable_error(path: Path, reason: str) -> CaseError:
    return CaseError(
        f"{path} cannot be read ({reason}). Delete the folder {path.parent} and run `autoseg "
        "train` for this fold again to predict the missing probabilities."
    )
