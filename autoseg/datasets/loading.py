"""Load one case of a dataset: its image, and the class of every voxel."""

from autoseg.core.case import LabelledCase
from autoseg.core.errors import CaseError, DatasetError
from autoseg.core.labels import LabelScheme
from autoseg.documents.dataset import CaseFiles
from autoseg.readers import read_image, read_labels
from autoseg.readers.names import times


def load_case(files: CaseFiles, labels: LabelScheme) -> LabelledCase:
    """Return a case in canonical orientation, label values turned into class indices.

    Raises:
        CaseError: If a file cannot be read, shapes differ, or a value is not in the scheme.
    """
    image = read_image(files.images)
    found = read_labels(files.labels, like=image)
    if found.values.shape != image.shape:
        msg = (
            f"{files.labels.name} has shape {times(found.values.shape)}, its image "
            f"{times(image.shape)}. Resample the labels to the grid of the image."
        )
        raise CaseError(msg)
    try:
        classes = labels.encode(found.values)
    except DatasetError as error:
        msg = f"{files.labels.name}: {error}"
        raise CaseError(msg) from error
    return LabelledCase(name=files.name, image=image, classes=classes)
