"""Find the images to predict: a folder of them, or a single file."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import CaseError, DatasetError
from autoseg.core.text import counted
from autoseg.datasets.layouts.pairing import image_files, issue_of_channel_files
from autoseg.readers import ENDINGS, ending_of, is_image_name, read_header, stem_of
from autoseg.readers.names import channel_of, without_channel_suffix

MOST_CHANNELS = 8
"""Files of one stem, numbered from 0000 on, look like channels if they are no more than this."""


@dataclass(frozen=True)
class InputCase:
    """An image to predict.

    Attributes:
        name: Outputs are called after it.
        images: One file with all channels, or one file per channel, in channel order.
        ending: Ending of its files, e.g. `.nii.gz`.
        issue: What is wrong with its set of files, so that it cannot be predicted; else empty.
    """

    name: str
    images: tuple[Path, ...]
    ending: str
    issue: str = ""


def find_inputs(path: Path, *, num_channels: int) -> tuple[InputCase, ...]:
    """Return the cases in a folder, or the one that a file belongs to, sorted by name.

    Files named CASE_0000, CASE_0001 … are the channels of one case if the model has several
    channels and one such file holds fewer; otherwise each is a case of its own. A number 0000 that
    has no sibling is left out of the case's name. Files that are no images are ignored.

    Args:
        path: A folder, which is not searched any deeper, or one image file.
        num_channels: Channels that the model was trained with.

    Raises:
        DatasetError: If there is no image.
    """
    if path.is_dir():
        files = image_files(path)
    elif path.is_file() and is_image_name(path):
        files = [path, *_siblings(path)]
    else:
        found = "an unknown kind of file" if path.is_file() else "nothing"
        msg = f"{path} is {found}; expected a folder of images or one image ({', '.join(ENDINGS)})."
        raise DatasetError(msg)
    if not files:
        msg = f"{path} holds no images; known file endings are {', '.join(ENDINGS)}."
        raise DatasetError(msg)
    cases = _named_once(
        case for group in _by_stem(files) for case in _cases_of(group, num_channels)
    )
    if path.is_file():
        cases = [case for case in cases if path in case.images]
    return tuple(sorted(cases, key=lambda case: case.name))


def channels_alone(cases: Sequence[InputCase], *, num_channels: int) -> str:
    """Return a sentence if cases look like the channels of one case, else nothing.

    They do if their files are numbered _0000, _0001 … without a gap, and are few: the frames of a
    film, numbered alike, are usually many.

    Args:
        cases: What a folder holds, as `find_inputs` found it.
        num_channels: Channels that the model was trained with; with several, files are grouped.
    """
    if num_channels > 1:
        return ""
    numbers: dict[str, list[int]] = {}
    for stem in (stem_of(path) for case in cases for path in case.images):
        if (number := channel_of(stem)) is not None:
            numbers.setdefault(without_channel_suffix(stem), []).append(number)
    alike = {
        stem: len(found)
        for stem, found in numbers.items()
        if 1 < len(found) <= MOST_CHANNELS and sorted(found) == list(range(len(found)))
    }
    if not alike:
        return ""
    stem, count = next(iter(alike.items()))
    others = f", and so do those of {counted(len(alike) - 1, 'other')}" if len(alike) > 1 else ""
    return (
        f"{stem}_0000 … {stem}_{count - 1:04d} look like the channels of one case{others}, but the "
        "model takes one channel: each file is predicted as a case of its own. If they are "
        "channels, give only the files of the channel that the model was trained with"
    )


def _siblings(path: Path) -> list[Path]:
    """Return the other files that differ from `path` in their channel number alone."""
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
    """Return the files in groups that share a stem apart from their channel number."""
    groups: dict[tuple[str, bool], list[Path]] = {}
    for file in sorted(files):
        numbered = channel_of(stem_of(file)) is not None
        groups.setdefault((without_channel_suffix(stem_of(file)), numbered), []).append(file)
    return list(groups.values())


def _cases_of(files: list[Path], num_channels: int) -> list[InputCase]:
    """Return the cases that a group of files makes."""
    stem = stem_of(files[0])
    if channel_of(stem) is None:
        return [_single(file, stem_of(file)) for file in files]
    if len(files) == 1 and channel_of(stem) == 0:
        return [_single(files[0], without_channel_suffix(stem), num_channels=num_channels)]
    if num_channels == 1 or _channels_in(files[0]) == num_channels:
        return [_single(file, stem_of(file)) for file in files]
    name = without_channel_suffix(stem)
    issue = issue_of_channel_files(name, files)
    sentence = issue.sentence if issue else _issue_of_number(files, num_channels)
    return [InputCase(name, tuple(files), ending_of(files[0]), sentence)]


def _single(file: Path, name: str, *, num_channels: int | None = None) -> InputCase:
    """Return the case of one file, which a lone `_0000` should fill with all channels."""
    issue = ""
    if num_channels is not None and 0 < _channels_in(file) < num_channels:
        issue = _issue_of_number([file], num_channels)
    return InputCase(name, (file,), ending_of(file), issue)


def _issue_of_number(files: list[Path], num_channels: int) -> str:
    """Return a sentence if the files cannot hold the model's channels, else nothing."""
    if len(files) == num_channels:
        return ""
    names = ", ".join(file.name for file in files)
    return (
        f"it has {len(files)} channel file{'s' if len(files) > 1 else ''} ({names}), but the model "
        f"was trained with {num_channels} channels. Add the missing files."
    )


def _channels_in(file: Path) -> int:
    """Return the channels that a file's header tells, or 0 if it cannot be read."""
    try:
        return read_header(file).num_channels
    except CaseError:
        return 0


def _named_once(cases: Iterable[InputCase]) -> list[InputCase]:
    """Return the cases; those whose names, and so outputs, collide carry an issue."""
    by_name: dict[str, list[InputCase]] = {}
    for case in cases:
        by_name.setdefault(case.name, []).append(case)
    return [one for same in by_name.values() for one in _merged(same)]


def _merged(same: list[InputCase]) -> list[InputCase]:
    if len(same) == 1:
        return same
    images = tuple(path for case in same for path in case.images)
    issue = (
        f"several inputs have this name: {', '.join(path.name for path in images)}. "
        "Rename them, so that each has an output of its own."
    )
    return [InputCase(same[0].name, images, same[0].ending, issue)]
