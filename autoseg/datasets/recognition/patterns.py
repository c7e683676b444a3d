"""Patterns of paths, such as `labels/{case}_seg.nii.gz`: find files with them, and suggest them."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_count, format_names
from autoseg.datasets.recognition.inventory import Item
from autoseg.datasets.recognition.keys import Key, varying
from autoseg.datasets.recognition.pairing import Named
from autoseg.datasets.recognition.tokens import PART_WORDS, tokens
from autoseg.documents.dataset import CaseFiles
from autoseg.readers.names import missing_package

FIELDS = ("case", "group", "part", "channel", "class", "object")
"""Names of the parts of a path that a pattern can pick out."""

FIELD = re.compile(r"\{(\w+)\}|(\*\*/?)|([*?])|([^{*?]+|\{)")
"""A field, any folders, any part or one character of a name, or text."""


SYNTAX = "`*` stands for any text within a name, `?` for one character, `**/` for any folders."


class PathPattern:
    """A pattern of paths relative to the dataset.

    `{case}` and the other fields stand for one or more characters without a slash; a field that
    occurs twice has the same text in both places. `*` is any text within a name, `?` one
    character, `**/` any folders.

    Args:
        text: The pattern.

    Raises:
        DatasetError: If a field is unknown.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        seen: set[str] = set()
        parts = []
        for field, folders, wildcard, plain in FIELD.findall(
            text.replace("\\", "/").removeprefix("./")
        ):
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
                parts.append(re.escape(plain) or {"*": "[^/]*", "?": "[^/]"}[wildcard])
        self.fields = frozenset(seen)
        self._expression = re.compile("".join(parts))

    def match(self, path: PurePosixPath) -> dict[str, str] | None:
        """Return the texts of the fields, or None if a path does not fit."""
        found = self._expression.fullmatch(path.as_posix())
        return found.groupdict() if found else None


def choose_test_cases(
    cases: Sequence[CaseFiles], test_cases: Sequence[CaseFiles], patterns: Sequence[str], root: Path
) -> tuple[tuple[CaseFiles, ...], tuple[CaseFiles, ...]]:
    """Move the cases with a file, or a folder of files, that fits a pattern to the test cases.

    Args:
        cases: Other cases.
        test_cases: Test cases.
        patterns: The patterns.
        root: Folder of the dataset.

    Raises:
        DatasetError: If no case fits a pattern, or no other case is left.
    """
    chosen: set[str] = set()
    for pattern in map(PathPattern, patterns):
        fitting = {case.name for case in (*cases, *test_cases) if _fits(pattern, case, root)}
        if not fitting:
            examples = [_relative(case.images[0], root).as_posix() for case in cases]
            raise DatasetError(
                f"--test: no case has a file or folder that fits the pattern {pattern.text!r}; "
                f"there are cases such as {format_names(examples, 3)}. {SYNTAX}"
            )
        chosen |= fitting
    training = tuple(case for case in cases if case.name not in chosen)
    if cases and not training:
        raise DatasetError(
            f"--test: all {format_count(len(cases), 'case')} fit {format_names(patterns)}, so that "
            "none is left to train on. Choose patterns that fit fewer cases."
        )
    return training, (*test_cases, *(case for case in cases if case.name in chosen))


def _fits(pattern: PathPattern, case: CaseFiles, root: Path) -> bool:
    paths = [_relative(path, root) for path in (*case.images, case.labels)]
    return any(pattern.match(part) is not None for path in paths for part in (path, *path.parents))


def _relative(path: Path, root: Path) -> PurePosixPath:
    return PurePosixPath(path.relative_to(root) if path.is_relative_to(root) else path)


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
        text, kind = re.escape(token), "[0-9]" if token.isdecimal() else r"[^\W\d_]"
        whole = re.search(rf"(?<!{kind}){text}(?!{kind})", name[start:], re.IGNORECASE)
        is_word = not token.isdecimal() and len(token) > 1
        found = whole or (re.search(text, name[start:], re.IGNORECASE) if is_word else None)
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
                if (found := _match(pattern, entry.item)) is not None
            }
            _check_matches(pattern, len(matches), named)
            fields = matches | fields
        chosen = [_choose(entry, role, fields.get(entry.item.path)) for entry in chosen]
        chosen = _with_keys(chosen, role)
    return chosen


def _match(pattern: PathPattern, item: Item) -> dict[str, str] | None:
    """Match the path of a file; `case.h5` and `case.h5/raw` are the same if it holds one image."""
    found = pattern.match(item.path)
    return pattern.match(item.path / item.inside) if found is None and item.inside else found


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
        package = f" {missing_package(pattern.text)}".rstrip()
        examples = [entry.item.path.as_posix() for entry in named[:: max(1, len(named) // 3)]]
        raise DatasetError(
            f"no file fits the pattern {pattern.text!r}; the dataset has files such as "
            f"{format_names(examples, 3)}.{package} `{{case}}` stands for the name of a case. "
            f"{SYNTAX}"
        )
