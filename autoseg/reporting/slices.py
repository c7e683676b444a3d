"""Slices of a case with its label maps and surface distances, for the slice viewer of a report."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from scipy import ndimage

from autoseg.core.arrays import LabelArray, MaskArray
from autoseg.reporting.blocks import SlicedCase
from autoseg.reporting.case_look import CaseArrays
from autoseg.reporting.pictures import (
    data_uri,
    fitted_size,
    resized_classes,
    resized_shades,
    shades,
    window_of,
)

MOST_SLICES = 24
SLICE_PIXELS = 256
PICTURE_PIXELS = 640
"""Longer edge of slices of volumes, and of 2-D images."""

MARGIN = 2
"""Slices drawn before and after the foreground."""


def sliced_case(case: CaseArrays, caption: str, focus: int | None = None) -> SlicedCase:
    """Draw the slices of a case that contain foreground, evenly spaced if there are many.

    Args:
        case: The case.
        caption: Text above the slices.
        focus: Slice that is shown first, counted from 0; None for the one in the middle.
    """
    is_volume = case.reference.ndim == 3
    chosen = _chosen_slices(case, focus) if is_volume else np.zeros(1, np.intp)
    image = case.image if is_volume else case.image[:, None]
    spacing = case.spacing[-2:]
    edge = SLICE_PIXELS if is_volume else PICTURE_PIXELS
    size = fitted_size(image.shape[-2:], spacing, edge)
    window = window_of(case.image)
    strip = [resized_shades(shades(image[:, place], window), size) for place in chosen]
    layers = {"reference": _strip(case.reference, chosen, size)}
    largest = 0.0
    if case.prediction is not None:
        layers["prediction"] = _strip(case.prediction, chosen, size)
        distances = surface_distances(case.reference, case.prediction, case.spacing)
        largest = float(distances.max(initial=0))
        if largest > 0:
            layers["distance"] = _strip(_as_grey(distances, largest), chosen, size)
    return SlicedCase(
        name=case.name,
        caption=caption,
        rows=size[0],
        columns=size[1],
        slices=tuple(int(place) + 1 for place in chosen),
        image=data_uri(Image.fromarray(np.concatenate(strip))),
        layers={name: data_uri(Image.fromarray(strip), "png") for name, strip in layers.items()},
        largest_distance=largest,
        unit=case.unit,
        first=len(chosen) // 2 if focus is None else int(np.abs(chosen - focus).argmin()),
    )


def surface_distances(
    reference: LabelArray, prediction: LabelArray, spacing: Sequence[float]
) -> np.ndarray:
    """Return the distance of every voxel on a predicted surface to the reference surface.

    The classes are taken together as foreground. It is 0 away from the predicted surface; voxels
    on both surfaces have a tiny positive distance, so that they are drawn.

    Args:
        reference: Class indices.
        prediction: Predicted class indices, same shape.
        spacing: Voxel size along each axis.
    """
    found = np.zeros(reference.shape, np.float32)
    expected, predicted = reference > 0, prediction > 0
    if not expected.any() or not predicted.any():
        return found
    boxes = ndimage.find_objects((expected | predicted).astype(np.uint8))
    box = tuple(
        slice(max(0, part.start - 1), min(size, part.stop + 1))
        for part, size in zip(boxes[0], reference.shape, strict=True)
    )
    surface = _surface(predicted[box])
    distances = ndimage.distance_transform_edt(~_surface(expected[box]), sampling=list(spacing))
    found[box][surface] = np.maximum(distances[surface], np.finfo(np.float32).tiny)
    return found


def _surface(mask: MaskArray) -> MaskArray:
    """Return the voxels of a mask with a face neighbour outside of it."""
    return np.asarray(mask & ~ndimage.binary_erosion(mask))


def _as_grey(distances: np.ndarray, largest: float) -> UInt8[np.ndarray, "*shape"]:
    """Scale distances so that 1 … 255 are 0 … largest, and 0 is no surface."""
    grey = 1 + np.round(distances * (254 / largest))
    return np.where(distances > 0, grey, 0).astype(np.uint8)


def _chosen_slices(case: CaseArrays, focus: int | None) -> np.ndarray:
    """Return the slices to draw: those with foreground and a margin, evenly thinned out."""
    used = case.reference > 0
    if case.prediction is not None:
        used = used | (case.prediction > 0)
    planes = np.flatnonzero(used.any(axis=(1, 2)))
    first, last = (planes[0], planes[-1]) if planes.size else (0, len(used) - 1)
    first, last = max(0, first - MARGIN), min(len(used) - 1, last + MARGIN)
    count = min(MOST_SLICES, last - first + 1)
    chosen = np.linspace(first, last, count).round().astype(np.intp)
    return chosen if focus is None else np.union1d(chosen, focus)


def _strip(
    classes: LabelArray, chosen: np.ndarray, size: tuple[int, int]
) -> UInt8[np.ndarray, "rows columns"]:
    """Return slices below each other."""
    volume = classes if classes.ndim == 3 else classes[None]
    planes = [resized_classes(volume[place], size) for place in chosen]
    return np.concatenate(planes).astype(np.uint8)
