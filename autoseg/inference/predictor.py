"""Predict from Python, with the model kept in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.core.arrays import LabelArray
from autoseg.core.case import Image
from autoseg.core.device import Precision
from autoseg.core.geometry import Geometry
from autoseg.core.parallel import default_workers
from autoseg.documents.splits import FoldName
from autoseg.inference.joint_prediction import predict_chosen
from autoseg.inference.model import LoadOptions
from autoseg.inference.model_selection import load_selected
from autoseg.inference.prediction import unlike_training
from autoseg.readers import read_image, write_labels

ImageSource = Image | Path | str | Sequence[Path | str]
"""An image in memory, its file, or one file per channel."""


@dataclass(frozen=True)
class Segmentation:
    """A predicted label map on the grid of its image.

    Attributes:
        image: What was predicted.
        canonical_values: Label values in canonical orientation, same shape as the image.
        warnings: A sentence for everything in which the image is unlike the training data.
    """

    image: Image
    canonical_values: LabelArray
    warnings: tuple[str, ...] = ()

    @property
    def values(self) -> LabelArray:
        """Label values in the orientation and shape of the image's file."""
        stored = np.asarray(self.image.reorientation.invert(self.canonical_values))
        missing = self.image.stored_geometry.num_axes - stored.ndim
        return np.ascontiguousarray(stored.reshape((1,) * missing + stored.shape))

    @property
    def geometry(self) -> Geometry:
        """Spacing, origin and direction of `values`: exactly those of the image's file."""
        return self.image.stored_geometry

    def save(self, path: Path | str) -> None:
        """Write the label map with the geometry of its image; the ending chooses the format.

        Raises:
            CaseError: If the format cannot hold it.
        """
        write_labels(self.canonical_values, self.image, Path(path))


class Predictor:
    """A trained model that segments one image after another.

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

        Args:
            model: A model file (`*.autoseg`), a work folder (what was selected in it), a model
                folder or one fold; None for the only work folder under `./autoseg_work`.
            device: "auto", "cpu", "cuda", "cuda:1" … or "mps".
            precision: What convolutions compute in.
            folds: Which folds to average; None for those selected, or else all numbered ones that
                are trained.
            use_mirroring: Whether to average over flips.

        Raises:
            ModelError: If there is no such model, or several.
        """
        self.model = load_selected(
            None if model is None else Path(model),
            LoadOptions(device, precision, use_mirroring),
            folds,
        )

    def predict(self, image: ImageSource) -> LabelArray:
        """Return the label values of an image, in the orientation and shape of its file.

        Axes are in array order (z, y, x), as SimpleITK and tifffile give them; the geometry is the
        file's own. `segment` gives both together.

        Raises:
            CaseError: If the image cannot be read or does not fit the model.
        """
        return self.segment(image).values

    def segment(self, image: ImageSource) -> Segmentation:
        """Return the segmentation of an image, with its geometry.

        Raises:
            CaseError: If the image cannot be read or does not fit the model.
        """
        read = image if isinstance(image, Image) else read_image(_paths(image))
        whole = read.turned(self.model.plan.orientation)
        values = predict_chosen(whole, self.model, workers=default_workers())
        warnings = unlike_training(whole, self.model.members[0])
        return Segmentation(image=whole, canonical_values=values, warnings=warnings)


def _paths(source: Path | str | Sequence[Path | str]) -> tuple[Path, ...]:
    if isinstance(source, str | Path):
        return (Path(source),)
    return tuple(Path(path) for path in source)
