"""What a reader is: how the files of one family of formats become arrays, and arrays files."""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Shaped

from autoseg.core.arrays import LabelArray
from autoseg.core.geometry import Geometry
from autoseg.core.registry import Component, Family

StoredArray = Shaped[np.ndarray, "channels *space"]


@dataclass(frozen=True)
class StoredImage:
    """An image as its file has it: neither reoriented nor converted to another number type.

    Attributes:
        voxels: Channels first, then the axes in array order.
        geometry: Spacing, origin and direction; plain where the format knows none.
    """

    voxels: StoredArray
    geometry: Geometry


@dataclass(frozen=True)
class Header:
    """What a file says about itself before its voxels are read.

    Attributes:
        shape: Size in voxels, stored array order; a single slice of a 3-D format has 2 axes.
        num_channels: Number of channels in this file.
    """

    shape: tuple[int, ...]
    num_channels: int

    @property
    def num_axes(self) -> int:
        """2 or 3."""
        return len(self.shape)


class Reader(Component):
    """Reads and writes one family of file formats.

    Methods may raise whatever the format's library raises; `read_image` and its siblings turn that
    into a `CaseError` that names the file.

    Attributes:
        endings: File endings it is responsible for, lower case, with the dot.
        label_endings: Those of them that keep label values exactly.
        max_axes: 2 if the formats hold pictures only.
        holds_world_geometry: Whether they say where an image lies and how it is turned.
    """

    endings: ClassVar[tuple[str, ...]]
    label_endings: ClassVar[tuple[str, ...]]
    max_axes: ClassVar[int] = 3
    holds_world_geometry: ClassVar[bool] = False

    @abstractmethod
    def read(self, path: Path) -> StoredImage:
        """Return the image with 2 or 3 axes and at least one channel."""

    def read_labels(self, path: Path) -> StoredImage:
        """Return a label file; differs from `read` where a format stores labels in its own way."""
        return self.read(path)

    @abstractmethod
    def read_header(self, path: Path) -> Header:
        """Return shape and channels, without the voxels where the format allows."""

    @abstractmethod
    def write(self, labels: LabelArray, geometry: Geometry, path: Path) -> None:
        """Write a label map, whole or not at all.

        Args:
            labels: Unsigned values in stored orientation, `geometry.num_axes` axes.
            geometry: Kept exactly, as far as the format knows geometry.
            path: Ends with one of `label_endings`; its folder exists.
        """

    @abstractmethod
    def knows_geometry(self, path: Path) -> bool:
        """Return whether the file says how large its voxels are."""

    def num_replaced(self, path: Path) -> int:
        """Return how many NaN and infinite values `read` silently makes finite; most: none."""
        del path
        return 0

    def companion_files(self, path: Path) -> tuple[Path, ...]:
        """Return the other files that belong to `path`, e.g. a side-car; only existing ones."""
        del path
        return ()


READERS: Family[Reader] = Family("reader")
