"""Label maps with the geometry of their images."""

from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from autoseg.core.atomic_write import atomic_write
from autoseg.core.case import Image
from autoseg.core.errors import CaseError
from autoseg.datasets.inputs import InputCase
from autoseg.readers import label_ending, write_labels
from autoseg.readers.names import reader_for
from autoseg.readers.segments import Segment
from autoseg.readers.slicer_segmentation import ENDING as SLICER_ENDING
from autoseg.readers.slicer_segmentation import name_segments
from autoseg.stages.predict.outputs.base import CaseOutput, CasePrediction


@dataclass(frozen=True)
class LabelMapOutput(CaseOutput):
    """One label map per case, `CASE.nii.gz`.

    Attributes:
        ending: Ending of the files; empty for that of the image.
    """

    ending: str = ""

    def path(self, case: InputCase) -> Path:
        """Return the label map of a case."""
        return self.folder / f"{case.name}{self.ending or label_ending(case.ending)}"

    @override
    def paths(self, case: InputCase) -> tuple[Path, ...]:
        return (self.path(case),)

    @override
    def exists(self, case: InputCase) -> bool:
        return self.path(case).is_file()

    @override
    def check(self, case: InputCase, image: Image) -> None:
        if self.ending and image.geometry.num_axes > reader_for(self.path(case)).max_axes:
            raise CaseError(
                f"it is a volume, which {self.ending} files cannot store. Choose another "
                "--output-format, such as .nii.gz."
            )

    @override
    def write(self, prediction: CasePrediction) -> None:
        path = self.path(prediction.case)
        if self.ending != SLICER_ENDING:
            write_labels(prediction.values, prediction.image, path)
            return
        labels = self.plan.labels
        pairs = list(zip(labels.names, labels.values, strict=True))[1:]
        names = [Segment(" ".join(name.split()), value, 0) for name, value in pairs]
        with atomic_write(path) as temporary:
            write_labels(prediction.values, prediction.image, temporary)
            name_segments(temporary, names)
