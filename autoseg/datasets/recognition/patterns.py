"""Patterns of paths, such as `labels/{case}_seg.nii.gz`: find files with them, and suggest them."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_names
from autoseg.datasets.recognition.pairing import Key, Named

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


def suggest_pattern(named: Named, key: Key) -> str:
    """Write the path of a file as a pattern with `{case}` in the place of its case's tokens.

    Args:
        named: The file.
        key: Tokens that images and labels of its case share.
    """
    parts = []
    for name in named.item.path.parts:
        spans = _spans(name, key)
        if spans and len(spans) == len(key):
            parts.append(f"{name[: spans[0][0]]}{{case}}{name[spans[-1][1] :]}")
            continue
        general = name
        for start, end in reversed(spans):
            general = f"{general[:start]}*{general[end:]}"
        parts.append(general)
    if not any("{case}" in name for name in parts):
        parts[-1] = re.sub(r"\*", "{case}", parts[-1], count=1)
    return "/".join(parts)


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
        found = set()
        for pattern in patterns:
            matches = {entry.item for entry in named if pattern.match(entry.item.path) is not None}
            _check_matches(pattern, len(matches), named)
            found |= matches
        chosen = [_choose(entry, role, is_match=entry.item in found) for entry in chosen]
    return chosen


def _choose(entry: Named, role: str, *, is_match: bool) -> Named:
    if not is_match and (entry.words.role != role or entry.is_chosen):
        return entry
    return Named(
        entry.item, replace(entry.words, role=role if is_match else "unused"), is_chosen=True
    )


def _check_matches(pattern: PathPattern, number: int, named: Sequence[Named]) -> None:
    if not number:
        examples = [entry.item.path.as_posix() for entry in named[:: max(1, len(named) // 3)]]
        raise DatasetError(
            f"no file fits the pattern {pattern.text!r}; the dataset has files such as "
            f"{format_names(examples, 3)}. `{{case}}` stands for the name of a case, `*` for any "
            "text, `**/` for any folders."
        )
