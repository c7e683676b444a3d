"""HDF5 files, of which each dataset with at least two axes may be an image."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from typing_extensions import override

from autoseg.core.arrays import LabelArray
from autoseg.core.errors import CaseError, MissingPackage
from autoseg.core.formatting import format_names
from autoseg.core.geometry import Geometry
from autoseg.core.json_text import parse_json
from autoseg.readers.array_axes import (
    SPACE,
    axes_of,
    channels_first,
    geometry_in_attributes,
    header_of,
    is_image,
)
from autoseg.readers.base import READERS, Header, Reader, StoredImage
from autoseg.readers.limits import check_chunks, check_limit
from autoseg.readers.names import missing_package, only_image, split_container

Hdf5File: TypeAlias = Any
"""An `h5py.File`; h5py is imported only where it is used."""

MAX_DEPTH = 32
"""Greatest depth of groups."""

Dataset: TypeAlias = Any
"""An `h5py.Dataset`."""


@READERS.register
class Hdf5Reader(Reader):
    """Datasets in HDF5 files, as PlantSeg, ilastik and others store volumes of microscopy.

    The path of an image is `case.h5/group/dataset`, or `case.h5` if it is the only one. Links to
    other files are not followed.
    """

    kind: Literal["hdf5"] = "hdf5"
    endings: ClassVar[tuple[str, ...]] = (".h5", ".hdf5", ".hdf")
    label_endings: ClassVar[tuple[str, ...]] = ()
    container: ClassVar[Literal["", "file", "folder"]] = "file"
    package: ClassVar[str] = "h5py"
    extra: ClassVar[str] = "hdf5"
    replacement_ending: ClassVar[str] = ".tif"

    @override
    def read(self, path: Path) -> StoredImage:
        with _opened(path) as file:
            dataset = _dataset(file, path)
            axes, geometry = _axes(dataset), _geometry(dataset)
            voxels = channels_first(np.asarray(dataset[()]), axes)
        plain = Geometry.plain((1.0,) * (voxels.ndim - 1))
        return StoredImage(voxels, geometry or plain)

    @override
    def read_header(self, path: Path) -> Header:
        with _opened(path) as file:
            dataset = _dataset(file, path)
            return header_of(dataset.shape, _axes(dataset))

    @override
    def write(self, labels: LabelArray, geometry: Geometry, path: Path) -> None:
        raise CaseError(f"{path} cannot be written: label maps are not saved as HDF5. Save a .tif.")

    @override
    def knows_geometry(self, path: Path) -> bool:
        with _opened(path) as file:
            return _geometry(_dataset(file, path)) is not None

    @override
    def exists(self, path: Path) -> bool:
        return split_container(path)[0].is_file()

    @override
    def images_in(self, path: Path) -> tuple[str, ...]:
        with _opened(path) as file:
            return _image_names(file)

    @override
    def storage(self, path: Path) -> tuple[Path, ...]:
        return (split_container(path)[0],)


@contextmanager
def _opened(path: Path) -> Iterator[Hdf5File]:
    """Open the file of an image.

    Raises:
        MissingPackage: If h5py is not installed.
    """
    if sentence := missing_package(".h5"):
        raise MissingPackage(f"{path} cannot be read: {sentence}")
    file, _ = split_container(path)
    # some network file systems have no locks
    with import_module("h5py").File(file, "r", locking="best-effort") as opened:
        yield opened


def _image_names(file: Hdf5File) -> tuple[str, ...]:
    """Return the names of datasets that may be images; links are not followed."""
    names: list[str] = []
    dataset_type = import_module("h5py").Dataset

    def visit(name: str, found: object) -> None:
        if name.count("/") >= MAX_DEPTH:
            raise ValueError(f"its groups are more than {MAX_DEPTH} deep")
        if isinstance(found, dataset_type) and is_image(found.shape or (), found.dtype):
            names.append(name)

    file.visititems(visit)
    return tuple(sorted(names))


def _dataset(file: Hdf5File, path: Path) -> Dataset:
    """Return the dataset of a path.

    Raises:
        CaseError: If there is no such dataset, or the path is that of a file with several.
        ValueError: If it does not hold numbers, or is stored in another file.
    """
    h5py = import_module("h5py")
    _, inner = split_container(path)
    found = file
    for name in (inner or only_image(path, _image_names(file))).split("/"):
        link = found.get(name, getlink=True) if isinstance(found, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            names = format_names(_image_names(file)) or "none"
            raise CaseError(
                f"{path} does not exist; images in the file: {names}. Correct the path."
            )
        found = found[name]
    if not (isinstance(found, h5py.Dataset) and is_image(found.shape or (), found.dtype)):
        raise ValueError("it is not an array of numbers with at least 2 axes")
    if found.external or found.is_virtual:
        raise ValueError("its voxels are stored in another file, which is not read. Copy them here")
    check_limit(found.shape, found.dtype.itemsize)
    if found.chunks:
        stored = [found.id.get_storage_size()]
        check_chunks(found.shape, found.chunks, found.dtype.itemsize, stored)
    return found


def _axes(dataset: Dataset) -> str:
    """Return the axes of a dataset, which ilastik may name."""
    return axes_of(dataset.shape, [str(axis["key"]) for axis in _axis_tags(dataset)])


def _axis_tags(dataset: Dataset) -> list[dict[str, Any]]:
    """Return the description of each axis in ilastik's attribute `axistags` (JSON), if any."""
    tags = dataset.attrs.get("axistags")
    return list(parse_json(tags)["axes"]) if tags else []  # type: ignore[index]


def _geometry(dataset: Dataset) -> Geometry | None:
    """Return the voxel size in the attributes, or that in ilastik's axes; 0 there is unknown."""
    attributes, axes = dict(dataset.attrs), _axes(dataset)
    sizes = {
        str(tag["key"]).lower(): float(tag.get("resolution", 0)) for tag in _axis_tags(dataset)
    }
    in_order = [sizes.get(axis, 0.0) for axis in SPACE if axis in axes]
    return geometry_in_attributes(attributes, axes) or geometry_in_attributes(
        {**attributes, "resolution": in_order}, axes
    )
