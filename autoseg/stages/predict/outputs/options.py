"""Which files `autoseg predict` writes."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class DicomKind(StrEnum):
    """DICOM objects: segmentation (SEG), or structure set of contours (RTSTRUCT)."""

    SEG = "seg"
    RTSTRUCT = "rtstruct"


@dataclass(frozen=True)
class OutputOptions:
    """Files to write in addition to label maps, and the format of the label maps.

    Attributes:
        ending: Ending of the label maps, such as `.nrrd`; empty for that of the image.
        file_per_class: Whether to write a mask per class, too.
        probabilities: Whether to write the probabilities of all classes.
        uncertainty: Whether to write the entropy of the probabilities.
        statistics: Whether to measure the structures of each case, and write tables of all.
        preview: Whether to draw a picture of each case.
        dicom: DICOM objects to write for images that are DICOM series.
        dicom_codes: JSON file with the codes of classes in DICOM objects; None for general ones.
    """

    ending: str = ""
    file_per_class: bool = False
    probabilities: bool = False
    uncertainty: bool = False
    statistics: bool = False
    preview: bool = False
    dicom: tuple[DicomKind, ...] = ()
    dicom_codes: Path | None = None
