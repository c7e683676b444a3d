"""Measure and draw a case for a report: its image, its reference and its prediction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer
from scipy import ndimage

from autoseg.core.arrays import IntensityArray, LabelArray
from autoseg.core.labels import LabelScheme
from autoseg.reporting.pictures import block_means, thumbnail

THUMBNAIL_PIXELS = 160
BLOCKS = {2: 32, 3: 16}
"""Blocks along each axis of 2-D and 3-D images whose means are compared to find duplicates."""


@dataclass(frozen=True)
class ErrorVoxels:
    """Voxels whose predicted class is wrong, summed over the foreground classes.

    Attributes:
        missed: Voxels of components of the reference that the prediction does not touch.
        spurious: Voxels of components of the prediction that the reference does not touch.
        border: All others: where both overlap, but not exactly.
        reference: Foreground voxels of the reference.
    """

    missed: int
    spurious: int
    border: int
    reference: int


@dataclass(frozen=True)
class CaseLook:
    """Measurements and a small picture of one case.

    Attributes:
        name: Name of the case.
        thumbnail: WebP file: the plane with the most foreground, with outlines of the reference.
        means: Normalised means of blocks of the image.
        touching: Whether each foreground class touches the border of the image.
        components: Number of connected components of each foreground class.
        confusion: Number of voxels, shape (reference classes, predicted classes); None without a
            prediction.
        errors: Groups of wrong voxels; None without a prediction.
    """

    name: str
    thumbnail: bytes
    means: Float[np.ndarray, " values"]
    touching: tuple[bool, ...]
    components: tuple[int, ...]
    confusion: Integer[np.ndarray, "classes classes"] | None = None
    errors: ErrorVoxels | None = None


@dataclass(frozen=True)
class CaseArrays:
    """A case as it is drawn.

    Attributes:
        name: Name of the case.
        image: Intensities, channels first.
        reference: Class indices; unannotated voxels are background.
        prediction: Predicted class indices, likewise; None without a prediction.
        spacing: Voxel size along each axis.
        unit: Unit of the voxel size.
    """

    name: str
    image: IntensityArray
    reference: LabelArray
    prediction: LabelArray | None
    spacing: tuple[float, ...]
    unit: str = "mm"


def look_at(case: CaseArrays, labels: LabelScheme) -> CaseLook:
    """Measure and draw one case."""
    reference, prediction = case.reference, case.prediction
    touching, components = _placement(reference, labels.num_classes)
    picture = thumbnail(case.image, reference, case.spacing, THUMBNAIL_PIXELS)
    means = block_means(case.image, BLOCKS[reference.ndim])
    if prediction is None:
        return CaseLook(case.name, picture, means, touching, components)
    size = labels.num_classes
    pairs = np.bincount(
        (reference.astype(np.int64) * size + prediction).ravel(), minlength=size * size
    )
    return CaseLook(
        name=case.name,
        thumbnail=picture,
        means=means,
        touching=touching,
        components=components,
        confusion=pairs.reshape(size, size),
        errors=error_voxels(reference, prediction, size),
    )


def error_voxels(reference: LabelArray, prediction: LabelArray, num_classes: int) -> ErrorVoxels:
    """Group the wrong voxels of a prediction into missed, spurious and border voxels.

    Args:
        reference: Class indices.
        prediction: Predicted class indices, same shape.
        num_classes: Number of classes, including background.
    """
    missed = spurious = wrong = 0
    boxes = [
        ndimage.find_objects(np.asarray(array), max_label=num_classes - 1)
        for array in (reference, prediction)
    ]
    for index in range(1, num_classes):
        found = [box[index - 1] for box in boxes]
        present = [box for box in found if box is not None]
        if not present:
            continue
        box = _hull(present)
        expected, predicted = reference[box] == index, prediction[box] == index
        missed += _voxels_of_untouched(expected, predicted)
        spurious += _voxels_of_untouched(predicted, expected)
        wrong += int(np.count_nonzero(expected != predicted))
    return ErrorVoxels(
        missed=missed,
        spurious=spurious,
        border=wrong - missed - spurious,
        reference=int(np.count_nonzero(reference)),
    )


def _voxels_of_untouched(mask: np.ndarray, other: np.ndarray) -> int:
    """Count the voxels of the components of a mask that do not overlap with another mask."""
    components, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    sizes[np.unique(components[other])] = 0
    return int(sizes[1:].sum())


def _hull(boxes: Sequence[tuple[slice, ...]]) -> tuple[slice, ...]:
    """Return the smallest box that contains some boxes."""
    return tuple(
        slice(min(part.start for part in parts), max(part.stop for part in parts))
        for parts in zip(*boxes, strict=True)
    )


def _placement(classes: LabelArray, num_classes: int) -> tuple[tuple[bool, ...], tuple[int, ...]]:
    """Check each foreground class for contact with the border, and count its components."""
    touching, counts = [], []
    boxes = ndimage.find_objects(np.asarray(classes), max_label=num_classes - 1)
    for index, box in enumerate(boxes, start=1):
        if box is None:
            touching.append(False)
            counts.append(0)
            continue
        ends = zip(box, classes.shape, strict=True)
        touching.append(
            any(part.start == 0 or part.stop == size for part, size in ends if size > 1)
        )
        _, count = ndimage.label(classes[box] == index, np.ones((3,) * classes.ndim))
        counts.append(int(count))
    return tuple(touching), tuple(counts)
