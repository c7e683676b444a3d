"""OME-Zarr (NGFF), and other arrays in Zarr folders."""

from importlib import import_module
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from typing_extensions import override

from autoseg.core.arrays import LabelArray
from autoseg.core.errors import CaseError, MissingPackage
from autoseg.core.geometry import Geometry
from autoseg.readers.array_axes import channels_first, header_of
from autoseg.readers.base import READERS, Header, Reader, StoredImage
from autoseg.readers.limits import check_chunks, check_limit
from autoseg.readers.names import missing_package, only_image, split_container
from autoseg.readers.storage import files_in
from autoseg.readers.zarr_folder import (
    METADATA_FILES,
    ZarrImage,
    check_codecs,
    find_image,
    image_names,
    read_node,
)


@READERS.register
class OmeZarrReader(Reader):
    """Images in Zarr folders of version 2 and 3, as napari, Fiji and others store them.

    The path of an image of OME-Zarr is that of its group, such as `case.zarr` and
    `case.zarr/labels/nuclei`; it is read at full resolution. That of another array is
    `case.zarr/raw`, or `case.zarr` if it is the only one.
    """

    kind: Literal["ome_zarr"] = "ome_zarr"
    endings: ClassVar[tuple[str, ...]] = (".zarr", ".ome.zarr")
    label_endings: ClassVar[tuple[str, ...]] = ()
    container: ClassVar[Literal["", "file", "folder"]] = "folder"
    package: ClassVar[str] = "zarr"
    extra: ClassVar[str] = "zarr"
    replacement_ending: ClassVar[str] = ".tif"

    @override
    def read(self, path: Path) -> StoredImage:
        image = _image(path)
        check_codecs(image.array.array)
        if sentence := missing_package(".zarr"):
            raise MissingPackage(f"{path} cannot be read: {sentence}")
        array = import_module("zarr").open_array(str(image.array.folder), mode="r")
        check_limit(array.shape, array.dtype.itemsize)
        chunks = array.shards or array.chunks
        sizes = (entry.stat().st_size for entry in files_in(image.array.folder))
        check_chunks(array.shape, chunks, array.dtype.itemsize, sizes)
        voxels = channels_first(np.asarray(array[...]), image.axes)
        plain = Geometry.plain((1.0,) * (voxels.ndim - 1))
        return StoredImage(voxels, image.geometry or plain)

    @override
    def read_header(self, path: Path) -> Header:
        image = _image(path)
        check_limit(image.array.shape, image.array.data_type.itemsize)
        return header_of(image.array.shape, image.axes)

    @override
    def write(self, labels: LabelArray, geometry: Geometry, path: Path) -> None:
        raise CaseError(f"{path} cannot be written: label maps are not saved as Zarr. Save a .tif.")

    @override
    def knows_geometry(self, path: Path) -> bool:
        return _image(path).geometry is not None

    @override
    def exists(self, path: Path) -> bool:
        return path.exists()

    @override
    def images_in(self, path: Path) -> tuple[str, ...]:
        return image_names(path)

    @override
    def storage(self, path: Path) -> tuple[Path, ...]:
        try:
            image = _image(path)
        except (CaseError, ValueError):  # reading the image will raise the error
            return (path,)
        metadata = [image.group / name for name in METADATA_FILES]
        return (image.array.folder, *filter(Path.is_file, metadata))


def _image(path: Path) -> ZarrImage:
    """Return the image of a path.

    Raises:
        CaseError: If the path is that of a folder with several images.
        ValueError: If there is no image, or its metadata is damaged.
    """
    _, inner = split_container(path)
    try:
        node = read_node(path)
        if not inner and node is not None and not (node.array or node.multiscales):
            return find_image(path / only_image(path, image_names(path)))
        return find_image(path)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"its metadata is not that of OME-Zarr or Zarr ({error!r})") from error
