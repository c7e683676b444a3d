"""Take the image of a request: uploaded files, a zip file, or a path below the allowed folder."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.core.errors import CaseError
from autoseg.readers import ENDINGS, ending_of
from autoseg.readers.names import split_container
from autoseg.serving.archive import safe_name, unpack
from autoseg.serving.inputs import JobInput
from autoseg.serving.settings import Limits

if TYPE_CHECKING:
    from starlette.datastructures import UploadFile

ZIP = ".zip"


def save_uploads(files: "list[UploadFile]", folder: Path, limits: Limits) -> JobInput:
    """Save uploaded files, and unpack a zip file.

    Args:
        files: The files, in the order of their channels.
        folder: Existing folder for them.
        limits: Limits of the server.

    Raises:
        CaseError: If a file cannot be an image, or the zip file is not accepted.
        OSError: If the disk is full.
    """
    if not files:
        raise CaseError("the request has no file. Send the image in the form field `files`.")
    paths = []
    for file in files:
        name = safe_name((file.filename or "").replace("\\", "/")).name
        if name.startswith("."):
            raise CaseError("a file has a hidden name or none. Rename it.")
        path = folder / name
        if path.exists():
            raise CaseError("two files have the same name. Rename one of them.")
        with path.open("xb") as target:
            shutil.copyfileobj(file.file, target)
        paths.append(path)
    return _unpacked(tuple(paths), folder, folder, limits)


def find_paths(texts: tuple[str, ...], root: Path | None, folder: Path, limits: Limits) -> JobInput:
    """Find images of the server below the allowed folder.

    Args:
        texts: Paths relative to it, in the order of the channels.
        root: The allowed folder; None if paths are not allowed.
        folder: Existing folder for the contents of a zip file.
        limits: Limits of the server.

    Raises:
        CaseError: If paths are not allowed, or a path is missing or outside.
    """
    if root is None:
        raise CaseError(
            "paths are not allowed. Upload the image, or start the server with --allow-root FOLDER."
        )
    boundary, paths = root.resolve(), []
    for text in texts:
        path = boundary / safe_name(text)
        is_inside = path.resolve().is_relative_to(boundary)
        if not is_inside or not split_container(path)[0].exists():  # the same for both
            raise CaseError(
                "a path does not exist below the allowed folder. Give paths relative to it."
            )
        paths.append(path)
    return _unpacked(tuple(paths), boundary, folder, limits)


def _unpacked(paths: tuple[Path, ...], boundary: Path, folder: Path, limits: Limits) -> JobInput:
    """Return the files of a job, from a zip file if there is one."""
    zips = [path for path in paths if path.suffix.lower() == ZIP]
    if not zips:
        if not any(path.is_dir() or ending_of(path) in ENDINGS for path in paths):
            raise CaseError(
                f"{paths[0].name} is not a known image file; expected {', '.join(ENDINGS)}, or a "
                "zip file."
            )
        return JobInput(paths, boundary)
    if len(paths) > 1:
        raise CaseError("found a zip file among several files; expected it alone.")
    target = folder / "unpacked"
    unpack(zips[0], target, limits)
    if not any(target.iterdir()):
        raise CaseError("the zip file is empty. Pack the files of one image.")
    return JobInput((target,), target)
