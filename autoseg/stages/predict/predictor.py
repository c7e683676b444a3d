"""Predict from Python with a model that stays in memory."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from typing_extensions import override

from autoseg.core.arrays import LabelArray
from autoseg.core.cache import cache_folder
from autoseg.core.case import Image
from autoseg.core.compute import Compute
from autoseg.core.device import Precision
from autoseg.core.errors import CaseError
from autoseg.core.geometry import Geometry
from autoseg.core.parallel import default_workers
from autoseg.core.progress import Silent
from autoseg.documents.splits import FoldName
from autoseg.inference.prediction import ood_warnings, predict_image, predict_probabilities
from autoseg.inference.probabilities import FULL
from autoseg.inference.probability_maps import probability_map
from autoseg.inference.selected_model import load_selection
from autoseg.models.model_selection import find_selection
from autoseg.readers import read_image, write_labels
from autoseg.stages.step_check import load_options

ImageSource = Image | Path | str | Sequence[Path | str]
"""An image in memory, an image file, or one file per channel."""

ProbabilityMaps = Float32[np.ndarray, "outputs *space"]


@dataclass(frozen=True)
class Segmentation:
    """A predicted label map on the grid of its image.

    Attributes:
        image: The segmented image.
        canonical_values: Label values in canonical orientation, same shape as the image.
        warnings: Out-of-distribution warnings, one sentence each.
        canonical_probabilities: Probability of each class or region in canonical orientation, in
            steps of 1/255; None if they were not kept.
    """

    image: Image
    canonical_values: LabelArray
    warnings: tuple[str, ...] = ()
    canonical_probabilities: ProbabilityMaps | None = None

    @property
    def values(self) -> LabelArray:
        """Label values in the orientation and shape of the image file."""
        return self._stored(self.canonical_values)

    @property
    def probabilities(self) -> ProbabilityMaps:
        """Probability of each class, background first, or of each region; as `values` otherwise.

        Raises:
            CaseError: If they were not kept.
        """
        if self.canonical_probabilities is None:
            raise CaseError(
                "the probabilities were not kept. Call `segment(image, with_probabilities=True)`."
            )
        return np.stack([self._stored(one) for one in self.canonical_probabilities])

    def _stored(self, array: NDArray[Any]) -> NDArray[Any]:
        stored = np.asarray(self.image.reorientation.invert(array))
        if stored.ndim < self.image.stored_geometry.num_axes:
            stored = np.expand_dims(stored, self.image.slice_axis)
        return np.ascontiguousarray(stored)

    @property
    def geometry(self) -> Geometry:
        """Spacing, origin and direction of `values`, identical to those of the image file."""
        return self.image.stored_geometry

    def save(self, path: Path | str) -> None:
        """Save the label map with the geometry of its image; the file extension sets the format.

        Raises:
            CaseError: If the format cannot store the label map.
        """
        write_labels(self.canonical_values, self.image, Path(path))


class Warn(Silent):
    """Issues messages as Python warnings."""

    @override
    def say(self, message: str) -> None:
        warnings.warn(message, stacklevel=2)


class Predictor:
    """A trained model in memory that segments images.

    Example:
        predictor = Predictor("autoseg_work/Task04_Hippocampus")
        values = predictor.predict("hippocampus_001.nii.gz")  # label values, array order (z, y, x)
    """

    def __init__(
        self,
        model: Path | str | None = None,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        folds: Sequence[FoldName] | None = None,
        use_mirroring: bool = True,
    ) -> None:
        """Load a model.

        On a CPU where `autoseg train` found half precision unsafe for a network (recorded in
        `~/.cache/autoseg`), the network computes in float32, with a warning.

        Args:
            model: A model file (`*.autoseg`), a work folder (its selected configurations), a model
                folder or one fold; None for the only work folder under `./autoseg_work`.
            device: "auto", "cpu", "cuda", "cuda:1" … or "mps".
            precision: Precision of convolutions.
            folds: Folds to average; None for the selected folds, or else all trained numbered
                folds.
            use_mirroring: Whether to use TTA (mirroring).

        Raises:
            ModelError: If there is no such model, or the choice is ambiguous.
        """
        found = find_selection(None if model is None else Path(model), folds)
        compute = Compute(device, precision, cache=cache_folder(None))
        # a program may have computed convolutions before, so oneDNN can no longer be limited
        options = load_options(
            compute, Warn(), use_mirroring=use_mirroring, limits_instructions=False
        )
        self.model = load_selection(found, options)

    def predict(self, image: ImageSource) -> LabelArray:
        """Predict the label values of an image, in the orientation and shape of its file.

        Axes are in array order (z, y, x), as returned by SimpleITK and tifffile. The geometry is
        that of the image file; `segment` returns the geometry too.

        Raises:
            CaseError: If the image cannot be read or does not match the model.
        """
        return self.segment(image).values

    def segment(self, image: ImageSource, *, with_probabilities: bool = False) -> Segmentation:
        """Predict the segmentation of an image, including its geometry.

        Args:
            image: The image.
            with_probabilities: Whether to keep the probabilities: four bytes per class and voxel.

        Raises:
            CaseError: If the image cannot be read or does not match the model.
        """
        loaded = image if isinstance(image, Image) else read_image(_paths(image))
        oriented = loaded.reoriented(self.model.plan.orientation)
        workers, maps = default_workers(), None
        if with_probabilities:
            values, members = predict_probabilities(oriented, self.model, workers=workers)
            outputs = range(self.model.plan.labels.num_outputs)
            maps = np.stack([probability_map(members, output) for output in outputs])
            maps = maps / np.float32(FULL)
        else:
            values = predict_image(oriented, self.model, workers=workers)
        warnings = ood_warnings(oriented, self.model.members[0].loaded)
        return Segmentation(oriented, values, warnings, maps)


def _paths(source: Path | str | Sequence[Path | str]) -> tuple[Path, ...]:
    if isinstance(source, str | Path):
        return (Path(source),)
    return tuple(Path(path) for path in source)
