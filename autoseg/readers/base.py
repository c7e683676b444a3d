"""Base class of readers, which load and save the files of one family of formats."""

from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray
from autoseg.core.geometry import Geometry
from autoseg.core.registry import Component, Family
from autoseg.readers.segments import Segment

StoredArray = Shaped[np.ndarray, "channels *space"]


@dataclass(frozen=True)
class StoredImage:
    """An image as stored in its file, in the stored orientation and data type.

    Attributes:
        voxels: Channels first, then the axes in array order.
        geometry: Spacing, origin and direction; plain if the format does not store them.
        forms: Forms of a NIfTI header; None for other formats.
        palette: Colours `(256, 3)` of the numbers in a label file that has a palette.
        segments: Named structures of a segmentation program's file; empty for other files.
        has_fourth_axis: Whether the channels are a fourth axis of the file, such as that of time.
    """

    voxels: StoredArray
    geometry: Geometry
    forms: Any = None
    palette: NDArray[np.uint8] | None = None
    segments: tuple[Segment, ...] = ()
    has_fourth_axis: bool = False


@dataclass(frozen=True)
class Header:
    """Shape and channels of a file, read without its voxels.

    Attributes:
        shape: Shape in voxels, stored array order; a single slice of a 3-D format has 2 axes.
        num_channels: Number of channels in this file.
        has_fourth_axis: Whether the channels are a fourth axis of the file, such as that of time.
        voxel_bytes: Bytes per voxel and channel in memory, at most those of float32.
    """

    shape: tuple[int, ...]
    num_channels: int
    has_fourth_axis: bool = False
    voxel_bytes: int = field(default=4, compare=False)


class Reader(Component):
    """Reads and writes one family of file formats.

    Methods may raise any exception of the format's library. The functions of `reading` convert it
    to a `CaseError` that names the file.

    Attributes:
        endings: File extensions of the formats, lower case, with the dot.
        label_endings: Extensions that label maps are written with.
        max_axes: Maximum number of spatial axes; 2 for formats of 2-D images.
        holds_world_geometry: Whether the formats store origin and direction.
        holds_opacity: Whether the last of 2 or 4 channels is an opacity.
        container: Whether a file or a folder holds any number of images, which have paths inside
            of it, such as `case.h5/raw`; empty for formats of one image per file.
        package: Module that reads the formats, if autoseg needs an extra for it.
        extra: That extra.
        replacement_ending: Extension of label maps for images of which `label_endings` lacks the
            extension.
    """

    endings: ClassVar[tuple[str, ...]]
    label_endings: ClassVar[tuple[str, ...]]
    max_axes: ClassVar[int] = 3
    holds_world_geometry: ClassVar[bool] = False
    holds_opacity: ClassVar[bool] = False
    container: ClassVar[Literal["", "file", "folder"]] = ""
    package: ClassVar[str] = ""
    extra: ClassVar[str] = ""
    replacement_ending: ClassVar[str] = ".png"

    @abstractmethod
    def read(self, path: Path) -> StoredImage:
        """Read an image with 2 or 3 axes and at least one channel."""

    def read_labels(self, path: Path) -> StoredImage:
        """Read a label map; override if the format stores labels differently from images."""
        return self.read(path)

    @abstractmethod
    def read_header(self, path: Path) -> Header:
        """Read shape and channels, without the voxels if the format allows."""

    @abstractmethod
    def write(self, labels: LabelArray, geometry: Geometry, path: Path) -> None:
        """Write a label map atomically.

        Args:
            labels: Unsigned values in stored orientation, `geometry.num_axes` axes.
            geometry: Geometry to write exactly, as far as the format can store it.
            path: Output file with one of `label_endings`, in an existing folder.
        """

    @abstractmethod
    def knows_geometry(self, path: Path) -> bool:
        """Return True if the file stores its spacing."""

    def is_lossy(self, path: Path) -> bool:
        """Return True if the file's compression alters values."""
        del path
        return False

    def segments(self, path: Path) -> tuple[Segment, ...]:
        """Return the named structures of a label file; empty if it names none."""
        del path
        return ()

    def companion_files(self, path: Path) -> tuple[Path, ...]:
        """Return the existing files that belong to `path`, e.g. a sidecar file."""
        del path
        return ()

    def exists(self, path: Path) -> bool:
        """Return True if the file exists, or the container of an image."""
        return path.is_file()

    def images_in(self, path: Path) -> tuple[str, ...]:
        """Return the images that a file holds, sorted: their paths inside of a container.

        An empty path is the file itself.
        """
        del path
        return ("",)

    def storage(self, path: Path) -> tuple[Path, ...]:
        """Return the files and folders that hold an image; they change if the image does."""
        return (path, *self.companion_files(path))


READERS: Family[Reader] = Family("reader")
