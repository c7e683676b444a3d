"""Name the cases of a folder, and group those of one patient."""

from collections import Counter
from collections.abc import Sequence
from os.path import commonpath
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_names
from autoseg.datasets.recognition.keys import Key, as_numbers
from autoseg.datasets.recognition.pairing import Joined, Named
from autoseg.datasets.recognition.tokens import is_id, tokens
from autoseg.documents.dataset import is_valid_folder_name


def name_cases(cases: Sequence[Joined], channels: Sequence[Key], root: Path) -> list[str]:
    """Name the cases after their images, or after the folders that tell them apart.

    Args:
        cases: The cases.
        channels: Tokens of the images that are channels, in channel order.
        root: Folder of the dataset, for messages.

    Raises:
        DatasetError: If no names tell the cases apart.
    """
    images = [
        next(case.images[key][0] for key in (*channels, *case.images) if key in case.images)
        for case in cases
    ]
    is_single = len(channels) == 1
    choices = [
        [i.item.container or (i.item.stem if is_single else "") for i in images],
        [image.item.stem for image in images] if is_single else [],
        [_folder_name(image, case) for image, case in zip(images, cases, strict=True)],
        ["_".join(case.key) for case in cases],
        [f"{_folder_name(i, case)}_{i.item.stem}" for i, case in zip(images, cases, strict=True)],
        ["_".join((case.part.value if case.part else "", *case.key)) for case in cases],
        _path_names(images),
    ]
    for names in choices:
        if len(set(names)) == len(cases) and all(map(is_valid_folder_name, names)):
            return names
    ((repeated, _),) = Counter(choices[-1]).most_common(1)
    paths = [image.item.path for image, name in zip(images, names, strict=True) if name == repeated]
    raise DatasetError(
        f"{root}: no valid names tell the cases apart, for example of "
        f"{format_names([path.as_posix() for path in paths], 2)}. Give the images different names."
    )


def _path_names(images: Sequence[Named]) -> list[str]:
    """Return the paths of images without the folder that they share, joined by `_`."""
    shared = commonpath(image.item.path.parent for image in images)
    inner = [image.item.path.parent.relative_to(shared) for image in images]
    stems = [image.item.stem for image in images]
    return ["_".join((*path.parts, stem)) for path, stem in zip(inner, stems, strict=True)]


def _folder_name(image: Named, case: Joined) -> str:
    """Return the name of the deepest folder that has an id of the case."""
    for name in reversed(image.item.words.parts[:-1]):
        if any(is_id(token) for token in set(tokens(name)) & set(case.key)):
            return name
    return ""


def group_cases(cases: Sequence[Joined]) -> list[str | None]:
    """Group cases by `{group}` in a pattern, or by the outermost folder of several cases.

    The name of the folder has an id of the case, or a word that varies next to one that does not
    (`video_a`).
    """
    images = [next(iter(case.images.values()))[0] for case in cases]
    if any("group" in image.fields for image in images):
        return [image.fields.get("group") for image in images]
    own = [set(as_numbers(case.key)) for case in cases]
    folders = [
        [[word for word, kind in name if not kind] for name in image.words.names[:-1]]
        for image in images
    ]
    for depth in range(min(map(len, folders), default=0)):
        keys = []
        for names, known in zip(folders, own, strict=True):
            inner = [[t for t in name if as_numbers((t,))[0] in known] for name in names]
            is_own = bool(inner[depth]) and (
                any(map(is_id, inner[depth])) or len(inner[depth]) < len(names[depth])
            )
            keys.append(tuple(t for name in inner[: depth + 1] for t in name) if is_own else ())
        if all(keys) and 1 < len(set(keys)) < len(keys):
            return ["_".join(key) for key in keys]
    return [None] * len(cases)
