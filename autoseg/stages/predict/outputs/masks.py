"""A binary mask per class or region, as TotalSegmentator writes them."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from typing_extensions import override

from autoseg.core.arrays import mask_of
from autoseg.core.atomic_write import atomic_folder
from autoseg.core.case import Image
from autoseg.core.errors import CaseError, DatasetError
from autoseg.core.names import is_file_name
from autoseg.datasets.inputs import InputCase
from autoseg.readers import label_ending, write_labels
from autoseg.readers.names import reader_for
from autoseg.stages.predict.outputs.base import CaseOutput, CasePrediction

UNSAFE = re.compile(r'[/\\:*?"<>|\s\x00-\x1f\x7f]+')
"""Characters that file names cannot have on some system, and spaces."""

FOLDER = "masks"


@dataclass(frozen=True)
class MaskOutput(CaseOutput):
    """A folder per case, `masks/CASE`, with a file per class, `liver.nii.gz`.

    Attributes:
        ending: Ending of the files; empty for that of the image.
    """

    ending: str = ""

    def __post_init__(self) -> None:
        """Check the names of the files.

        Raises:
            DatasetError: If two classes would have the same file, or one none.
        """
        names = [name.casefold() for name in self.names]
        bad = [name for name in names if names.count(name) > 1 or not is_file_name(name)]
        if bad:
            raise DatasetError(
                f"--file-per-class cannot name files after the classes: {bad[0]!r} would be the "
                "name of several files, or is not a file name. Leave the option out."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Name of the file of each class or region."""
        return tuple(UNSAFE.sub("_", target.name).strip("_") for target in self.plan.labels.targets)

    @override
    def paths(self, case: InputCase) -> tuple[Path, ...]:
        return (self.folder / FOLDER / case.name,)

    @override
    def check(self, case: InputCase, image: Image) -> None:
        ending = self._ending(case)
        if image.geometry.num_axes > reader_for(Path(f"case{ending}")).max_axes:
            raise CaseError(
                f"it is a volume, which {ending} files cannot store. Choose another "
                "--output-format, such as .nii.gz."
            )

    def _ending(self, case: InputCase) -> str:
        return (self.ending or label_ending(case.ending)).removeprefix(".seg")

    @override
    def write(self, prediction: CasePrediction) -> None:
        (path,) = self.paths(prediction.case)
        ending = self._ending(prediction.case)
        with atomic_folder(path) as temporary:
            for name, target in zip(self.names, self.plan.labels.targets, strict=True):
                mask = mask_of(prediction.values, target.values).astype(np.uint8)
                write_labels(mask, prediction.image, temporary / f"{name}{ending}")
