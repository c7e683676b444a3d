"""Split paths into tokens, and find the words among them that say what a file is."""

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from itertools import pairwise
from pathlib import PurePosixPath
from unicodedata import normalize


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


LABEL_WORDS = word_set(
    """
    label labels lbl lbls labeled labelled labelmap labelmaps labeling mask masks msk
    msks seg segs segm segmentation segmentations segmented gt gts groundtruth
    groundtruths truth truths annotation annotations annotated annot annots anno annos
    manual manuals contour contours delineation delineations roi rois target targets
    matte mattes instances
    """
)
"""Words of files and folders of labels, lower case."""

IMAGE_WORDS = word_set(
    """
    image images img imgs imaging imagesets raw raws rawdata scan scans volume volumes
    vol vols photo photos picture pictures pic pics input inputs original originals orig
    org sat satellite slide slides frames stills source
    """
)
"""Words of files and folders of images, lower case."""


class Part(Enum):
    """The part of a dataset that a file belongs to."""

    TRAINING = "training"
    VALIDATION = "validation"
    TEST = "test"


PART_WORDS = {
    **dict.fromkeys(("train", "training", "trn", "trainset"), Part.TRAINING),
    **dict.fromkeys(("val", "valid", "validation", "dev", "valset"), Part.VALIDATION),
    **dict.fromkeys(("test", "testing", "tst", "testset"), Part.TEST),
}
"""Words of the parts of a dataset, lower case."""

SHORT_PART_WORDS = {"tr": Part.TRAINING, "va": Part.VALIDATION, "ts": Part.TEST}
"""Abbreviations that name a part only directly after a word for images or labels (`imagesTr`)."""

LIST_NUMBER = re.compile(r"^(\d{1,2}|[A-Za-z])[.)]\s+")
"""The number or letter of a list at the beginning of a folder's name, such as `1. Images`."""

RUN = re.compile(r"[^\W_]+")
"""Letters and digits between separators."""

SEQUENCE_NAME = re.compile(r"[a-z]{1,2}\d{1,2}[a-z]{0,3}", re.IGNORECASE)
"""Short names that mix letters and digits and are kept whole, such as `T1ce`, `t2w` or `c0`."""

HASH_LENGTH = 8
"""Least length of names that mix letters and digits at random; they are kept whole."""

HASH_CHANGES = 3
"""Least number of changes between letters and digits within such a name."""


@dataclass(frozen=True)
class PathTokens:
    """What the words of a path say about a file.

    Attributes:
        role: `image` or `label`; None if no word says it.
        part: The part of the dataset; None if no word says it.
        key: The other tokens, in order, without repetitions.
        folder_key: Those of the folders alone.
    """

    role: str | None
    part: Part | None
    key: tuple[str, ...]
    folder_key: tuple[str, ...]


def path_tokens(path: PurePosixPath, stem: str) -> PathTokens:
    """Interpret the words of a path.

    A word for labels in the name of the file decides, otherwise the deepest folder with such a
    word; a word for images in the name does not outweigh a folder of labels (`masks/image_1.png`).

    Args:
        path: Path relative to the dataset, without components that all files share.
        stem: Name of the file without its extension.
    """
    folders = [tokens(name) for name in path.parts[:-1]]
    name = tokens(stem)
    in_name, in_folder = _role(name), next(filter(None, map(_role, reversed(folders))), None)
    is_labelled = in_name == "label" or (in_name and in_folder == "label")
    role = "label" if is_labelled else in_name or in_folder
    parts = [part for words in (*folders, name) for part in _parts(words)]
    folder_key = _key(folders)
    return PathTokens(
        role=role,
        part=parts[-1] if parts else None,
        key=_key([*folders, name]),
        folder_key=folder_key,
    )


@lru_cache(maxsize=2**16)
def tokens(name: str) -> tuple[str, ...]:
    """Split a name at separators, capitals, and between letters and digits; lower case.

    Names that mix letters and digits at random, such as hexadecimal numbers, stay whole.
    """
    name = LIST_NUMBER.sub("", normalize("NFC", name))
    found: list[str] = []
    for run in RUN.findall(name):
        whole = _is_random(run) or SEQUENCE_NAME.fullmatch(run)
        found += [run] if whole else _words(run)
    return tuple(token.lower() for token in found)


def _words(run: str) -> list[str]:
    """Split a run into words in camel case, abbreviations and numbers."""
    words = [run[0]]
    for place, (before, character) in enumerate(pairwise(run), start=1):
        following = run[place + 1 : place + 2]
        ends_abbreviation = before.isupper() and character.isupper() and following.islower()
        starts_word = before.islower() and character.isupper()
        if before.isdigit() != character.isdigit() or starts_word or ends_abbreviation:
            words.append("")
        words[-1] += character
    return words


def _is_random(run: str) -> bool:
    changes = sum(first.isdigit() != second.isdigit() for first, second in pairwise(run))
    return len(run) >= HASH_LENGTH and changes >= HASH_CHANGES


def is_id(token: str) -> bool:
    """Return True if a token has a digit."""
    return any(character.isdigit() for character in token)


def _role(words: tuple[str, ...]) -> str | None:
    """Return the role that the words of one name say; labels outweigh images."""
    if any(word in LABEL_WORDS for word in words):
        return "label"
    return "image" if any(word in IMAGE_WORDS for word in words) else None


def _parts(words: tuple[str, ...]) -> list[Part]:
    return [
        part
        for before, word in pairwise(("", *words))
        if (part := PART_WORDS.get(word) or _short_part(before, word))
    ]


def _short_part(before: str, word: str) -> Part | None:
    return SHORT_PART_WORDS.get(word) if before in LABEL_WORDS | IMAGE_WORDS else None


def _key(names: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the tokens without roles and parts; one that repeats after the same word counts once.

    `sub-02/ses-01/sub-02_ses-01_run-02` has the key sub, 02, ses, 01, run, 02.
    """
    key: list[str] = []
    seen: set[tuple[str, str]] = set()
    for words in names:
        last_word = ""
        for before, word in pairwise(("", *words)):
            if word in LABEL_WORDS | IMAGE_WORDS | PART_WORDS.keys() or _short_part(before, word):
                continue
            if (last_word, word) not in seen:
                seen.add((last_word, word))
                if word not in key or is_id(word):
                    key.append(word)
            if not is_id(word):
                last_word = word
    return tuple(key)
