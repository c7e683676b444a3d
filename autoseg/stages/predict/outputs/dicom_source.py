"""The DICOM series that a prediction belongs to, and what its DICOM outputs share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from autoseg.core.arrays import LabelArray, MaskArray, mask_of
from autoseg.core.case import Image
from autoseg.core.errors import CaseError, DatasetError
from autoseg.core.formatting import format_names, printable
from autoseg.datasets.inputs import InputCase
from autoseg.datasets.recognition.inventory import DICOM_ENDING
from autoseg.documents import store
from autoseg.documents.dicom_codes import ClassCodes, DicomCodes
from autoseg.documents.plan import Plan
from autoseg.readers.dicom_planes import Plane, ordered_planes, planes_of
from autoseg.readers.dicom_series import Dataset, files_of_series, load
from autoseg.stages.predict.outputs.base import CaseOutput, CasePrediction

MANUFACTURER = "autoseg"

UTF_8 = "ISO_IR 192"
"""Character set. Source: DICOM PS3.3, C.12.1.1.2."""

LONGEST_NAME = 64
"""Maximum length of names. Source: DICOM PS3.5, value representation LO."""


@dataclass(frozen=True)
class SourceSeries:
    """The slices of a series.

    Attributes:
        planes: The slices, sorted along their normal.
        datasets: Attributes of the file of each slice, without pixels.
    """

    planes: tuple[Plane, ...]
    datasets: tuple[Dataset, ...]

    @classmethod
    def of(cls, path: Path) -> "SourceSeries":
        """Read the slices of the series that a file belongs to."""
        datasets = {file: load(file) for file in files_of_series(path)}
        for dataset in datasets.values():
            dataset.decode()  # the outputs are in UTF-8, for any name of a class
        planes = ordered_planes(
            [plane for file, dataset in datasets.items() for plane in planes_of(file, dataset)]
        )
        return cls(tuple(planes), tuple(datasets[plane.path] for plane in planes))

    @property
    def first(self) -> Dataset:
        """Attributes of the first slice."""
        return self.datasets[0]

    @property
    def is_multi_frame(self) -> bool:
        """Whether the slices are frames of one file."""
        return "NumberOfFrames" in self.first


@dataclass(frozen=True)
class Structure:
    """A class or region to write.

    Attributes:
        name: Its name, as DICOM can hold it.
        codes: Its codes; None for general ones.
        mask: Its voxels: slices, rows and columns, in the order of `SourceSeries.planes`.
    """

    name: str
    codes: ClassCodes | None
    mask: Callable[[], MaskArray] = field(compare=False)


def load_codes(path: Path | None, plan: Plan) -> DicomCodes:
    """Load the codes of classes.

    Raises:
        DocumentError: If the file is not valid.
        DatasetError: If it names a class that the model does not have.
    """
    if path is None:
        return DicomCodes()
    codes = store.load(DicomCodes, path)
    names = [target.name for target in plan.labels.targets]
    if unknown := sorted(set(codes.classes) - set(names)):
        raise DatasetError(
            f"{path} has codes of {format_names(unknown)}; expected names of the model's classes: "
            f"{format_names(names, 20)}. Correct the names."
        )
    return codes


@dataclass(frozen=True)
class DicomOutput(CaseOutput):
    """A DICOM object per case that refers to the slices of its series.

    Attributes:
        codes: Codes of the classes.
    """

    codes: DicomCodes = field(default_factory=DicomCodes)

    @override
    def check(self, case: InputCase, image: Image) -> None:
        if case.ending != DICOM_ENDING:
            raise CaseError(
                "it is not a DICOM series, so --dicom has no slices to refer to. Predict the "
                "DICOM files, or leave the option out."
            )
        path = case.images[0]
        header = load(path)
        needed = ("FrameOfReferenceUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID")
        missing = [keyword for keyword in needed if not header.get(keyword)]
        if "ImagePositionPatient" not in header and "NumberOfFrames" not in header:
            missing.append("ImagePositionPatient")
        if missing:
            raise CaseError(
                f"its DICOM files lack {format_names(missing)}, to which --dicom has to refer. "
                "Export the series again with it, or leave the option out."
            )
        if "NumberOfFrames" in header and len(files_of_series(path)) > 1:
            raise CaseError(
                "its slices are frames of several files, to which --dicom cannot refer. Export "
                "the series as one file, or as one file per slice."
            )

    def structures(self, prediction: CasePrediction) -> tuple[Structure, ...]:
        """Return the classes or regions of a prediction, each with its mask."""
        stored = stored_volume(prediction.values, prediction.image)
        return tuple(
            Structure(
                " ".join(printable(target.name).split())[:LONGEST_NAME].replace("\\", "/"),
                self.codes.classes.get(target.name),
                lambda values=target.values: mask_of(stored, values),  # type: ignore[misc]
            )
            for target in self.plan.labels.targets
        )


def stored_volume(values: LabelArray, image: Image) -> NDArray[np.integer[Any]]:
    """Return a label map as slices, rows and columns of its series."""
    stored: NDArray[np.integer[Any]] = np.asarray(image.reorientation.invert(values))
    return stored if stored.ndim == 3 else np.expand_dims(stored, 0)
