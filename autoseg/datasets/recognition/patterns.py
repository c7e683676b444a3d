"""Patterns of paths, such as `labels/{case}_seg.nii.gz`: find files with them, and suggest them."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_names
from autoseg.datasets.recognition.keys import Key, varying
from autoseg.datasets.recognition.pairing import Named
from autoseg.datasets.recognition.tokens import PART_WORDS, tokens

FIELDS = ("case", "group", "part", "channel", "class", "object")
"""Names of the parts of a path that a pattern can pick out."""

FIELD = re.compile(r"\{(\w+)\}|(\*\*/?)|(\*)|([^{*]+|\{)")
"""A field, any folders, any part of a name, or text."""


class PathPattern:
    """A pattern of paths relative to the dataset.

    `{case}` and the other fields stand for one or more characters without a slash; a field that
    occurs twice has the same text in both places. `*` is any text within a name, `**/` any folders.

    Args:
        text: The pattern.

    Raises:
        DatasetError: If a field is unknown.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        seen: set[str] = set()
        parts = []
        for field, folders, _, plain in FIELD.findall(text.replace("\\", "/").removeprefix("./")):
            if field and field not in FIELDS:
                raise DatasetError(
                    f"the pattern {text!r} has the unknown field {{{field}}}; expected "
                    f"{', '.join(f'{{{name}}}' for name in FIELDS)}."
                )
            if field:
                parts.append(f"(?P={field})" if field in seen else f"(?P<{field}>[^/]+?)")
                seen.add(field)
            elif folders:
                parts.append("(?:.*/)?" if folders.endswith("/") else ".*")
            else:
                parts.append(re.escape(plain) if plain else "[^/]*")
        self.fields = frozenset(seen)
        self._expression = re.compile("".join(parts))

    def match(self, path: PurePosixPath) -> dict[str, str] | None:
        """Return the texts of the fields, or None if a path does not fit."""
        found = self._expression.fullmatch(path.as_posix())
        return found.groupdict() if found else None


EXTRA_FIELDS = {"image": ("channel",), "label": ("class", "object")}
"""Fields that tell apart the files of one case."""


def suggest_pattern(named: Named, key: Key, differing: Collection[str] = ()) -> str:
    """Write the path of a file as a pattern with `{case}` in the place of its case's tokens.

    Args:
        named: The file.
        key: Tokens that images and labels of its case share.
        differing: Other tokens that differ between the files; they are written as `*`.
    """
    others = [token for token in named.words.key if token in differing and token not in key]
    parts = []
    for name in named.item.path.parts:
        spans = _spans(name, key)
        if spans and len(spans) == len(key):
            before, after = name[: spans[0][0]], name[spans[-1][1] :]
            parts.append(f"{_general(before, others)}{{case}}{_general(after, others)}")
            continue
        parts.append(_general(name, [*key, *others]))
    if not any("{case}" in name for name in parts):
        parts[-1] = re.sub(r"\*", "{case}", parts[-1], count=1)
    return "/".join(parts)


def _general(name: str, words: Sequence[str]) -> str:
    """Write `*` in the place of some tokens."""
    for word in words:
        for start, end in reversed(_spans(name, (word,))):
            name = f"{name[:start]}*{name[end:]}"
    return name


def _spans(name: str, key: Key) -> list[tuple[int, int]]:
    """Return the places of tokens in a name, in order."""
    spans: list[tuple[int, int]] = []
    start = 0
    for token in key:
        found = re.search(
            rf"(?<![0-9]){re.escape(token)}(?![0-9])" if token.isdecimal() else re.escape(token),
            name[start:],
            re.IGNORECASE,
        )
        if found:
            spans.append((start + found.start(), start + found.end()))
            start = spans[-1][1]
    return spans


def choose_by_patterns(
    named: Sequence[Named], images: Sequence[str], labels: Sequence[str]
) -> list[Named]:
    """Give the files that fit patterns their role, and take it away from the others.

    Args:
        named: All items of a folder.
        images: Patterns of image files; without any, their roles stay.
        labels: Patterns of label files; without any, their roles stay.

    Raises:
        DatasetError: If no file fits a pattern.
    """
    chosen = list(named)
    for role, texts in (("image", images), ("label", labels)):
        patterns = [PathPattern(text) for text in texts]
        if not patterns:
            continue
        fields: dict[PurePosixPath, dict[str, str]] = {}
        for pattern in patterns:
            matches = {
                entry.item.path: found
                for entry in named
                if (found := pattern.match(entry.item.path)) is not None
            }
            _check_matches(pattern, len(matches), named)
            fields = matches | fields
        chosen = [_choose(entry, role, fields.get(entry.item.path)) for entry in chosen]
        chosen = _with_keys(chosen, role)
    return chosen


def _choose(entry: Named, role: str, fields: dict[str, str] | None) -> Named:
    """Give a file that fits a pattern its role, and the part that the pattern picks out.

    Raises:
        DatasetError: If this is not the name of a part.
    """
    if fields is None:
        if entry.words.role != role or entry.is_chosen:
            return entry
        return Named(entry.item, replace(entry.words, role="unused"), is_chosen=True)
    words = replace(entry.words, role=role)
    if "part" in fields:
        part = PART_WORDS.get(fields["part"].lower())
        if part is None:
            raise DatasetError(
                f"{{part}} stands for {fields['part']!r} in {entry.item.path}; expected a name "
                "such as train, val or test. Use * for other names."
            )
        words = replace(words, part=part)
    return Named(entry.item, words, is_chosen=True, fields=fields)


def _with_keys(named: list[Named], role: str) -> list[Named]:
    """Replace the keys of files by the tokens of `{case}` and of the other fields.

    The other tokens of their paths stay only if these do not tell the files apart.
    """
    given = [
        entry
        for entry in named
        if entry.is_chosen and entry.words.role == role and "case" in entry.fields
    ]
    extras: list[Key] = [
        tuple(entry.fields[name] for name in EXTRA_FIELDS[role] if name in entry.fields)
        for entry in given
    ]
    counts = Counter(
        (entry.words.part, entry.fields["case"], extra)
        for entry, extra in zip(given, extras, strict=True)
    )
    if any(count > 1 for count in counts.values()):
        others = varying([_other_tokens(entry) for entry in given])
        extras = [(*extra, *other) for extra, other in zip(extras, others, strict=True)]
    keys = {
        entry.item: (*tokens(entry.fields["case"]), *extra)
        for entry, extra in zip(given, extras, strict=True)
    }
    return [
        replace(entry, words=replace(entry.words, key=keys.get(entry.item, entry.words.key)))
        for entry in named
    ]


def _other_tokens(entry: Named) -> Key:
    known = {token for text in entry.fields.values() for token in tokens(text)}
    return tuple(token for token in entry.words.key if token not in known)


def _check_matches(pattern: PathPattern, number: int, named: Sequence[Named]) -> None:
    if not number:
        examples = [entry.item.path.as_posix() for entry in named[:: max(1, len(named) // 3)]]
        raise DatasetError(
            f"no file fits the pattern {pattern.text!r}; the dataset has files such as "
            f"{format_names(examples, 3)}. `{{case}}` stands for the name of a case, `*` for any "
            "text, `**/` for any folders."
        )
