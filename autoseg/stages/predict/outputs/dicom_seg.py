"""DICOM segmentations (SEG) with one binary segment per class or region.

Source: DICOM PS3.3 2024, A.51 (Segmentation IOD).
"""

import warnings
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from autoseg.core.atomic_write import atomic_write
from autoseg.core.errors import MissingPackage
from autoseg.datasets.inputs import InputCase
from autoseg.documents.dicom_codes import ClassCodes, DicomCode
from autoseg.readers.dicom_series import Dataset
from autoseg.stages.predict.outputs.base import CasePrediction
from autoseg.stages.predict.outputs.dicom_source import (
    MANUFACTURER,
    UTF_8,
    DicomOutput,
    SourceSeries,
    Structure,
    stored_volume,
)

SERIES_NUMBER = 900

REQUIRED = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber"),
    *("StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)
"""Attributes that files must have, though they may be empty; anonymised ones may lack them."""


def import_highdicom() -> Any:  # noqa: ANN401  (a module)
    """Import highdicom.

    Raises:
        MissingPackage: If it is not installed.
    """
    try:
        return import_module("highdicom")
    except ModuleNotFoundError as error:
        raise MissingPackage(
            "DICOM segmentations need the package highdicom. Install it with: "
            'pip install "autoseg[dicom]".'
        ) from error


@dataclass(frozen=True)
class DicomSegOutput(DicomOutput):
    """`dicom_seg/CASE.dcm`."""

    def __post_init__(self) -> None:
        """Check that the package is installed before anything is predicted."""
        import_highdicom()

    @override
    def paths(self, case: InputCase) -> tuple[Path, ...]:
        return (self.folder / "dicom_seg" / f"{case.name}.dcm",)

    @override
    def write(self, prediction: CasePrediction) -> None:
        series = SourceSeries.of(prediction.case.images[0])
        structures = self.structures(prediction)
        if self.plan.labels.regions:  # which may overlap
            pixels = np.stack([each.mask() for each in structures], axis=-1).astype(np.uint8)
        else:
            pixels = self.plan.labels.encode(stored_volume(prediction.values, prediction.image))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about values of the source that are copied
            dataset = _segmentation(series, structures, pixels)
        (path,) = self.paths(prediction.case)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            dataset.save_as(temporary, enforce_file_format=True)


def _segmentation(
    series: SourceSeries, structures: tuple[Structure, ...], pixels: NDArray[np.generic]
) -> Dataset:
    """Return the file.

    Args:
        series: The source.
        structures: The segments.
        pixels: Slices, rows and columns: the number of the segment of each pixel; or masks of all
            segments along a last axis.
    """
    if series.is_multi_frame:
        pixels = pixels[np.argsort([plane.frame for plane in series.planes])]
    highdicom = import_highdicom()
    for dataset in series.datasets:
        for keyword in REQUIRED:
            dataset.setdefault(keyword, None)
        dataset.SpecificCharacterSet = UTF_8
    return highdicom.seg.Segmentation(
        source_images=[series.first] if series.is_multi_frame else list(series.datasets),
        pixel_array=np.ascontiguousarray(pixels),
        segmentation_type="BINARY",
        segment_descriptions=[
            _description(structure, number) for number, structure in enumerate(structures, 1)
        ],
        series_instance_uid=highdicom.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=version("autoseg"),
        device_serial_number="1",
        content_label="SEGMENTATION",
        content_description="automatic segmentation",
        series_description="autoseg segmentation",
    )


def _description(structure: Structure, number: int) -> Any:  # noqa: ANN401  (untyped)
    highdicom = import_highdicom()
    from pydicom.sr.codedict import codes

    own = structure.codes or ClassCodes()
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=structure.name,
        segmented_property_category=_code(own.category),
        segmented_property_type=_code(own.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=MANUFACTURER,
            version=version("autoseg"),
            family=codes.cid7162.ArtificialIntelligence,
        ),
        tracking_uid=highdicom.UID(),
        tracking_id=structure.name,
        display_color=highdicom.color.CIELabColor(*_lab(number - 1)),
    )


def _lab(index: int) -> tuple[float, float, float]:
    """Return the colour of a class in CIELab."""
    from skimage.color import rgb2lab

    from autoseg.core.colours import class_colour, colour_values

    lightness, red, blue = rgb2lab(np.array([[colour_values(class_colour(index))]]))[0, 0]
    return float(lightness), float(red), float(blue)


def _code(code: DicomCode) -> Any:  # noqa: ANN401  (untyped)
    return import_highdicom().sr.CodedConcept(code.value, code.scheme, code.meaning)
