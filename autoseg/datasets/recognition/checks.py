"""Refuse folders whose cases may be meant otherwise: other images, other parts, copies."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_count
from autoseg.datasets.recognition.contents import content_of
from autoseg.datasets.recognition.keys import Key, as_numbers, varying
from autoseg.datasets.recognition.label_series import SAMPLED
from autoseg.datasets.recognition.pairing import Joined, Named, Pairing
from autoseg.datasets.recognition.patterns import suggest_pattern
from autoseg.datasets.recognition.roles import alike
from autoseg.datasets.recognition.tokens import Part, is_id, tokens

LEAST_COMMON = 0.9
"""Least share of the cases that have an image of another kind for the choice to be open."""

LEAST_CORRELATION = 0.95
"""Least correlation of the thumbnails of an image in two sizes."""

THUMBNAIL_SIZE = 8
"""Blocks along each axis of a thumbnail."""


def check_pairing(pairing: Pairing, root: Path) -> None:
    """Check that nothing else is as good an answer as the cases that were found.

    Args:
        pairing: The cases.
        root: Folder of the dataset.

    Raises:
        DatasetError: If images that were left out fit as well, if a folder next to that of the
            training cases is in no part, or if the images of two folders are the same.
    """
    _check_other_images(pairing, root)
    _check_parts(pairing.cases, root)
    _check_copies(pairing.cases, root)


def _check_other_images(pairing: Pairing, root: Path) -> None:
    """Raise DatasetError if images without labels share as many tokens with them as those used."""
    left = [entry for case in pairing.unlabelled for entry in _files(case)]
    used = [entry for case in pairing.cases for entry in _files(case)]
    for group in alike(left).values():
        if len(group) < LEAST_COMMON * len(pairing.cases):
            continue
        keys = varying([entry.words.key for entry in group])
        by_ids = {
            (entry.words.part, _ids(key)): entry for key, entry in zip(keys, group, strict=True)
        }
        rivals = [
            by_ids.get((case.part, ids)) or by_ids.get((None, ids))
            for case in pairing.cases
            for ids in [_ids(case.key)]
        ]
        fits = [
            rival is not None and _num_common(rival, case) >= max(_common_numbers(case), default=0)
            for rival, case in zip(rivals, pairing.cases, strict=True)
        ]
        if sum(fits) >= LEAST_COMMON * len(fits):
            reason = f"{root}: two kinds of images have the numbers of the labels"
            raise _choice(reason, (used, group))


def _files(case: Joined) -> list[Named]:
    return [entry for entries in case.images.values() for entry in entries]


def _first_label(case: Joined) -> Named:
    return next(iter(case.labels.values()))[0]


def _ids(key: Key) -> Key:
    return tuple(sorted(token for token in as_numbers(key) if is_id(token)))


def _common_numbers(case: Joined) -> list[int]:
    return [_num_common(entry, case) for entry in _files(case)]


def _num_common(image: Named, case: Joined) -> int:
    """Return the number of tokens that an image shares with a label of a case."""
    entries = (image, _first_label(case))
    own, other = (Counter(as_numbers(entry.words.key)) for entry in entries)
    return sum((own & other).values())


def _check_parts(cases: Sequence[Joined], root: Path) -> None:
    """Raise DatasetError if there is a folder of no part next to that of the training cases."""
    by_part: dict[Part | None, dict[tuple[str, ...], list[Joined]]] = defaultdict(dict)
    for case in cases:
        image = _files(case)[0]
        path, names = image.item.path.parts, image.words.names
        for depth, name in enumerate(names[:-1], start=len(path) - len(names)):
            is_part = any(kind == "part" for _, kind in name)
            if case.part is None or (case.part is Part.TRAINING and is_part):
                place = (*path[: depth + 1], str(len(path)))
                by_part[case.part].setdefault(place, []).append(case)
    for training, own in by_part[Part.TRAINING].items():
        for other, rest in by_part[None].items():
            if (training[:-2], training[-1]) == (other[:-2], other[-1]):
                sides = [[_files(case)[0] for case in side] for side in (own, rest)]
                raise _choice(
                    f"{root}: {format_count(len(own), 'case')} in {training[-2]}, and "
                    f"{len(rest)} in {other[-2]}, which may be for training or for testing",
                    sides,
                    ", or train on all with both",
                )


def _check_copies(cases: Sequence[Joined], root: Path) -> None:
    """Raise DatasetError if files of the same names in two folders hold the same images."""
    folders: dict[Key, dict[tuple[str, str], Joined]] = defaultdict(dict)
    for case in cases:
        item = _files(case)[0].item
        folders[as_numbers(tokens(item.stem))][item.path.parent.as_posix(), item.ending] = case
    repeated = [found for found in folders.values() if len(found) > 1]
    pairs: dict[tuple[object, object], list[tuple[Joined, Joined]]] = defaultdict(list)
    for found in repeated:
        (first, one), (second, other), *_ = found.items()
        pairs[first, second].append((one, other))
    for both in pairs.values():
        sample = both[:: max(1, len(both) // SAMPLED)][:SAMPLED]
        if len(both) > 1 and all(_are_equal(one, other, root) for one, other in sample):
            lines = [_options([pair[side] for pair in both]) for side in (0, 1)]
            raise DatasetError(
                f"{root}: the same images are in two folders:\n  {lines[0]}\n  {lines[1]}\n"
                "Choose one with its options."
            )


def _are_equal(first: Joined, second: Joined, root: Path) -> bool:
    """Return True if the first images of two cases have the same voxels, or are resized."""
    contents = [content_of(_files(case)[0].item.file(root)) for case in (first, second)]
    one, other = (content.channels if content else None for content in contents)
    if one is None or other is None or one.ndim != other.ndim:
        return False
    if one.shape == other.shape:
        return np.array_equal(one, other)
    both = [_thumbnail(channels) for channels in (one, other)]
    return bool(np.corrcoef(both)[0, 1] >= LEAST_CORRELATION)


def _thumbnail(channels: np.ndarray) -> np.ndarray:
    """Return the means of a few blocks along each axis of the first channel."""
    means = channels[0].astype(float)
    for axis, size in enumerate(means.shape):
        starts = np.linspace(0, size, min(size, THUMBNAIL_SIZE), endpoint=False).astype(int)
        counts = np.diff(starts, append=size).reshape(-1, *[1] * (means.ndim - axis - 1))
        means = np.add.reduceat(means, starts, axis=axis) / counts
    return np.asarray(means.ravel())


def _options(cases: Sequence[Joined]) -> str:
    """Return the options that choose the first images and labels of cases."""
    sides = [_files(case)[0] for case in cases], [_first_label(case) for case in cases]
    return " ".join(
        f"--{role} {shlex.quote(suggest_pattern(files[0], cases[0].key, files))}"
        for role, files in zip(("image", "label"), sides, strict=True)
    )


def _choice(reason: str, kinds: Iterable[Sequence[Named]], more: str = "") -> DatasetError:
    """Return the error for several kinds of images, with the option of each."""
    lines = "\n".join(
        f"  {format_count(len(files), 'file')}: --image "
        f"{shlex.quote(suggest_pattern(files[0], (), files))}"
        for files in kinds
    )
    return DatasetError(f"{reason}:\n{lines}\nChoose one with its option{more}.")
