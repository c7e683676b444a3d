"""nnU-Net's raw data: a dataset.json, imagesTr/CASE_0000.ext and labelsTr/CASE.ext.

A `dataset` map in the dataset.json may list the files instead; its paths are relative to the folder
of the dataset.json.
"""

from pathlib import Path

from autoseg.datasets.layouts.description import Description
from autoseg.datasets.layouts.pairing import FoundCases, complete_cases, listed_path, pair_folders
from autoseg.documents.dataset import CaseFiles

NAME = "nnunet_raw"


def find_cases(root: Path, description: Description | None) -> FoundCases | None:
    """Return the cases of a dataset, or None if it does not have this layout."""
    if description is None:
        return None
    if description.dataset:
        return _mapped_cases(root, description)
    images, labels = root / "imagesTr", root / "labelsTr"
    if not (images.is_dir() and labels.is_dir()):
        return None
    return pair_folders(images, labels, description.file_ending)


def _mapped_cases(root: Path, description: Description) -> FoundCases:
    cases = [
        CaseFiles(
            name=name,
            images=tuple(listed_path(root, image) for image in files.images),
            labels=listed_path(root, files.label),
        )
        for name, files in sorted(description.dataset.items())
    ]
    return complete_cases(cases, root)
