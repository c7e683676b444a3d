"""DICOM structure sets (RTSTRUCT) with closed contours per slice.

A contour is half a pixel outside of the centres of the outermost pixels. A hole is a contour of its
own within another one, with the opposite direction.

Source: DICOM PS3.3 2024, A.19 (RT Structure Set IOD), C.8.8.5 (Structure Set Module) and C.8.8.6
(ROI Contour Module).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from autoseg.core.arrays import MaskArray
from autoseg.core.atomic_write import atomic_write
from autoseg.core.colours import class_colour, colour_values
from autoseg.datasets.inputs import InputCase
from autoseg.documents.dicom_codes import DicomCode
from autoseg.readers.dicom_planes import Plane
from autoseg.readers.dicom_series import Dataset, import_pydicom
from autoseg.stages.predict.outputs.base import CasePrediction
from autoseg.stages.predict.outputs.dicom_source import (
    MANUFACTURER,
    UTF_8,
    DicomOutput,
    SourceSeries,
    Structure,
)

COPIED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("PatientAge", "PatientWeight", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID"),
    *("StudyDescription", "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID"),
)
"""Attributes of patient and study."""

OPTIONAL = ("PatientAge", "PatientWeight", "StudyDescription")
"""Those that files may lack; the others may be empty."""

LABEL = "autoseg"


@dataclass(frozen=True)
class RtstructOutput(DicomOutput):
    """`dicom_rtstruct/CASE.dcm`."""

    @override
    def paths(self, case: InputCase) -> tuple[Path, ...]:
        return (self.folder / "dicom_rtstruct" / f"{case.name}.dcm",)

    @override
    def write(self, prediction: CasePrediction) -> None:
        series = SourceSeries.of(prediction.case.images[0])
        dataset = _structure_set(series, self.structures(prediction))
        (path,) = self.paths(prediction.case)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            dataset.save_as(temporary, enforce_file_format=True)


def _structure_set(series: SourceSeries, structures: tuple[Structure, ...]) -> Dataset:
    dataset = _new_file(series.first)
    dataset.StructureSetLabel = LABEL
    dataset.StructureSetDate, dataset.StructureSetTime = dataset.SeriesDate, dataset.SeriesTime
    dataset.ReferencedFrameOfReferenceSequence = [_frame_of_reference(series)]
    dataset.StructureSetROISequence = []
    dataset.ROIContourSequence = []
    dataset.RTROIObservationsSequence = []
    for number, structure in enumerate(structures, start=1):
        colour = [round(255 * value) for value in colour_values(class_colour(number - 1))]
        dataset.StructureSetROISequence.append(
            _item(
                ROINumber=number,
                ReferencedFrameOfReferenceUID=series.first.FrameOfReferenceUID,
                ROIName=structure.name,
                ROIGenerationAlgorithm="AUTOMATIC",
                ROIGenerationDescription=f"{MANUFACTURER} {version('autoseg')}",
            )
        )
        contours = list(_contours(structure, series))
        region = _item(ReferencedROINumber=number, ROIDisplayColor=colour)
        if contours:
            region.ContourSequence = contours
        dataset.ROIContourSequence.append(region)
        observation = _item(
            ObservationNumber=number,
            ReferencedROINumber=number,
            RTROIInterpretedType="",
            ROIInterpreter="",
        )
        if structure.codes is not None:
            observation.RTROIIdentificationCodeSequence = [_code(structure.codes.type)]
        dataset.RTROIObservationsSequence.append(observation)
    return dataset


def _new_file(source: Dataset) -> Dataset:
    """Return a file of the patient and study of a slice, without structures."""
    import_pydicom()
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = UTF_8
    for keyword in COPIED:
        if keyword in source:
            dataset[keyword] = source[keyword]
        elif keyword not in OPTIONAL:
            setattr(dataset, keyword, None)
    dataset.PositionReferenceIndicator = source.get("PositionReferenceIndicator")
    now = datetime.now().astimezone()
    dataset.SOPClassUID, dataset.SOPInstanceUID = (
        RTStructureSetStorage,
        meta["MediaStorageSOPInstanceUID"].value,
    )
    dataset.SeriesInstanceUID, dataset.Modality = generate_uid(), "RTSTRUCT"
    dataset.SeriesDescription, dataset.SeriesNumber = "autoseg structures", None
    dataset.SeriesDate = dataset.InstanceCreationDate = now.strftime("%Y%m%d")
    dataset.SeriesTime = dataset.InstanceCreationTime = now.strftime("%H%M%S")
    dataset.Manufacturer = dataset.ManufacturerModelName = MANUFACTURER
    dataset.SoftwareVersions, dataset.OperatorsName = version("autoseg"), None
    dataset.ApprovalStatus = "UNAPPROVED"
    return dataset


def _frame_of_reference(series: SourceSeries) -> Dataset:
    """Return the coordinate system, with the study, the series and its slices."""
    first = series.first
    images = [
        _image(series, number)
        for number in range(1 if series.is_multi_frame else len(series.planes))
    ]
    if series.is_multi_frame:
        del images[0].ReferencedFrameNumber  # all frames
    referenced = _item(SeriesInstanceUID=first.SeriesInstanceUID, ContourImageSequence=images)
    study = _item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",  # a study (retired, but expected)
        ReferencedSOPInstanceUID=first.StudyInstanceUID,
        RTReferencedSeriesSequence=[referenced],
    )
    return _item(FrameOfReferenceUID=first.FrameOfReferenceUID, RTReferencedStudySequence=[study])


def _image(series: SourceSeries, number: int) -> Dataset:
    """Return the reference to a slice."""
    dataset = series.datasets[number]
    image = _item(
        ReferencedSOPClassUID=dataset.SOPClassUID, ReferencedSOPInstanceUID=dataset.SOPInstanceUID
    )
    if series.is_multi_frame:
        image.ReferencedFrameNumber = series.planes[number].frame + 1
    return image


def _contours(structure: Structure, series: SourceSeries) -> Iterator[Dataset]:
    mask = structure.mask()
    for number in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        for ring in outlines(mask[number]):
            points = _positions(ring, series.planes[number])
            yield _item(
                ContourImageSequence=[_image(series, number)],
                ContourGeometricType="CLOSED_PLANAR",
                NumberOfContourPoints=len(points),
                ContourData=[f"{value:.4f}" for value in points.ravel()],
            )


def outlines(mask: MaskArray) -> list[NDArray[np.float64]]:
    """Return closed contours around the pixels of a slice and of its holes.

    Args:
        mask: The pixels.

    Returns:
        Points (row, column) of each contour, the last of which is not the first one again; only
        the ends of straight lines.
    """
    from skimage.measure import find_contours

    rings = []
    for found in find_contours(np.pad(mask, 1).astype(np.float32), 0.5):
        ring = found[:-1] - 1
        steps = ring - np.roll(ring, 1, axis=0)
        turns = np.cross(steps, np.roll(steps, -1, axis=0))
        rings.append(ring[np.abs(turns) > 1e-9])
    return rings


def _positions(ring: NDArray[np.float64], plane: Plane) -> NDArray[np.float64]:
    """Convert rows and columns to patient coordinates (x, y, z), mm."""
    across, down = plane.directions
    rows, columns = plane.spacing
    return np.asarray(plane.position + ring[:, :1] * rows * down + ring[:, 1:] * columns * across)


def _item(**attributes: Any) -> Dataset:  # noqa: ANN401  (values of any type)
    item: Dataset = import_pydicom().Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def _code(code: DicomCode) -> Dataset:
    return _item(CodeValue=code.value, CodingSchemeDesignator=code.scheme, CodeMeaning=code.meaning)
