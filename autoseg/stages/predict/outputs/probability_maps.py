"""Probabilities of all classes, and their entropy, as maps with one byte per voxel."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from autoseg.core.case import Image
from autoseg.core.labels import LabelScheme
from autoseg.datasets.inputs import InputCase
from autoseg.documents import store
from autoseg.documents.map_names import MapNames
from autoseg.inference.probability_maps import ByteMap, entropy_map, probability_map
from autoseg.readers.names import reader_for
from autoseg.readers.scaled_maps import write_scaled_maps
from autoseg.stages.predict.outputs.base import CaseOutput, CasePrediction

VOLUME_ENDING, PICTURE_ENDING = ".nii.gz", ".tif"


@dataclass(frozen=True)
class _MapOutput(CaseOutput):
    """Maps from 0 to 1: NIfTI for volumes, TIFF for pictures of formats without positions."""

    needs_probabilities: ClassVar[bool] = True
    FOLDER: ClassVar[str]

    @override
    def paths(self, case: InputCase) -> tuple[Path, ...]:
        stem = self.folder / self.FOLDER / case.name
        return tuple(Path(f"{stem}{ending}") for ending in (VOLUME_ENDING, PICTURE_ENDING))

    @override
    def write(self, prediction: CasePrediction) -> None:
        volume, picture = self.paths(prediction.case)
        path = picture if _is_picture(prediction.case, prediction.image) else volume
        names = self.names(self.plan.labels)
        write_scaled_maps(self.maps(prediction), names, prediction.image, path)

    @abstractmethod
    def names(self, labels: LabelScheme) -> tuple[str, ...]:
        """Return the name of each map."""

    @abstractmethod
    def maps(self, prediction: CasePrediction) -> Iterator[ByteMap]:
        """Compute the maps, one after another."""


@dataclass(frozen=True)
class ProbabilityOutput(_MapOutput):
    """Probabilities of all classes or regions, `probabilities/CASE.nii.gz`."""

    FOLDER: ClassVar[str] = "probabilities"

    @override
    def names(self, labels: LabelScheme) -> tuple[str, ...]:
        return tuple(region.name for region in labels.regions) or labels.names

    @override
    def maps(self, prediction: CasePrediction) -> Iterator[ByteMap]:
        for output in range(self.plan.labels.num_outputs):
            yield probability_map(prediction.probabilities, output)

    @override
    def finish(self) -> None:
        """Write the names of the maps, in order."""
        folder = self.folder / self.FOLDER
        if folder.is_dir():
            document = MapNames(names=self.names(self.plan.labels))
            store.save(document, folder / MapNames.FILE_NAME)


@dataclass(frozen=True)
class UncertaintyOutput(_MapOutput):
    """Entropy of the probabilities, `uncertainty/CASE.nii.gz`."""

    FOLDER: ClassVar[str] = "uncertainty"

    @override
    def names(self, labels: LabelScheme) -> tuple[str, ...]:
        return ("entropy",)

    @override
    def maps(self, prediction: CasePrediction) -> Iterator[ByteMap]:
        yield entropy_map(prediction.probabilities)


def _is_picture(case: InputCase, image: Image) -> bool:
    has_position = reader_for(case.images[0]).holds_world_geometry
    return image.stored_geometry.num_axes == 2 and not has_position
