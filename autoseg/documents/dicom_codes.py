"""Codes of classes in DICOM files, from a file of the user."""

from typing import Annotated, ClassVar

from pydantic import Field

from autoseg.core.frozen import Frozen
from autoseg.documents.document import Document

Text = Annotated[str, Field(min_length=1, max_length=64)]
"""Text of DICOM's value representation LO."""


class DicomCode(Frozen):
    """A concept of a coding scheme.

    Attributes:
        value: Code, such as `10200004`.
        scheme: Coding scheme, such as `SCT` (SNOMED CT).
        meaning: What it stands for, such as `Liver`.
    """

    value: Annotated[str, Field(min_length=1, max_length=16)]
    scheme: Annotated[str, Field(min_length=1, max_length=16)]
    meaning: Text


TISSUE = DicomCode(value="85756007", scheme="SCT", meaning="Tissue")
"""Category and type of classes without codes, as in 3D Slicer."""


class ClassCodes(Frozen):
    """Codes of one class or region.

    Attributes:
        category: Property category, such as `Anatomical Structure`.
        type: Property type, such as `Liver`.
    """

    category: DicomCode = TISSUE
    type: DicomCode = TISSUE


class DicomCodes(Document):
    """Codes by the names of classes or regions.

    Attributes:
        classes: Codes of each class; the others have the general code of a tissue.
    """

    MADE_BY: ClassVar[str] = "a text editor"
    classes: dict[str, ClassCodes] = Field(default_factory=dict)
