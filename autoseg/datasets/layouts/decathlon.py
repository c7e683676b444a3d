"""Medical Segmentation Decathlon: a dataset.json that lists pairs of image and label file.

An image is one file with all channels, or a list with one file per channel.
"""

import glob
from pathlib import Path

from autoseg.datasets.layouts.description import Description, TrainingPair
from autoseg.datasets.layouts.pairing import FoundCases, complete_cases, listed_path, relative
from autoseg.documents.dataset import CaseFiles
from autoseg.readers import ending_of, stem_of
from autoseg.readers.names import channel_of, without_channel_suffix

NAME = "decathlon"


def find_cases(root: Path, description: Description | None) -> FoundCases | None:
    """Return the dataset's cases, or None if it is not of this layout."""
    if description is None or not description.training:
        return None
    return complete_cases(listed_cases(root, description.training), root)


def listed_cases(root: Path, pairs: tuple[TrainingPair, ...]) -> list[CaseFiles]:
    """Return the cases that a dataset.json lists, whether or not their files exist."""
    return _unique_names([_case_files(root, pair) for pair in pairs], root)


def _case_files(root: Path, pair: TrainingPair) -> CaseFiles:
    listed = (pair.image,) if isinstance(pair.image, str) else pair.image
    images = tuple(listed_path(root, name) for name in listed)
    labels = listed_path(root, pair.label)
    if len(images) == 1 and not images[0].is_file():
        images = _numbered_files(images[0]) or images
    stem = stem_of(images[0])
    if len(images) > 1 or without_channel_suffix(stem) == stem_of(labels):
        stem = without_channel_suffix(stem)
    return CaseFiles(name=stem, images=images, labels=labels)


def _numbered_files(path: Path) -> tuple[Path, ...]:
    """Return CASE_0000.nii.gz, CASE_0001.nii.gz … where dataset.json says CASE.nii.gz.

    The first nnU-Net wrote its dataset.json in this way.
    """
    found = sorted(path.parent.glob(f"{glob.escape(stem_of(path))}_????{ending_of(path)}"))
    return tuple(one for one in found if channel_of(stem_of(one)) is not None)


def _unique_names(cases: list[CaseFiles], root: Path) -> list[CaseFiles]:
    """Return the cases, named after their whole image path where names would collide."""
    if len({case.name for case in cases}) == len(cases):
        return cases
    paths = [relative(case.images[0].with_name(case.name), root) for case in cases]
    names = [path.lstrip("./").replace("/", "_") for path in paths]
    return [case.model_copy(update={"name": name}) for case, name in zip(cases, names, strict=True)]
