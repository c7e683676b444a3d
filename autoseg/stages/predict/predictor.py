"""Predict from Python with a model that stays in memory."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from typing_extensions import override

from autoseg.core.arrays import LabelArray
from autoseg.core.cache import cache_folder
from autoseg.core.case import Image
from autoseg.core.compute import Compute
from autoseg.core.device import Precision
from autoseg.core.geometry import Geometry
from autoseg.core.parallel import default_workers
from autoseg.core.progress import Silent
from autoseg.documents.splits import FoldName
from autoseg.inference.prediction import ood_warnings, predict_image
from autoseg.inference.selected_model import load_selection
from autoseg.models.model_selection import find_selection
from autoseg.readers import read_image, write_labels
from autoseg.stages.step_check import load_options

ImageSource = Image | Path | str | Sequence[Path | str]
"""An image in memory, an image file, or one file per channel."""


@dataclass(frozen=True)
class Segmentation:
    """A predicted label map on the grid of its image.

    Attributes:
        image: The segmented image.
        canonical_values: Label values in canonical orientation, same shape as the image.
        warnings: Out-of-distribution warnings, one sentence each.
    """

    image: Image
    canonical_values: LabelArray
    warnings: tuple[str, ...] = ()

    @property
    def values(self) -> LabelArray:
        """Label values in the orientation and shape of the image file."""
        stored = np.asarray(self.image.reorientation.invert(self.canonical_values))
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

    def segment(self, image: ImageSource) -> Segmentation:
        """Predict the segmentation of an image, including its geometry.

        Raises:
            CaseError: If the image cannot be read or does not match the model.
        """
        loaded = image if isinstance(image, Image) else read_image(_paths(image))
        oriented = loaded.reoriented(self.model.plan.orientation)
        values = predict_image(oriented, self.model, workers=default_workers())
        warnings = ood_warnings(oriented, self.model.members[0].loaded)
        return Segmentation(image=oriented, canonical_values=values, warnings=warnings)


def _paths(source: Path | str | Sequence[Path | str]) -> tuple[Path, ...]:
    if isinstance(source, str | Path):
        return (Path(source),)
    return tuple(Path(path) for path in source)
