"""Find the images to predict, in a folder or as a single file."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.core.errors import AutosegError, DatasetError
from autoseg.core.formatting import format_count
from autoseg.datasets.containers import image_in
from autoseg.datasets.layouts.pairing import channel_files_issue, image_files
from autoseg.datasets.recognition.dicom_cases import series_names
from autoseg.datasets.recognition.inventory import DICOM_ENDING, choose_series, take_inventory
from autoseg.readers import (
    ENDINGS,
    ending_of,
    exists,
    images_in,
    is_image_name,
    read_header,
    stem_of,
)
from autoseg.readers.dicom_series import import_pydicom, is_dicom
from autoseg.readers.names import channel_of, split_container, without_channel_suffix

MAX_CHANNELS = 8
"""Maximum number of files, numbered from 0000 on, that are assumed to be channels of one case."""


@dataclass(frozen=True)
class InputCase:
    """An image to predict.

    Attributes:
        name: Name of the case, also used for outputs.
        images: One file with all channels, or one file per channel, in channel order.
        ending: Ending of the files, e.g. `.nii.gz`.
        issue: Reason why the case cannot be predicted from these files; empty if it can.
    """

    name: str
    images: tuple[Path, ...]
    ending: str
    issue: str = ""


def find_inputs(
    path: Path, *, num_channels: int, series: Sequence[str] = ()
) -> tuple[InputCase, ...]:
    """Find the cases in a folder, or the case of a single file, sorted by name.

    Files named CASE_0000, CASE_0001 … are the channels of one case if the model has several
    channels and each file holds fewer; otherwise each file is a separate case. If CASE_0000 is the
    only file of its case, the number is removed from the name. The DICOM files of a series are one
    case, named after the folders that tell the series apart. Other files are ignored.

    Args:
        path: A folder, of which subfolders are searched for DICOM series only, an image file, or an
            image in a container.
        num_channels: Number of channels of the model.
        series: Patterns of the descriptions of DICOM series in a folder; others are left out.

    Raises:
        DatasetError: If there is no image, or no series fits a pattern.
    """
    is_image = _is_image(path)
    found: list[InputCase] = []
    if is_image and path.is_file() and is_dicom(path):
        found, files = [InputCase(stem_of(path), (path,), DICOM_ENDING)], []
    elif is_image:
        files = [path, *_siblings(path)]
    elif path.is_dir():
        files = image_files(path)
        pictures = [file for file in files if not (file.is_file() and is_dicom(file))]
        if len(pictures) < len(files) or not files or series:
            found, files = _series(path, series), [] if series else pictures
    else:
        problem = "is not a known image file" if path.is_file() else "does not exist"
        msg = f"{path} {problem}; expected a folder of images or one image ({', '.join(ENDINGS)})."
        raise DatasetError(msg)
    if not (files or found):
        msg = f"{path} contains no images; supported file endings are {', '.join(ENDINGS)}."
        raise DatasetError(msg)
    cases = _merge_same_names(
        [*found, *(case for group in _by_stem(files) for case in _cases_of(group, num_channels))]
    )
    if is_image:
        cases = [case for case in cases if path in case.images]
    return tuple(sorted(map(_in_containers, cases), key=lambda case: case.name))


def _is_image(path: Path) -> bool:
    """Return True for the path of one image: a file, an image in a container, or a Zarr folder."""
    if split_container(path)[1]:
        return exists(path)
    return is_image_name(path) and exists(path) and (path.is_file() or bool(images_in(path)))


def _in_containers(case: InputCase) -> InputCase:
    """Return a case with the paths of its images in containers, or with an issue."""
    try:
        return replace(case, images=tuple(map(image_in, case.images)))
    except AutosegError as error:  # a missing package, too, is the issue of its cases
        return replace(case, issue=case.issue or str(error))


def _series(folder: Path, patterns: Sequence[str]) -> list[InputCase]:
    """Return the DICOM series of a folder and its subfolders whose descriptions fit patterns.

    Raises:
        DatasetError: If no series fits a pattern.
        MissingPackage: If there are DICOM files, but the package that reads them is missing.
    """
    inventory = take_inventory(folder)
    if inventory.unread[DICOM_ENDING]:
        import_pydicom()
    items = [item for item in choose_series(inventory, patterns).items if item.series]
    return [
        InputCase(name, (item.file(folder),), DICOM_ENDING)
        for item, name in zip(items, series_names(items), strict=True)
    ]


def series_warning(path: Path, cases: Sequence[InputCase]) -> str:
    """Build a warning if a folder of pictures has subfolders of DICOM series, else return "".

    Args:
        path: The folder.
        cases: Cases returned by `find_inputs`.
    """
    if not path.is_dir() or any(case.ending == DICOM_ENDING for case in cases):
        return ""
    if not any(entry.is_dir() for entry in path.iterdir()):
        return ""
    number = sum(item.series is not None for item in take_inventory(path).items)
    if not number:
        return ""
    return (
        f"{number} DICOM series in subfolders are not predicted, because {path} has image files. "
        "To predict them, add --series '*', or give their folder"
    )


def channel_files_warning(cases: Sequence[InputCase], *, num_channels: int) -> str:
    """Build a warning if several cases look like the channels of one case, else an empty string.

    This is assumed if the files are numbered _0000, _0001 … without a gap, and there are at most
    `MAX_CHANNELS` of them; numbered frames of a film are usually more.

    Args:
        cases: Cases returned by `find_inputs`.
        num_channels: Number of channels of the model; if several, no warning is needed, because
            `find_inputs` has grouped the files.
    """
    if num_channels > 1:
        return ""
    numbers: dict[str, list[int]] = {}
    for stem in (stem_of(path) for case in cases for path in case.images):
        if (number := channel_of(stem)) is not None:
            numbers.setdefault(without_channel_suffix(stem), []).append(number)
    suspects = {
        stem: len(channels)
        for stem, channels in numbers.items()
        if 1 < len(channels) <= MAX_CHANNELS and sorted(channels) == list(range(len(channels)))
    }
    if not suspects:
        return ""
    stem, count = next(iter(suspects.items()))
    others = len(suspects) - 1
    same = f" (and the same for {format_count(others, 'other')})" if others else ""
    return (
        f"{stem}_0000 … {stem}_{count - 1:04d} look like the channels of one case{same}, but the "
        "model takes one channel: each file is predicted as a separate case. If they are channels, "
        "provide only the files of the channel that the model was trained on"
    )


def _siblings(path: Path) -> list[Path]:
    """Return the other files that differ from `path` only in the channel number."""
    if channel_of(stem_of(path)) is None:
        return []
    stem, ending = without_channel_suffix(stem_of(path)), ending_of(path)
    return [
        other
        for other in image_files(path.parent)
        if other != path
        and ending_of(other) == ending
        and channel_of(stem_of(other)) is not None
        and without_channel_suffix(stem_of(other)) == stem
    ]


def _by_stem(files: Iterable[Path]) -> list[list[Path]]:
    """Group files by their stem without the channel number."""
    groups: dict[tuple[str, bool], list[Path]] = {}
    for file in sorted(files):
        numbered = channel_of(stem_of(file)) is not None
        groups.setdefault((without_channel_suffix(stem_of(file)), numbered), []).append(file)
    return list(groups.values())


def _cases_of(files: list[Path], num_channels: int) -> list[InputCase]:
    """Return the case or cases of a group of files."""
    stem = stem_of(files[0])
    if channel_of(stem) is None:
        return [_single(file, stem_of(file)) for file in files]
    if len(files) == 1 and channel_of(stem) == 0:
        return [_single(files[0], without_channel_suffix(stem), num_channels=num_channels)]
    holds_all = any(_num_channels_in(file) == num_channels for file in files)
    begins_with_0 = any(channel_of(stem_of(file)) == 0 for file in files)
    if num_channels == 1 or holds_all or not begins_with_0:
        return [_single(file, stem_of(file)) for file in files]
    name = without_channel_suffix(stem)
    issue = channel_files_issue(name, files)
    sentence = issue.sentence if issue else _channel_count_issue(files, num_channels)
    return [InputCase(name, tuple(files), ending_of(files[0]), sentence)]


def _single(file: Path, name: str, *, num_channels: int | None = None) -> InputCase:
    """Return the case of one file; with `num_channels`, check that the file has all channels."""
    issue = ""
    if num_channels is not None and 0 < _num_channels_in(file) < num_channels:
        issue = _channel_count_issue([file], num_channels)
    return InputCase(name, (file,), ending_of(file), issue)


def _channel_count_issue(files: list[Path], num_channels: int) -> str:
    """Return a message if the number of files differs from the model's channels, else ""."""
    if len(files) == num_channels:
        return ""
    names = ", ".join(file.name for file in files)
    return (
        f"it has {format_count(len(files), 'channel file')} ({names}), but the model was trained "
        f"with {num_channels} channels. Add the missing files."
    )


def _num_channels_in(file: Path) -> int:
    """Return the number of channels in a file's header, or 0 if it cannot be read."""
    try:
        return read_header(file).num_channels
    except AutosegError:
        return 0


def _merge_same_names(cases: Iterable[InputCase]) -> list[InputCase]:
    """Merge cases of the same name, whose outputs would collide, into one case with an issue."""
    by_name: dict[str, list[InputCase]] = {}
    for case in cases:
        by_name.setdefault(case.name, []).append(case)
    return [_merge(same) if len(same) > 1 else same[0] for same in by_name.values()]


def _merge(same: list[InputCase]) -> InputCase:
    images = tuple(path for case in same for path in case.images)
    issue = (
        f"several inputs have this name: {', '.join(path.name for path in images)}. "
        "Rename them, so that their outputs do not collide."
    )
    return InputCase(same[0].name, images, same[0].ending, issue)
