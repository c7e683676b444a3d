"""Load a case: its image, and the class index of each voxel."""

import numpy as np

from autoseg.core.arrays import count_not_finite
from autoseg.core.case import Image, LabelledCase, LabelMap
from autoseg.core.errors import CaseError, DatasetError
from autoseg.core.formatting import format_shape
from autoseg.core.geometry import GEOMETRY_TOLERANCE
from autoseg.core.labels import LabelScheme
from autoseg.documents.dataset import CaseFiles
from autoseg.readers import knows_geometry, read_image, read_labels
from autoseg.readers.names import name_of


def load_case(files: CaseFiles, labels: LabelScheme) -> LabelledCase:
    """Load a case in canonical orientation, with label values converted to class indices.

    Raises:
        CaseError: If a file cannot be read, labels and image are not on the same grid, an intensity
            is not finite, or a label value is not in the scheme.
    """
    image = read_image(files.images)
    label_map = read_labels(files.labels, like=image)
    if issues := pair_issues(image, label_map, files):
        raise CaseError("\n".join(issues))
    if count_not_finite(image.voxels):
        raise CaseError(
            "some of its intensities are NaN or infinite. Replace them, for example by the image's "
            "lowest value."
        )
    try:
        classes = labels.encode(label_map.values)
    except DatasetError as error:
        raise CaseError(f"{name_of(files.labels)}: {error}") from error
    return LabelledCase(name=files.name, image=image, classes=classes)


def pair_issues(image: Image, labels: LabelMap, files: CaseFiles) -> list[str]:
    """Return the issues if a label map is not on the grid of its image; empty if it is.

    Args:
        image: The image.
        labels: The label map.
        files: Files of the case, for messages.
    """
    if labels.values.shape != image.shape:
        issue = (
            f"{name_of(files.labels)}: shape {format_shape(labels.values.shape)}, but its image "
            f"has {format_shape(image.shape)} (array order). Resample the labels to the grid of "
            "the image."
        )
        return [issue]
    both_know = knows_geometry(files.labels) and any(map(knows_geometry, files.images))
    difference = _difference(labels, image) if both_know else None
    if difference is None:
        return []
    issue = (
        f"{name_of(files.labels)}: not on the grid of its image: {difference} (labels against "
        "image). If only the header is wrong, copy the header of the image to the labels; "
        "otherwise, resample the labels to the grid of the image."
    )
    return [issue]


def _difference(labels: LabelMap, image: Image) -> str | None:
    """Describe the difference of two geometries, or return None.

    Single slices of volumes are not reoriented, so their in-plane axes must have equal directions
    in 3-D space, including the world axis that the 2-D geometry lacks.
    """
    difference = labels.geometry.difference(image.geometry, image.shape)
    own, other = labels.stored_geometry, image.stored_geometry
    are_slices = len(image.shape) == 2 and own.num_axes == other.num_axes == 3
    if difference is None and are_slices:
        in_plane = [
            np.delete(np.asarray(geometry.direction), image.slice_axis, axis=1)
            for geometry in (own, other)
        ]
        if np.abs(in_plane[0] - in_plane[1]).max() > GEOMETRY_TOLERANCE:
            return "another direction (orientation) matrix"
    return difference
