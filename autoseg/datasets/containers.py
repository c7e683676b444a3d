"""Choose the image or the labels in a file that holds several images, by their names."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from autoseg.datasets.recognition.tokens import path_tokens
from autoseg.readers import images_in
from autoseg.readers.names import only_image, split_container


def image_in(path: Path) -> Path:
    """Return the path of the image to predict in a file; the file itself if it holds one.

    It is the only one whose name says that it is an image, otherwise the only one whose name does
    not say that it holds labels.

    Raises:
        CaseError: If there are several, or the file cannot be read.
    """
    names = _names(path)
    unlabelled = [name for name in names if _role(name) != "label"]
    named = [name for name in unlabelled if _role(name) == "image"]
    return _chosen(path, names, next((found for found in (named, unlabelled) if found), []))


def labels_in(path: Path) -> Path:
    """Return the path of the labels in a file; the file itself if it holds one image.

    Raises:
        CaseError: If not exactly one of several has a name that says that it holds labels, or the
            file cannot be read.
    """
    names = _names(path)
    return _chosen(path, names, [name for name in names if _role(name) == "label"])


def _names(path: Path) -> tuple[str, ...]:
    """Return the images in a file; only itself for the path of an image in a container."""
    return ("",) if split_container(path)[1] else images_in(path)


def _chosen(path: Path, names: Sequence[str], chosen: Sequence[str]) -> Path:
    if len(names) == 1:
        return path
    return path / (chosen[0] if len(chosen) == 1 else only_image(path, names))


def _role(name: str) -> str | None:
    inner = PurePosixPath(name)
    return path_tokens(inner, inner.name).role
