"""Load one case of a dataset: its image, and the class of every voxel."""

import numpy as np

from autoseg.core.case import Image, LabelledCase, LabelMap
from autoseg.core.errors import CaseError, DatasetError
from autoseg.core.geometry import GEOMETRY_TOLERANCE
from autoseg.core.labels import LabelScheme
from autoseg.documents.dataset import CaseFiles
from autoseg.readers import knows_geometry, read_image, read_labels
from autoseg.readers.names import times


def load_case(files: CaseFiles, labels: LabelScheme) -> LabelledCase:
    """Return a case in canonical orientation, label values turned into class indices.

    Raises:
        CaseError: If a file cannot be read, labels and image do not lie on one grid, or a value is
            not in the scheme or not finite.
    """
    image = read_image(files.images)
    found = read_labels(files.labels, like=image)
    if issues := issues_of_pair(image, found, files):
        raise CaseError("\n".join(issues))
    if not np.isfinite(image.voxels).all():
        msg = (
            "some of its intensities are NaN or infinite. Replace them, for instance by the "
            "image's lowest value."
        )
        raise CaseError(msg)
    try:
        classes = labels.encode(found.values)
    except DatasetError as error:
        msg = f"{files.labels.name}: {error}"
        raise CaseError(msg) from error
    return LabelledCase(name=files.name, image=image, classes=classes)


def issues_of_pair(image: Image, labels: LabelMap, files: CaseFiles) -> list[str]:
    """Return what keeps labels from belonging to an image, voxel by voxel."""
    if labels.values.shape != image.shape:
        issue = (
            f"{files.labels.name}: shape {times(labels.values.shape)}, but its image has "
            f"{times(image.shape)} (array order). Resample the labels to the grid of the image."
        )
        return [issue]
    both_know = knows_geometry(files.labels) and any(map(knows_geometry, files.images))
    difference = _difference(labels, image) if both_know else None
    if difference is None:
        return []
    issue = (
        f"{files.labels.name}: not on the grid of its image: {difference} (labels against image). "
        "If the voxels do belong together, copy the image's header to the labels; if not, resample "
        "the labels to the grid of the image."
    )
    return [issue]


def _difference(labels: LabelMap, image: Image) -> str | None:
    """Return how two geometries differ, or None.

    Slices of volumes are not turned, so that their in-plane axes have to run alike in space: also
    along the world axis that a 2-D geometry does not have.
    """
    difference = labels.geometry.difference(image.geometry, image.shape)
    own, other = labels.stored_geometry, image.stored_geometry
    are_slices = len(image.shape) == 2 and own.num_axes == other.num_axes == 3
    if difference is None and are_slices:
        in_plane = [np.asarray(geometry.direction)[:, 1:] for geometry in (own, other)]
        if np.abs(in_plane[0] - in_plane[1]).max() > GEOMETRY_TOLERANCE:
            return "another direction (orientation) matrix"
    return difference
