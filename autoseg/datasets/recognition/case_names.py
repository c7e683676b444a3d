"""Name the cases of a folder, and the groups that they belong to."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from os.path import commonpath
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_names
from autoseg.datasets.recognition.keys import Key, as_numbers
from autoseg.datasets.recognition.pairing import Joined, Named
from autoseg.datasets.recognition.tokens import Words, is_id, tokens, word_set
from autoseg.documents.dataset import is_valid_folder_name

GROUP_WORDS = word_set(
    """
    patient patients pat subject subj sub person donor slide video vid p
    """
)
"""Words of groups in names of cases."""

PLACE_WORDS = word_set(
    """
    slice slices frame z y x t time visit ses session left right l r od os tile patch
    """
)
"""Words of places and times within a group."""

BATCH_WORDS = word_set(
    """
    batch part subset set chunk fold volume vol release
    """
)
"""Words of folders that hold a batch of cases."""

AUGMENTATION_WORDS = word_set(
    """
    flip flipped hflip vflip rot rotated rotate mirror mirrored aug augmented
    """
)
"""Words of images that are computed from another case."""


def name_cases(cases: Sequence[Joined], channels: Sequence[Key], root: Path) -> list[str]:
    """Name the cases after their images, or after the folders that tell them apart.

    Args:
        cases: The cases.
        channels: Tokens of the images that are channels.
        root: Folder of the dataset.

    Raises:
        DatasetError: If no names tell the cases apart.
    """
    images = [
        next(case.images[key][0] for key in (*channels, *case.images) if key in case.images)
        for case in cases
    ]
    has_stem = len(channels) == 1 or all(len(case.images) == 1 for case in cases)
    pairs = list(zip(images, cases, strict=True))
    choices: tuple[Callable[[Named, Joined], str], ...] = (
        lambda image, _: image.item.container or (image.item.stem if has_stem else ""),
        lambda image, _: image.item.stem if has_stem else "",
        _folder_name,
        lambda _, case: "_".join(case.key),
        lambda image, case: "_".join(filter(None, (_folder_name(image, case), image.item.stem))),
        lambda _, case: "_".join((*([case.part.value] if case.part else []), *case.key)),
    )
    for choice in choices:
        names = [choice(image, case) for image, case in pairs]
        if len(set(names)) == len(cases) and all(map(is_valid_folder_name, names)):
            return names
    names = _path_names(images)
    if len(set(names)) == len(cases) and all(map(is_valid_folder_name, names)):
        return names
    ((repeated, _),) = Counter(names).most_common(1)
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


def first_image(case: Joined) -> Named:
    """Return the first image of a case."""
    return next(iter(case.images.values()))[0]


def _folder_name(image: Named, case: Joined) -> str:
    """Return the name of the deepest folder that has an id of the case."""
    for name in reversed(image.item.words.parts[:-1]):
        if any(is_id(token) for token in set(tokens(name)) & set(case.key)):
            return name
    return ""


@dataclass(frozen=True)
class Groups:
    """The group of each case.

    Attributes:
        names: Names of the groups; None for a case in no group.
        source: What they were read from.
    """

    names: list[str | None]
    source: str = ""


def find_groups(cases: Sequence[Joined]) -> Groups:
    """Group cases by `{group}` in a pattern, otherwise by their folders or their names."""
    images = [first_image(case) for case in cases]
    if any("group" in image.fields for image in images):
        return Groups([image.fields.get("group") for image in images], "{group} of the patterns")
    for source, keys in (
        ("folders", _folder_groups(cases)),
        ("the names of the cases", _groups_in_names(images) or _augmented_groups(cases)),
    ):
        if keys:
            return Groups(["_".join(key) for key in keys], source)
    return Groups([None] * len(cases))


def _folder_groups(cases: Sequence[Joined]) -> list[Key]:
    """Group cases by the outermost folder of several cases; empty if there is none.

    The name of the folder has an id of the case, or a word that varies next to one that does not
    (`video_a`). Batches (`batch_1`, `1-200`) are not groups.
    """
    own = [set(as_numbers(case.key)) for case in cases]
    folders = [first_image(case).words.names[:-1] for case in cases]
    for depth in range(min(map(len, folders), default=0)):
        if _are_batches([names[depth] for names in folders]):
            continue
        keys = []
        for names, known in zip(folders, own, strict=True):
            words = [[word for word, kind in name if not kind] for name in names[: depth + 1]]
            inner = [[t for t in name if as_numbers((t,))[0] in known] for name in words]
            is_own = bool(inner[depth]) and (
                any(map(is_id, inner[depth])) or len(inner[depth]) < len(words[depth])
            )
            keys.append(tuple(t for name in inner for t in name) if is_own else ())
        if all(keys) and _are_groups(keys):
            return keys
    return []


def _are_groups(keys: Sequence[Key]) -> bool:
    return 1 < len(set(keys)) < len(keys)


def _are_batches(names: Sequence[Words]) -> bool:
    """Return True for folders of batches, of several parts, or of ranges of numbers."""
    texts = {tuple(word for word, _ in name) for name in names}
    are_ranges = all(len(text) == 2 and all(map(str.isdecimal, text)) for text in texts)
    parts = {word for name in names for word, kind in name if kind == "part"}
    return are_ranges or len(parts) > 1 or any(BATCH_WORDS.intersection(text) for text in texts)


def _beginnings(images: Sequence[Named]) -> list[tuple[Key, Key]]:
    """Split the tokens of each file's name after its first id."""
    found = []
    for image in images:
        words = tuple(word for word, kind in image.words.names[-1] if kind != "part")
        end = next((place for place, word in enumerate(words, start=1) if is_id(word)), len(words))
        found.append((words[:end], words[end:]))
    return found


def _groups_in_names(images: Sequence[Named]) -> list[Key]:
    """Group cases by the beginning of their names, such as `patient_1` of `patient_1_slice_2`.

    A word for groups is in the beginning, or the words behind it are of places or times.
    """
    split = _beginnings(images)
    keys = [beginning for beginning, _ in split]
    if not (_are_groups(keys) and all(rest for _, rest in split)):
        return []
    are_groups = all(_stems(key) & GROUP_WORDS for key in keys)
    are_places = all(_stems(rest) and _stems(rest) <= PLACE_WORDS for _, rest in split)
    return keys if are_groups or are_places else []


def _stems(key: Key) -> set[str]:
    """Return the letters of the tokens that begin with some: `frame` of `frame12`."""
    return {token.rstrip("0123456789") for token in key} - {""}


def _augmented_groups(cases: Sequence[Joined]) -> list[Key]:
    """Group cases with those that words such as `flip` and `rot90` tell apart from them."""
    keys = [case.key for case in cases]
    simple = [_without_augmentation(key) for key in keys]
    known = set(keys)
    is_repeated = len(known) == len(keys) and all(key in known for key in simple)
    return simple if is_repeated and _are_groups(simple) else []


def _without_augmentation(key: Key) -> Key:
    return tuple(
        token
        for before, token in pairwise(("", *key))
        if not (
            _stems((token,)) & AUGMENTATION_WORDS
            or (token.isdecimal() and before in AUGMENTATION_WORDS)
        )
    )


def group_note(cases: Sequence[Joined], groups: Groups) -> tuple[str, ...]:
    """Return a sentence on cases whose names begin alike, if there are no groups."""
    if any(group is not None for group in groups.names):
        return ()
    images = [first_image(case) for case in cases]
    split = zip(cases, _beginnings(images), strict=True)
    keys = [(case.part, beginning, bool(rest)) for case, (beginning, rest) in split]
    (repeated, number), *_ = Counter(keys).most_common(1)
    if number < 2 or not repeated[-1] or number == len(cases):
        return ()
    path = next(i for i, key in zip(images, keys, strict=True) if key == repeated).item.path
    note = (
        f"the names of {number} cases begin like that of {path}, but each case is a group of its "
        "own. If they are of one patient, slide or video, mark the beginning with {group} in a "
        "pattern of --image"
    )
    return (note,)
