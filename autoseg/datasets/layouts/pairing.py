"""Which files make a case: pairs of the same stem, or those that a dataset.json lists."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.core.text import counted
from autoseg.datasets.issues import CaseIssue
from autoseg.documents.dataset import CaseFiles
from autoseg.documents.workspace import names_a_folder
from autoseg.readers import is_image_name, stem_of
from autoseg.readers.names import channel_of, without_channel_suffix


@dataclass(frozen=True)
class FoundCases:
    """The cases of a dataset that have all their files, and what is wrong with the others.

    Attributes:
        cases: Those that are complete.
        issues: Of the others.
        notes: Sentences on files that were left out.
    """

    cases: tuple[CaseFiles, ...]
    issues: tuple[CaseIssue, ...] = ()
    notes: tuple[str, ...] = ()


def image_files(folder: Path, *, preferred_ending: str | None = None) -> list[Path]:
    """Return the image files of a folder, sorted; anything else in it is ignored.

    Args:
        folder: Not searched any deeper.
        preferred_ending: If files with this ending exist, in capitals or not, all others are
            ignored.
    """
    found = [path for path in sorted(folder.iterdir()) if is_image_name(path) and path.is_file()]
    if preferred_ending:
        wanted = preferred_ending.lower()
        found = [path for path in found if path.name.lower().endswith(wanted)] or found
    return found


def pair_folders(images: Path, labels: Path, file_ending: str | None) -> FoundCases:
    """Return the cases in two folders, paired by stem.

    Args:
        images: Folder of image files.
        labels: Folder of label files.
        file_ending: What dataset.json says that their names end with; None if it does not.
    """
    pictures = image_files(images, preferred_ending=file_ending)
    found = pair_by_stem(pictures, image_files(labels, preferred_ending=file_ending))
    ignored = sorted(set(image_files(images)) - set(pictures))
    if not ignored:
        return found
    names = ", ".join(path.name for path in ignored[:5])
    note = (
        f"{counted(len(ignored), 'file')} in {images} left out, for not ending with {file_ending}, "
        f"the file_ending of dataset.json: {names}. To use such files, remove file_ending there."
    )
    return replace(found, notes=(note,))


def pair_by_stem(images: list[Path], labels: list[Path]) -> FoundCases:
    """Return the cases that images and labels of the same stem make.

    A channel number at the end of an image's stem (`_0000`) is part of the case's name if there is
    a label of exactly that stem, and otherwise says which channel of the case the file holds.
    """
    labels_of = _by_name(labels, stem_of)
    numbered = any(
        stem_of(path) not in labels_of and without_channel_suffix(stem_of(path)) in labels_of
        for path in images
    )

    def case_name(path: Path) -> str:
        stem = stem_of(path)
        return stem if stem in labels_of or not numbered else without_channel_suffix(stem)

    images_of = _by_name(images, case_name)
    cases, issues = [], []
    for name in sorted({*images_of, *labels_of}):
        issue = issue_of_files(name, images_of.get(name, []), labels_of.get(name, []))
        if issue:
            issues.append(issue)
        else:
            cases.append(
                CaseFiles(name=name, images=tuple(images_of[name]), labels=labels_of[name][0])
            )
    return FoundCases(cases=tuple(cases), issues=tuple(issues))


def complete_cases(cases: list[CaseFiles], root: Path) -> FoundCases:
    """Return the listed cases whose files all exist, and what is wrong with the others.

    A case must have a name that a folder can have, because its prepared form lies in one.
    """
    absent = [
        CaseIssue(
            case.name,
            f"dataset.json names {relative(path, root)}, which does not exist.",
            "Add the file, or remove the case from dataset.json.",
        )
        for case in cases
        for path in (*case.images, case.labels)
        if not path.is_file()
    ]
    repeated = [
        CaseIssue(name, f"dataset.json lists it {count} times.", "Keep one entry.")
        for name, count in Counter(case.name for case in cases).items()
        if count > 1
    ]
    misnamed = [
        CaseIssue(
            name,
            "dataset.json gives it a name that cannot be that of a folder.",
            "Rename it, without slashes and without a dot in front.",
        )
        for name in sorted({case.name for case in cases})
        if not names_a_folder(name)
    ]
    issues = (*absent, *repeated, *misnamed)
    faulty = {issue.case for issue in issues}
    return FoundCases(tuple(case for case in cases if case.name not in faulty), issues)


def listed_path(root: Path, name: str) -> Path:
    """Return the file that a dataset.json means, whether or not it exists.

    Environment variables count, as in nnU-Net, and so do the backslashes of Windows.
    """
    path = root / os.path.expandvars(name)
    return path if path.is_file() else root / os.path.expandvars(name).replace("\\", "/")


def relative(path: Path, root: Path) -> str:
    """Return the path as seen from the dataset's folder, where it lies in there."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def issue_of_files(name: str, images: list[Path], labels: list[Path]) -> CaseIssue | None:
    """Return what is wrong with the set of files that one case has, or None."""
    if not images:
        cause = f"there is no image for the label file {labels[0].name}."
        return CaseIssue(name, cause, "Add the image, or remove the label file.")
    if not labels:
        cause = f"there is no label file for the image {images[0].name}."
        return CaseIssue(name, cause, "Add the label file, or remove the image.")
    if len(labels) > 1:
        cause = f"it has {len(labels)} label files: {', '.join(path.name for path in labels)}."
        return CaseIssue(name, cause, "Keep one of them.")
    return issue_of_channel_files(name, images)


def issue_of_channel_files(name: str, images: list[Path]) -> CaseIssue | None:
    """Return what is wrong with a case's image files (sorted by name), or None."""
    names = ", ".join(path.name for path in images)
    channels = [channel_of(stem_of(path)) for path in images]
    if len(images) == 1 and (channels[0] is None or stem_of(images[0]) == name):
        return None
    if None in channels or len(set(channels)) < len(channels):
        cause = f"it has several image files that are not numbered by channel: {names}."
        return CaseIssue(name, cause, "Keep one of them, or number them _0000, _0001, …")
    if channels != list(range(len(channels))):
        cause = f"its channel files are not numbered from 0000 on without a gap: {names}."
        return CaseIssue(name, cause, "Add the missing file, or rename the files.")
    return None


def _by_name(paths: Iterable[Path], name_of: Callable[[Path], str]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(name_of(path), []).append(path)
    return groups
