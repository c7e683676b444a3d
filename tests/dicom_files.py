"""Small DICOM files for tests."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pack_bits
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    RTStructureSetStorage,
    SegmentationStorage,
)

ORIGIN, SPACING, THICKNESS = (-10.0, -12.0, 5.0), (0.9, 0.7), 2.5
"""Position of the first pixel (x, y, z), distance of rows and columns, and of slices, mm."""


def new_file(sop_class: str, instance: str, series: str, **attributes: Any) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID, data.SeriesInstanceUID = sop_class, instance, series
    data.StudyInstanceUID, data.FrameOfReferenceUID, data.PatientID = "1.1", "1.2", "P"
    for name, value in attributes.items():
        setattr(data, name, value)
    return data


def add_pixels(data: Dataset, pixels: NDArray[Any]) -> None:
    data.Rows, data.Columns = pixels.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 * pixels.dtype.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()


def slices(
    volume: NDArray[Any], *, series: str = "1.3", positions: Sequence[Any] = (), **attributes: Any
) -> list[FileDataset]:
    """One data set per slice; `positions` are (x, y, z) of the slices instead of even ones."""
    made = []
    for number, pixels in enumerate(volume):
        data = new_file(CTImageStorage, f"{series}.{number + 1}", series, Modality="CT")
        x, y, z = ORIGIN
        position = positions[number] if len(positions) else (x, y, z + number * THICKNESS)
        data.ImagePositionPatient = list(map(float, position))
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness = list(SPACING), THICKNESS
        data.InstanceNumber = number + 1
        for name, value in attributes.items():
            setattr(data, name, value)
        add_pixels(data, pixels)
        made.append(data)
    return made


def save(data: Iterable[FileDataset], folder: Path, name: str = "{}.dcm") -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, one in enumerate(data):
        paths.append(folder / name.format(number))
        one.save_as(paths[-1], enforce_file_format=True)
    return paths


def compressed(data: FileDataset, syntax: str, frames: list[bytes]) -> FileDataset:
    data.file_meta.TransferSyntaxUID = syntax
    data.PixelData = encapsulate(frames)
    data["PixelData"].VR = "OB"
    return data


def _item(**attributes: Any) -> Dataset:
    item = Dataset()
    for name, value in attributes.items():
        setattr(item, name, value)
    return item


def _frames(data: FileDataset, heights: Sequence[float], extra: Sequence[dict[str, Any]]) -> None:
    measures = _item(PixelSpacing=list(SPACING), SliceThickness=THICKNESS)
    orientation = _item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    data.SharedFunctionalGroupsSequence = [
        _item(PixelMeasuresSequence=[measures], PlaneOrientationSequence=[orientation])
    ]
    data.NumberOfFrames = len(heights)
    data.PerFrameFunctionalGroupsSequence = [
        _item(
            PlanePositionSequence=[_item(ImagePositionPatient=[ORIGIN[0], ORIGIN[1], float(z)])],
            **{name: [_item(**values)] for name, values in more.items()},
        )
        for z, more in zip(heights, extra, strict=True)
    ]


def multi_frame(
    volume: NDArray[Any], heights: Sequence[float], slopes: Sequence[float]
) -> FileDataset:
    data = new_file(EnhancedCTImageStorage, "1.4.1", "1.4", Modality="CT")
    groups = [
        {"PixelValueTransformationSequence": {"RescaleSlope": slope, "RescaleIntercept": -10}}
        for slope in slopes
    ]
    _frames(data, heights, groups)
    add_pixels(data, volume)
    return data


def segmentation(
    masks: dict[str, NDArray[Any]], *, series: str = "1.3", instance: str = "1.5.1"
) -> FileDataset:
    """A binary SEG that leaves out empty frames; masks are slices, rows, columns."""
    data = new_file(SegmentationStorage, instance, "1.5", Modality="SEG")
    data.SegmentationType = "BINARY"
    data.ReferencedSeriesSequence = [_item(SeriesInstanceUID=series)]
    data.SegmentSequence = [
        _item(SegmentNumber=number, SegmentLabel=name) for number, name in enumerate(masks, 1)
    ]
    found = [
        (number, place, plane)
        for number, mask in enumerate(masks.values(), 1)
        for place, plane in enumerate(mask)
        if plane.any()
    ]
    groups = [
        {"SegmentIdentificationSequence": {"ReferencedSegmentNumber": number}}
        for number, _, _ in found
    ]
    _frames(data, [ORIGIN[2] + place * THICKNESS for _, place, _ in found], groups)
    pixels = np.stack([plane for _, _, plane in found]).astype(np.uint8)
    add_pixels(data, pixels)
    data.BitsAllocated = data.BitsStored = 1
    data.HighBit = 0
    data.PixelData = pack_bits(pixels)
    return data


def structure_set(
    contours: dict[str, Sequence[NDArray[Any]]], *, series: str = "1.3", instance: str = "1.6.1"
) -> FileDataset:
    """An RTSTRUCT; contours are points (x, y, z) in mm."""
    data = new_file(RTStructureSetStorage, instance, "1.6", Modality="RTSTRUCT")
    study = _item(RTReferencedSeriesSequence=[_item(SeriesInstanceUID=series)])
    data.ReferencedFrameOfReferenceSequence = [_item(RTReferencedStudySequence=[study])]
    data.StructureSetROISequence, data.ROIContourSequence = [], []
    for number, (name, rings) in enumerate(contours.items(), 1):
        data.StructureSetROISequence.append(_item(ROINumber=number, ROIName=name))
        items = [
            _item(
                ContourGeometricType="CLOSED_PLANAR",
                NumberOfContourPoints=len(ring),
                ContourData=[f"{value:.4f}" for value in np.ravel(ring)],
            )
            for ring in rings
        ]
        data.ROIContourSequence.append(_item(ReferencedROINumber=number, ContourSequence=items))
    return data
