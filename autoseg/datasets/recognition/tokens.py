"""Split paths into tokens, and find the words among them that say what a file is."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
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
    matte mattes instances dseg
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

DATA_WORDS = word_set("data dataset datasets set sets split splits")
"""Words next to which a word of a part names a part (`Test Set`), lower case."""

KNOWN_WORDS = LABEL_WORDS | IMAGE_WORDS | PART_WORDS.keys() | DATA_WORDS
"""Words with a meaning."""

MOST_CACHED = 2**18
"""Number of names and tokens that are remembered; large datasets have 100 000 names."""

LIST_NUMBER = re.compile(r"^(\d{1,2}|[A-Za-z])[.)]\s+")
"""The number or letter of a list at the beginning of a folder's name, such as `1. Images`."""

RUN = re.compile(r"[^\W_]+")
"""Letters and digits between separators."""

SEQUENCE_NAME = re.compile(r"[a-z]{1,2}\d{1,2}[a-z]{0,3}", re.IGNORECASE)
"""Short names that mix letters and digits and are kept whole, such as `T1ce`, `t2w` or `c0`."""

ENTITY_NAME = re.compile(r"(?:sub|ses)-[A-Za-z0-9]+(?:_[A-Za-z0-9]+(?:-[A-Za-z0-9]+)?)*")
"""Names of entities as in BIDS, such as `sub-01_ses-02_label-lesion_mask`; each entity or word is a
token. Source: Gorgolewski et al., Scientific Data 3:160044 (2016)."""

KIND_ENTITIES = frozenset(["label", "desc", "space", "res", "den", "seg", "hemi"])
"""Entities that tell apart files made from the same image; all others belong to the case."""

HASH_LENGTH = 8
"""Least length of names that mix letters and digits at random; they are kept whole."""

HASH_CHANGES = 3
"""Least number of changes between letters and digits within such a name."""


Words = tuple[tuple[str, str], ...]
"""Tokens of one name, each with its kind: `label`, `image`, `part`, or nothing."""

PartNames = frozenset[tuple[int, tuple[str, ...]]]
"""Depths and other words of the names that only a word of a part tells apart."""


@dataclass(frozen=True)
class PathTokens:
    """What the words of a path say about a file.

    Attributes:
        role: `image` or `label`; None if no word says it.
        part: The part of the dataset; None if no word says it.
        key: The other tokens, in order; those of the folders are not repeated.
        folder_key: Those of the folders alone.
        folder_role: The role that the folders alone say.
        names: Tokens of the folders and of the file.
    """

    role: str | None
    part: Part | None
    key: tuple[str, ...]
    folder_key: tuple[str, ...]
    folder_role: str | None = None
    names: tuple[Words, ...] = ()

    @property
    def role_words(self) -> frozenset[str]:
        """Words that say a role, in the whole path."""
        return frozenset(
            word for name in self.names for word, kind in name if kind in ("image", "label")
        )

    def with_words(self, kept: frozenset[str]) -> "PathTokens":
        """Return the tokens with some words of roles as part of the key."""
        key, folder_key = _key(self.names, kept), _key(self.names[:-1], kept)
        return replace(self, key=key, folder_key=folder_key)


def path_tokens(path: PurePosixPath, stem: str, part_names: PartNames | None = None) -> PathTokens:
    """Interpret the words of a path.

    A word for labels in the name of the file decides, otherwise the deepest folder with such a
    word; a word for images in the name does not outweigh a folder of labels (`masks/image_1.png`).

    Args:
        path: Path relative to the dataset, without components that all files share.
        stem: Name of the file without its extension.
        part_names: Names that a word of a part tells apart, from `find_part_names`; with None, a
            word of a part counts in any name.
    """
    texts = (*path.parts[:-1], stem)
    names = tuple(
        _kinds(tokens(text), (depth - len(texts), part_names)) for depth, text in enumerate(texts)
    )
    folders, name = names[:-1], names[-1]
    in_name, in_folder = _role(name), next(filter(None, map(_role, reversed(folders))), None)
    is_labelled = in_name == "label" or (in_name and in_folder == "label")
    parts = [PART_WORDS.get(word) or SHORT_PART_WORDS[word] for word in _of_kind(names, "part")]
    return PathTokens(
        role="label" if is_labelled else in_name or in_folder,
        part=parts[-1] if parts else None,
        key=_key(names),
        folder_key=_key(folders),
        folder_role=in_folder,
        names=names,
    )


def find_part_names(paths: Iterable[tuple[PurePosixPath, str]]) -> PartNames:
    """Return the names that a word of a part tells apart, such as `lung_train` and `lung_test`.

    Args:
        paths: Paths and names without the extension.
    """
    found: dict[tuple[int, tuple[str, ...]], set[Part | None]] = defaultdict(set)
    for path, stem in paths:
        texts = (*path.parts[:-1], stem)
        for depth, text in enumerate(texts):
            words = tokens(text)
            part = next((PART_WORDS[word] for word in words if word in PART_WORDS), None)
            found[depth - len(texts), _other_words(words)].add(part)
    return frozenset(place for place, parts in found.items() if len(parts) > 1)


@lru_cache(maxsize=MOST_CACHED)
def tokens(name: str) -> tuple[str, ...]:
    """Split a name at separators, capitals, and between letters and digits; lower case.

    Names that mix letters and digits at random, such as hexadecimal numbers, stay whole, and so do
    entities in names such as `sub-01_ses-02_T1w`.
    """
    if ENTITY_NAME.fullmatch(name):
        return tuple(name.lower().split("_"))
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


@lru_cache(maxsize=MOST_CACHED)
def is_id(token: str) -> bool:
    """Return True if a token has a digit, or is an entity that names a case."""
    entity, _, value = token.partition("-")
    if value:
        return entity not in KIND_ENTITIES
    return any(character.isdigit() for character in token)


def _other_words(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in words if word not in KNOWN_WORDS and not is_id(word))


def _kinds(words: tuple[str, ...], place: tuple[int, PartNames | None]) -> Words:
    """Return the kinds of the tokens of one name.

    A word of a part counts next to words of roles and numbers; `test_max1` may be a patient.
    """
    depth, part_names = place
    others = _other_words(words)
    has_part = not others or part_names is None or (depth, others) in part_names
    found = []
    for before, word in pairwise(("", *words)):
        is_short = word in SHORT_PART_WORDS and before in LABEL_WORDS | IMAGE_WORDS
        kind = "label" if word in LABEL_WORDS else "image" if word in IMAGE_WORDS else ""
        found.append((word, "part" if is_short or (has_part and word in PART_WORDS) else kind))
    return tuple(found)


def _of_kind(names: Iterable[Words], kind: str) -> list[str]:
    return [word for name in names for word, found in name if found == kind]


def _role(name: Words) -> str | None:
    """Return the role that the words of one name say; labels outweigh images."""
    return next((role for role in ("label", "image") if _of_kind([name], role)), None)


def _key(names: Iterable[Words], kept: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Return the tokens without roles and parts, and without those that repeat a folder's.

    `sub-02/ses-01/sub-02_ses-01_run-02` has the key sub, 02, ses, 01, run, 02.

    Args:
        names: Tokens of the folders and of the file.
        kept: Words of roles that are part of the key.
    """
    key: list[str] = []
    seen: Counter[tuple[str, str]] = Counter()
    for name in names:
        repeated = seen.copy()
        last_word = ""
        for word, kind in name:
            if kind and word not in kept:
                continue
            if repeated[last_word, word]:
                repeated[last_word, word] -= 1
            else:
                seen[last_word, word] += 1
                if word not in key or is_id(word):
                    key.append(word)
            if not is_id(word):
                last_word = word
    return tuple(key)
