"""Collect the files of each case: pairs with the same stem, or files listed in a dataset.json."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.core.formatting import escape_bytes, format_count, format_names
from autoseg.core.names import EXPECTED
from autoseg.datasets.issues import CaseIssue
from autoseg.documents.dataset import CaseFiles, is_valid_folder_name
from autoseg.documents.splits import Fold
from autoseg.readers import exists, is_image_name, stem_of
from autoseg.readers.names import channel_of, is_utf8, without_channel_suffix


@dataclass(frozen=True)
class FoundCases:
    """The complete cases of a dataset, and the issues of the others.

    Attributes:
        cases: Cases that have all their files.
        issues: Issues of the other cases.
        notes: Sentences about ignored files.
        folds: Folds that the dataset gives.
    """

    cases: tuple[CaseFiles, ...]
    issues: tuple[CaseIssue, ...] = ()
    notes: tuple[str, ...] = ()
    folds: tuple[Fold, ...] = ()


def image_files(folder: Path, *, preferred_ending: str | None = None) -> list[Path]:
    """Return the image files of a folder, sorted, and links to missing ones.

    Args:
        folder: The folder; subfolders are not searched.
        preferred_ending: If files with this ending exist, all others are ignored; upper and lower
            case are not distinguished.
    """
    files = [
        path
        for path in sorted(folder.iterdir())
        if is_image_name(path) and (exists(path) or path.is_symlink())
    ]
    if preferred_ending:
        ending = preferred_ending.lower()
        files = [path for path in files if path.name.lower().endswith(ending)] or files
    return files


def pair_folders(images: Path, labels: Path, file_ending: str | None) -> FoundCases:
    """Pair the files of an image folder and a label folder by stem.

    Args:
        images: Folder of image files.
        labels: Folder of label files.
        file_ending: The `file_ending` of dataset.json; None if it has none.
    """
    pictures = image_files(images, preferred_ending=file_ending)
    found = pair_by_stem(pictures, image_files(labels, preferred_ending=file_ending))
    ignored = sorted(set(image_files(images)) - set(pictures))
    if not ignored:
        return found
    names = format_names([path.name for path in ignored])
    note = (
        f"{format_count(len(ignored), 'file')} in {images} ignored, because the file_ending in "
        f"dataset.json is {file_ending}: {names}. To use these files, remove file_ending there."
    )
    return replace(found, notes=(note,))


def pair_by_stem(images: list[Path], labels: list[Path]) -> FoundCases:
    """Pair images and labels of the same stem.

    A number such as `_0000` at the end of an image's stem is part of the case's name if a label has
    exactly the same stem; otherwise it is the number of the channel in the file.
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
        issue = case_files_issue(name, images_of.get(name, []), labels_of.get(name, []))
        if issue:
            issues.append(issue)
        else:
            cases.append(
                CaseFiles(name=name, images=tuple(images_of[name]), labels=labels_of[name][0])
            )
    return FoundCases(cases=tuple(cases), issues=tuple(issues))


def complete_cases(cases: list[CaseFiles], root: Path) -> FoundCases:
    """Split listed cases into those whose files exist, and issues of the others.

    The name of a case must be a valid folder name, because its prepared data is stored in a folder.
    """
    absent = [
        CaseIssue(
            case.name,
            f"dataset.json lists {relative_to_root(path, root)}, which does not exist.",
            "Add the file, or remove the case from dataset.json.",
        )
        for case in cases
        for path in (*case.images, case.labels)
        if not exists(path)
    ]
    repeated = [
        CaseIssue(name, f"dataset.json lists it {count} times.", "Keep one entry.")
        for name, count in Counter(case.name for case in cases).items()
        if count > 1
    ]
    misnamed = [
        _misnamed(name)
        for name in sorted({case.name for case in cases})
        if not is_valid_folder_name(name)
    ]
    issues = (*absent, *repeated, *misnamed)
    invalid = {issue.case for issue in issues}
    return FoundCases(tuple(case for case in cases if case.name not in invalid), issues)


def _misnamed(name: str) -> CaseIssue:
    cause = "its name is not a valid folder name."
    return CaseIssue(name, cause, f"Rename it; {EXPECTED}.")


def listed_path(root: Path, name: str) -> Path:
    """Return the path of a file listed in a dataset.json, whether or not it exists.

    Windows backslashes are accepted. Variables are not expanded.
    """
    path = root / name
    return path if path.is_file() else root / name.replace("\\", "/")


def relative_to_root(path: Path, root: Path) -> str:
    """Return a path relative to the dataset's folder, or unchanged if it is outside."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def case_files_issue(name: str, images: list[Path], labels: list[Path]) -> CaseIssue | None:
    """Check that a case has one label file and a complete set of image files.

    Args:
        name: Name of the case.
        images: Its image files, sorted by name.
        labels: Its label files.

    Returns:
        The first issue, or None.
    """
    if issue := _name_issue(name, (*images, *labels)):
        return issue
    if not images:
        cause = f"no image found for the label file {labels[0].name}."
        return CaseIssue(name, cause, "Add the image, or remove the label file.")
    if not labels:
        cause = f"no label file found for the image {images[0].name}."
        return CaseIssue(name, cause, "Add the label file, or remove the image.")
    if len(labels) > 1:
        cause = f"it has {len(labels)} label files: {', '.join(path.name for path in labels)}."
        return CaseIssue(name, cause, "Keep one of them.")
    return channel_files_issue(name, images)


def _name_issue(name: str, files: Sequence[Path]) -> CaseIssue | None:
    """Return the issue of a name that cannot be stored, or None."""
    if odd := [path for path in files if not is_utf8(path)]:
        cause = f"the name of the file {escape_bytes(odd[0].name)} is not text in UTF-8."
        return CaseIssue(name, cause, "Rename the file.")
    return None if is_valid_folder_name(name) else _misnamed(name)


def channel_files_issue(name: str, images: list[Path]) -> CaseIssue | None:
    """Return the issue of a case's image files (sorted by name), or None."""
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
