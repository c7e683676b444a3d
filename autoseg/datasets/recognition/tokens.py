"""Split paths into tokens, and find the words among them that say what a file is."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from itertools import pairwise, takewhile
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

ROLE_WORDS = LABEL_WORDS | IMAGE_WORDS
"""Words of images and of labels, lower case."""


class Part(Enum):
    """The part of a dataset that a file belongs to."""

    TRAINING = "training"
    VALIDATION = "validation"
    TEST = "test"


PART_WORDS = {
    **dict.fromkeys(("train", "training", "trn", "trainset", "development"), Part.TRAINING),
    **dict.fromkeys(("val", "valid", "validation", "dev", "valset"), Part.VALIDATION),
    **dict.fromkeys(("test", "testing", "tst", "testset"), Part.TEST),
    **dict.fromkeys(("eval", "evaluation", "holdout", "heldout"), Part.TEST),
}
"""Words of the parts of a dataset, lower case."""

SHORT_PART_WORDS = {"tr": Part.TRAINING, "va": Part.VALIDATION, "ts": Part.TEST, "te": Part.TEST}
"""Abbreviations that name a part only directly after a word for images or labels (`imagesTr`), or
where they alone tell names apart."""

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
"""Depths and other words of the names in which a word of a part says the part; where it is an
abbreviation, an empty word precedes the others."""


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

    @property
    def own_words(self) -> tuple[str, ...]:
        """Words in the name of the file that are not ids and say neither a role nor a part."""
        return tuple(word for word, kind in self.names[-1] if not (kind or is_id(word)))

    def with_own_words(self) -> "PathTokens":
        """Return the tokens with the words of the file's name that repeat those of folders."""
        repeated = (word for word in self.own_words if word in self.folder_key)
        return replace(self, key=(*self.key, *repeated))

    def with_words(self, kept: frozenset[str]) -> "PathTokens":
        """Return the tokens with some words of roles as part of the key."""
        key, folder_key = _key(self.names, kept), _key(self.names[:-1], kept)
        return replace(self, key=key, folder_key=folder_key)


def path_tokens(path: PurePosixPath, stem: str, part_names: PartNames | None = None) -> PathTokens:
    """Interpret the words of a path.

    A word for labels in the name of the file decides, otherwise the deepest folder with such a
    word; a word for images in the name does not outweigh a folder of labels (`masks/image_1.png`).
    The deepest folder with a word of a part says the part, otherwise the name of the file.

    Args:
        path: Path relative to the dataset, without components that all files share.
        stem: Name of the file without its extension.
        part_names: Names that a word of a part tells apart, from `find_part_names`; with None, a
            word of a part counts in any name.
    """
    texts = (*path.parts[:-1], stem)
    *outer, last = (
        _kinds(tokens(text), (depth - len(texts), part_names)) for depth, text in enumerate(texts)
    )
    folders, folder_part = tuple(outer), _part(outer)
    name = _within_part(last, folder_part)
    names = (*folders, name)
    in_name, in_folder = _role(name), next(filter(None, map(_role, reversed(folders))), None)
    is_labelled = in_name == "label" or (in_name and in_folder == "label")
    return PathTokens(
        role="label" if is_labelled else in_name or in_folder,
        part=folder_part or _part([name]),
        key=_key(names),
        folder_key=_key(folders),
        folder_role=in_folder,
        names=names,
    )


def _part(names: Sequence[Words]) -> Part | None:
    """Return the part that the deepest name says; `train_val` is the training part."""
    for name in reversed(names):
        words = _of_kind([name], "part")
        parts = [PART_WORDS.get(word) or SHORT_PART_WORDS[word] for word in words]
        if parts:
            return Part.TRAINING if Part.TRAINING in parts[-2:] else parts[-1]
    return None


def _within_part(name: Words, part: Part | None) -> Words:
    """Return the name of a file in a folder of a part.

    The same part in the name is a repetition, another one is an ordinary word.
    """
    if part is None:
        return name
    found = []
    for word, kind in name:
        own = PART_WORDS.get(word)
        found.append((word, "part" if own is part else "" if own else kind))
    return tuple(found)


def find_part_names(paths: Iterable[tuple[PurePosixPath, str]]) -> PartNames:
    """Return the names in which a word of a part says the part.

    Only such a word tells them apart (`lung_train` and `lung_test`), or they are folders next to
    one of training cases (`train` and `final_test`).

    Args:
        paths: Paths and names without the extension.
    """
    found: dict[tuple[int, tuple[str, ...]], set[Part | None]] = defaultdict(set)
    folders: dict[PurePosixPath, dict[str, tuple[int, tuple[str, ...]]]] = defaultdict(dict)
    known: set[tuple[str, ...]] = set()
    for path, stem in paths:
        texts = (*path.parts[:-1], stem)
        first = len(texts) - 1 if texts[:-1] in known else 0
        known.add(texts[:-1])
        for depth, text in enumerate(texts[first:], start=first):
            words = tokens(text)
            part = _part_of(text)
            others = _other_words(words)
            place = depth - len(texts), others
            found[place].add(part)
            short = [SHORT_PART_WORDS[word] for word in others if word in SHORT_PART_WORDS]
            if short:
                place = place[0], _without_short(others)
                found[place].add(short[-1])
            if (part or place[1] == ("",)) and depth < len(texts) - 1:
                folders[PurePosixPath(*texts[:depth])][text] = place
    together = {place for place, parts in found.items() if _tell_apart(place[1], parts)}
    for names in folders.values():
        if any(
            not others and _part_of(name) is Part.TRAINING for name, (_, others) in names.items()
        ):
            together |= set(names.values())
    return frozenset(together)


def _tell_apart(others: tuple[str, ...], parts: set[Part | None]) -> bool:
    """Return True if names with the same other words are in several parts."""
    is_short = others[:1] == ("",)
    return len(parts) > 1 and (not is_short or Part.TRAINING in parts)


def _part_of(name: str) -> Part | None:
    return next((PART_WORDS[word] for word in tokens(name) if word in PART_WORDS), None)


def _without_short(others: tuple[str, ...]) -> tuple[str, ...]:
    return ("", *(word for word in others if word not in SHORT_PART_WORDS))


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
        found += [run.lower()] if whole else _words(run)
    return tuple(found)


def token_spans(name: str) -> list[tuple[str, int, int]]:
    """Return the tokens of a name with their first place, and the place after their last."""
    found: list[tuple[str, int, int]] = []
    lower, end = name.lower(), 0
    for token in tokens(name):
        start = lower.find(token, end)
        if start >= 0:
            end = start + len(token)
            found.append((token, start, end))
    return found


def _words(run: str) -> list[str]:
    """Split a run into words in camel case, abbreviations and numbers; lower case."""
    words = [run[0]]
    for place, character in enumerate(run[1:], start=1):
        if _starts_word(run, place):
            words.append("")
        words[-1] += character
    return [part for word in words for part in _known_words(word.lower())]


def _starts_word(run: str, place: int) -> bool:
    """Return True if a character starts a word.

    The last of several capitals belongs to the small letters after it (`JPEGImages`), unless they
    are a word for images or labels without it (`BETmask`), or a single capital is left (`CTres`).
    """
    before, character = run[place - 1], run[place]
    if before.isdigit() != character.isdigit() or (before.islower() and character.isupper()):
        return True
    capitals = "".join(takewhile(str.isupper, reversed(run[: place + character.isupper()])))
    small = "".join(takewhile(str.islower, run[place + character.isupper() :]))
    if not (before.isupper() and small and len(capitals) > 1):
        return False
    with_capital = f"{capitals[0]}{small}".lower()
    is_whole = small in ROLE_WORDS and with_capital not in ROLE_WORDS
    if not character.isupper():
        return is_whole
    return not is_whole and (len(capitals) > 2 or with_capital in ROLE_WORDS)


def _known_words(word: str) -> tuple[str, ...]:
    """Split a word for images or labels that is written together with another known one.

    `rawimages` becomes `raw` and `images`.
    """
    known = ROLE_WORDS | PART_WORDS.keys()
    if word not in known:
        for place in range(2, len(word) - 1):
            both = word[:place], word[place:]
            if known.issuperset(both) and ROLE_WORDS.intersection(both):
                return both
    return (word,)


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
    """Return the words that may belong to a name; the letter of `testA` is a number."""
    known = KNOWN_WORDS
    return tuple(
        word
        for before, word in pairwise(("", *words))
        if not (word in known or is_id(word) or (len(word) == 1 and before in PART_WORDS))
    )


def _kinds(words: tuple[str, ...], place: tuple[int, PartNames | None]) -> Words:
    """Return the kinds of the tokens of one name.

    A word of a part counts next to words of roles and numbers; `test_max1` may be a patient.
    """
    depth, part_names = place
    others = _other_words(words)
    has_part = not others or part_names is None or (depth, others) in part_names
    has_short = part_names is not None and (depth, _without_short(others)) in part_names
    found = []
    for before, word in pairwise(("", *words)):
        is_short = word in SHORT_PART_WORDS and (before in ROLE_WORDS or has_short)
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
