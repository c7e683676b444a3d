"""DICOM series, multi-frame images and radiographs."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from autoseg.core.arrays import LabelArray
from autoseg.core.errors import CaseError
from autoseg.core.formatting import format_shape, printable
from autoseg.core.geometry import Geometry
from autoseg.readers.base import READERS, Header, Reader, StoredArray, StoredImage
from autoseg.readers.dicom_planes import (
    UNREADABLE_ADVICE,
    Plane,
    find_value,
    grid_of,
    planes_of,
    series_planes,
)
from autoseg.readers.dicom_series import ENDINGS, Dataset, files_of_series, load
from autoseg.readers.limits import check_size

IMAGER_SPACING = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""Attributes with the pixel spacing of radiographs."""


POSITIONS = ("ImagePositionPatient", "PerFrameFunctionalGroupsSequence")
"""Attributes of images with positions."""


@READERS.register
class DicomReader(Reader):
    """Volumes of slices, one per file or several per file, and radiographs.

    Any file of a series stands for the whole series, whose files are in the same folder. Slices
    are sorted by their positions. Stored values are converted to the units of the modality
    (Hounsfield units in CT) with the rescale slope of each slice.
    """

    kind: Literal["dicom"] = "dicom"
    endings: ClassVar[tuple[str, ...]] = ENDINGS
    label_endings: ClassVar[tuple[str, ...]] = ()
    replacement_ending: ClassVar[str] = ".nii.gz"
    package: ClassVar[str] = "pydicom"
    extra: ClassVar[str] = "dicom"
    holds_world_geometry: ClassVar[bool] = True

    @override
    def read(self, path: Path) -> StoredImage:
        first = load(path)
        _check_image(first)
        if not _has_positions(first):
            geometry = _radiograph_geometry(first)
            return StoredImage(_decoded(path)[:, 0], geometry)
        planes = series_planes(path)
        return StoredImage(_volume(planes), grid_of(planes))

    @override
    def read_header(self, path: Path) -> Header:
        first = load(path)
        _check_image(first)
        channels = int(first.get("SamplesPerPixel", 1))
        if "PALETTE" in str(first.get("PhotometricInterpretation")):
            channels = 3
        plane = (int(first.Rows), int(first.Columns))
        number = max(len(files_of_series(path)), int(first.get("NumberOfFrames") or 1))
        return Header(plane if number == 1 else (number, *plane), channels)

    @override
    def write(self, labels: LabelArray, geometry: Geometry, path: Path) -> None:
        raise NotImplementedError("label maps are not written as DICOM")

    @override
    def knows_geometry(self, path: Path) -> bool:
        header = load(path, tags=[*IMAGER_SPACING, *POSITIONS])
        return any(keyword in header for keyword in (*IMAGER_SPACING, *POSITIONS))

    @override
    def is_lossy(self, path: Path) -> bool:
        return str(load(path, tags=["LossyImageCompression"]).get("LossyImageCompression")) == "01"


def _check_image(dataset: Dataset) -> None:
    """Check that a file holds an image.

    Raises:
        ValueError: If it holds something else, such as contours or a report.
    """
    modality = str(dataset.get("Modality") or "")
    if not modality and "SOPClassUID" not in dataset and "Rows" not in dataset:
        raise ValueError("it is not a DICOM file, or it lacks its header")
    if modality == "SEG" or "Rows" not in dataset or "Columns" not in dataset:
        raise ValueError(f"it is a DICOM file of the modality {modality}; expected an image")
    keys = ("NumberOfFrames", "SamplesPerPixel", "Rows", "Columns")
    shape = [int(dataset.get(key) or (0 if key in keys[2:] else 1)) for key in keys]
    item_bytes = max(int(dataset.get("BitsAllocated") or 8) // 8, 1)
    check_size(shape, item_bytes, lambda: [Path(dataset.filename).stat().st_size])


def _has_positions(dataset: Dataset) -> bool:
    return any(keyword in dataset for keyword in POSITIONS)


def _radiograph_geometry(dataset: Dataset) -> Geometry:
    """Return the geometry of an image without a position.

    Raises:
        ValueError: If it has several frames.
    """
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        planes_of(Path(), dataset)  # raises
    spacing = next((dataset.get(key) for key in IMAGER_SPACING if dataset.get(key)), (1.0, 1.0))
    return Geometry.plain((float(spacing[0]), float(spacing[1])))


def _volume(planes: list[Plane]) -> StoredArray:
    """Return the voxels of sorted slices.

    Raises:
        ValueError: If slices differ in size.
    """
    decoded: dict[Path, NDArray[np.generic]] = {}
    slices = []
    for plane in planes:
        if plane.path not in decoded:
            decoded = {plane.path: _decoded(plane.path)}  # frames of one file follow each other
        slices.append(decoded[plane.path][:, plane.frame])
    shapes = {one.shape: plane for one, plane in zip(slices, planes, strict=True)}
    if len(shapes) > 1:
        (shape, first), (other, second) = list(shapes.items())[:2]
        raise ValueError(
            f"its slices have different sizes, for example {first.name} ({format_shape(shape)}) "
            f"and {second.name} ({format_shape(other)}); expected one volume per series"
        )
    return np.stack(slices, axis=1)


def _decoded(path: Path) -> NDArray[np.generic]:
    """Return the pixels of a file in units of its modality, `channels frames rows columns`.

    Raises:
        CaseError: If they cannot be decoded, with the name of the file.
    """
    dataset = load(path, pixels=True)
    try:
        return _in_units(dataset)
    except Exception as error:
        cause = (
            "its compressed pixels are damaged" if "gdcm" in str(error) else printable(str(error))
        )
        raise CaseError(f"{path} cannot be read: {cause}. {UNREADABLE_ADVICE}") from error


def _in_units(dataset: Dataset) -> NDArray[np.generic]:
    """Return pixels in units of the modality.

    Palettes are replaced by their colours. In radiographs of which 0 is white, white is the largest
    value, as in viewers; values of slices have a unit and stay.
    """
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
    from pydicom.uid import ImplicitVRLittleEndian

    dataset.file_meta.setdefault("TransferSyntaxUID", ImplicitVRLittleEndian)  # in old files
    stored = dataset.pixel_array
    interpretation = str(dataset.get("PhotometricInterpretation"))
    is_inverted = interpretation == "MONOCHROME1" and not _has_positions(dataset)
    table = (dataset.get("ModalityLUTSequence") or [None])[0]
    if is_inverted and table is None:
        white = -1 if dataset.get("PixelRepresentation") else (1 << int(dataset.BitsStored)) - 1
        stored = np.asarray(white - stored.astype(np.int32))
    if "PALETTE" in interpretation:
        stored = apply_color_lut(stored, dataset)
    is_colour = interpretation.startswith(("RGB", "YBR", "PALETTE"))
    frames = stored.reshape(-1, *stored.shape[-3 if is_colour else -2 :])
    voxels = np.moveaxis(frames, -1, 0) if is_colour else frames[None]
    if table is None:
        return _rescaled(voxels, dataset)
    found = np.asarray(apply_modality_lut(voxels, dataset))
    return np.asarray((1 << int(table.LUTDescriptor[2])) - 1 - found) if is_inverted else found


def _rescaled(voxels: NDArray[np.generic], dataset: Dataset) -> NDArray[np.generic]:
    """Apply the rescale slope and intercept of the file, or those of each frame."""
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or [None]
    keys = ("RescaleSlope", "RescaleIntercept")
    found = [[find_value(key, frame, shared, dataset) for key in keys] for frame in frames]
    scales = [
        (1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept))
        for slope, intercept in found
    ]
    if set(scales) == {(1.0, 0.0)}:
        return voxels
    slopes, intercepts = np.asarray(scales, np.float32).T[:, :, None, None]
    return np.asarray(voxels * slopes + intercepts)
