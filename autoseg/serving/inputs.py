"""Find the one image of a job, and check that none of its files is outside of its folder."""

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import CaseError
from autoseg.core.formatting import format_count
from autoseg.datasets.inputs import InputCase, find_inputs
from autoseg.readers import ending_of, is_image_name
from autoseg.readers.names import channel_of, split_container, stem_of

TEXT_HEADERS = (".mhd", ".mha", ".nhdr", ".nrrd")
"""Formats whose header may name other files."""

DATA_FILE = re.compile(rb"(?:ElementDataFile|data ?file)[ \t]*[:=]+([^\n]*)", re.IGNORECASE)
"""Any mention of a file in a header, also one that a reader would skip."""


@dataclass(frozen=True)
class JobInput:
    """Files of a job.

    Attributes:
        paths: The files in the order of their channels, or one folder.
        boundary: Folder in which all files must be.
    """

    paths: tuple[Path, ...]
    boundary: Path


def find_case(given: JobInput, num_channels: int) -> InputCase:
    """Return the image of a job.

    Args:
        given: The files.
        num_channels: Number of channels of the model.

    Raises:
        CaseError: If there is not exactly one image, or a file is outside of the folder.
        DatasetError: If there is no image.
    """
    _check_inside(given)
    first = given.paths[0]
    if len(given.paths) == 1:
        source = _single_folder(first) if first.is_dir() and not is_image_name(first) else first
        cases = find_inputs(source, num_channels=num_channels)
    else:
        found = [
            case
            for case in find_inputs(first.parent, num_channels=num_channels)
            if not set(given.paths).isdisjoint(case.images) or case.issue
        ]
        cases = _as_channels(found, given.paths, num_channels)
    if len(cases) != 1:
        raise CaseError(
            f"found {format_count(len(cases), 'image')}; expected one image with "
            f"{format_count(num_channels, 'channel')} (a file, or a file per channel), or one "
            "DICOM series. Send one image per request."
        )
    if cases[0].issue:
        raise CaseError(cases[0].issue)
    return cases[0]


def _as_channels(
    cases: list[InputCase], paths: tuple[Path, ...], num_channels: int
) -> tuple[InputCase, ...]:
    """Join images whose names are not numbered to the channels of one, in the given order."""
    images = [case.images[0] for case in cases]
    is_plain = all(
        not case.issue and len(case.images) == 1 and case.images[0] in paths for case in cases
    ) and not any(channel_of(stem_of(image)) is not None for image in images)
    if num_channels == 1 or len(cases) != num_channels or not is_plain:
        return tuple(cases)
    images.sort(key=paths.index)
    return (InputCase(stem_of(images[0]), tuple(images), cases[0].ending),)


def _single_folder(folder: Path) -> Path:
    """Return the folder with files in a folder that only has that folder."""
    while len(entries := list(folder.iterdir())) == 1 and entries[0].is_dir():
        if is_image_name(entries[0]):
            return entries[0]
        folder = entries[0]
    return folder


def _check_inside(given: JobInput) -> None:
    """Raise a CaseError if a link, or a header, leads out of the folder of the job."""
    boundary = given.boundary.resolve()
    for path in _files(given.paths):
        if not path.resolve().is_relative_to(boundary):
            raise CaseError("a file is a link to a file that may not be read. Send the file.")
        if ending_of(path).endswith(TEXT_HEADERS) and path.is_file():
            for name in _named_files(path):
                inside = (path.parent / name).resolve().is_relative_to(boundary)
                if name.startswith("~") or not inside:
                    raise CaseError(
                        f"the header of {path.name} names a file in another folder; expected one "
                        "next to it. Write the image as .mha, .nrrd or .nii.gz."
                    )


def _files(paths: tuple[Path, ...]) -> Iterator[Path]:
    """Yield all files that reading may open: those of folders, and all next to a file."""
    for path in paths:
        file, _ = split_container(path)
        yield file
        yield from (file.rglob("*") if file.is_dir() else file.parent.iterdir())


def _named_files(path: Path) -> Iterator[str]:
    """Yield the names of files anywhere in a header, and the lines of lists of files."""
    if not path.stat().st_size:
        return
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        for match in DATA_FILE.finditer(content):
            name = match[1].strip()
            names = [name]
            if name.upper().startswith(b"LIST"):
                names = content[match.end() :].splitlines()
            for each in names:
                text = each.decode("latin-1").replace("\\", "/").replace("\0", "").strip()
                yield text
