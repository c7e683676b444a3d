"""Plain folders: images/ and labels/, or imagesTr/ and labelsTr/, with files paired by stem.

Channels, label values and file types are inferred from the files, unless a dataset.json declares
them.
"""

from pathlib import Path

from autoseg.datasets.layouts.description import Description
from autoseg.datasets.layouts.pairing import FoundCases, image_files, pair_folders

NAME = "folders"

FOLDER_PAIRS = (("images", "labels"), ("imagesTr", "labelsTr"))


def find_cases(root: Path, description: Description | None) -> FoundCases | None:
    """Return the cases of a dataset, or None if it does not have this layout."""
    ending = description.file_ending if description else None
    for images, labels in FOLDER_PAIRS:
        if not ((root / images).is_dir() and (root / labels).is_dir()):
            continue
        if image_files(root / labels) or not any((root / labels).iterdir()):
            return pair_folders(root / images, root / labels, ending)
    return None
