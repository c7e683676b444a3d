"""Decide which images of a case are its channels."""

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import CaseError, DatasetError
from autoseg.core.formatting import format_names
from autoseg.datasets.recognition.inventory import Item
from autoseg.datasets.recognition.keys import Key
from autoseg.datasets.recognition.label_series import SAMPLED
from autoseg.datasets.recognition.pairing import Joined, Named
from autoseg.datasets.recognition.patterns import suggest_pattern
from autoseg.datasets.recognition.tokens import word_set
from autoseg.readers import read_header

RESULT_WORDS = word_set(
    """
    pred prediction predictions prob probability softmax logits heatmap uncertainty overlay overlays
    preview vis thumb thumbnail weight weights distance distances affinities affs boundaries
    """
)
"""Words of images that are computed from images or labels, so that they are not channels."""

CASE_WORDS = word_set(
    """
    left right l r baseline followup follow up pre post visit
    """
)
"""Words of sides and visits, which may tell apart cases rather than channels."""

CASE_ENTITIES = ("ses-", "run-")
"""Beginnings of entities of visits and repetitions, which may tell apart cases, too."""

CHANNEL_WORDS = word_set(
    """
    channel channels chan band bands modality sequence
    """
)
"""Words whose numbers are channels."""

LEAST_COMMON = 0.9
"""Least share of the cases that have an image of a channel."""


@dataclass(frozen=True)
class Channels:
    """The images of a case that are its channels.

    Attributes:
        keys: Their tokens.
        names: Their names, if there are several.
        notes: A sentence on images that are left out.
    """

    keys: tuple[Key, ...]
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def choose_channels(
    cases: Sequence[Joined], first_label: Callable[[Joined], Item | None], root: Path
) -> Channels:
    """Decide which images of a case are its channels.

    Args:
        cases: Cases with images and labels.
        first_label: Returns a label file of a case.
        root: Folder of the dataset.

    Raises:
        DatasetError: If the images may be cases of their own, or none is on the grid of the labels.
    """
    counts = Counter(key for case in cases for key in case.images)
    kinds = [key for key in counts if not RESULT_WORDS & set(key)] or list(counts)
    common = [key for key in kinds if counts[key] >= LEAST_COMMON * len(cases)]
    if len(counts) == 1 or (not common and all(len(case.images) == 1 for case in cases)):
        return Channels(tuple(counts))
    fitting = [key for key in sorted(common) if _on_grid(cases, key, first_label, root)]
    if not fitting:
        raise DatasetError(
            f"{root}: images of several kinds per case, "
            f"{format_names([' '.join(key) for key in kinds])}, of which none is in all cases and "
            f"on the grid of the labels. Choose one with its option, for example\n"
            f"{_options(cases, kinds[:1])}"
        )
    if len(fitting) > 1:
        _check_not_cases(cases, fitting, root)
    left_out = [" ".join(key) or "without a name" for key in counts if key not in fitting]
    note = (
        "images left out, because they are missing for some cases, computed from others, or not on "
        f"the grid of the labels: {format_names(left_out)}"
    )
    names = _names(fitting) if len(fitting) > 1 else ()
    return Channels(tuple(fitting), names, (note,) if left_out else ())


def _check_not_cases(cases: Sequence[Joined], keys: Sequence[Key], root: Path) -> None:
    """Raise DatasetError if images differ in sides, visits, dates or numbers, unless chosen."""
    distinct = [_distinct(key, keys) for key in keys]
    first = {key: files[0] for case in reversed(cases) for key, files in case.images.items()}
    if not all(_may_name_cases(first[key], own) for key, own in zip(keys, distinct, strict=True)):
        return
    numbers = sorted(
        int(own[0]) if len(own) == 1 and own[0].isdecimal() else -1 for own in distinct
    )
    if numbers == list(range(len(keys))) or all(first[key].is_chosen for key in keys):
        return
    words = format_names([" ".join(own) or "without a word" for own in distinct])
    raise DatasetError(
        f"{root}: {len(keys)} images per case, {words}, which may be channels or cases of their "
        f"own:\n{_options(cases, keys)}\nChoose one with its option, or all of them if they are "
        "channels."
    )


def _may_name_cases(named: Named, words: Sequence[str]) -> bool:
    """Return True if all words of a kind are sides, visits or numbers."""
    path = named.words.key
    before = {token: path[place - 1] for place, token in enumerate(path) if place}
    return all(
        word in CASE_WORDS
        or word.startswith(CASE_ENTITIES)
        or (word.isdecimal() and before.get(word) not in CHANNEL_WORDS)
        for word in words
    )


def _options(cases: Sequence[Joined], keys: Sequence[Key]) -> str:
    """Return a line with the option of each kind of images."""
    lines = []
    for key in keys:
        having = [case for case in cases if key in case.images]
        files = [case.images[key][0] for case in having]
        pattern = suggest_pattern(files[0], having[0].key, files)
        lines.append(f"  --image {shlex.quote(pattern)}")
    return "\n".join(lines)


def _on_grid(
    cases: Sequence[Joined], key: Key, first_label: Callable[[Joined], Item | None], root: Path
) -> bool:
    """Return True if a sample of images has the shape of the labels."""
    having = [
        (case.images[key][0].item, label)
        for case in cases
        if key in case.images and (label := first_label(case)) is not None
    ]
    for image, label in having[:: max(1, len(having) // SAMPLED)][:SAMPLED]:
        try:
            if read_header(image.file(root)).shape != read_header(label.file(root)).shape:
                return False
        except CaseError:
            continue
    return True


def _names(keys: Sequence[Key]) -> tuple[str, ...]:
    return tuple("_".join(_distinct(key, keys)) or f"channel_{n}" for n, key in enumerate(keys))


def _distinct(key: Key, keys: Sequence[Key]) -> list[str]:
    return [token for token in key if not all(token in other for other in keys)]
