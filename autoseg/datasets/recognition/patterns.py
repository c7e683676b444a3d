"""Patterns of paths, such as `labels/{case}_seg.nii.gz`: find files with them, and suggest them."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path, PurePosixPath

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_count, format_names
from autoseg.datasets.recognition.inventory import Item
from autoseg.datasets.recognition.keys import Key, as_numbers, varying
from autoseg.datasets.recognition.pairing import Named
from autoseg.datasets.recognition.tokens import PART_WORDS, token_spans, tokens
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
        parts: list[str] = []
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
        self._loose = re.compile(re.sub(r"\(\?P=\w+\)", "[^/]+?", "".join(parts)))

    def match(self, path: PurePosixPath) -> dict[str, str] | None:
        """Return the texts of the fields, or None if a path does not fit."""
        found = self._expression.fullmatch(path.as_posix())
        return found.groupdict() if found else None

    def check_repeated(self, paths: Sequence[PurePosixPath]) -> None:
        """Raise DatasetError if fields that occur twice shut out most of the texts of `{case}`."""
        loose = [found for path in paths if (found := self._loose.fullmatch(path.as_posix()))]
        texts = {found["case"] for found in loose} if "case" in self.fields else set()
        fitting = {fields["case"] for path in paths if texts and (fields := self.match(path))}
        if len(fitting) < 0.5 * len(texts):
            raise DatasetError(
                f"the pattern {self.text!r} has a field twice, which stands for the same text in "
                f"both places; that fits the files of {len(fitting)} of "
                f"{format_count(len(texts), 'case')}. Write * in one of the places."
            )


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
    # Training and test cases may have the same name, but not the same images.
    chosen: set[tuple[Path, ...]] = set()
    for pattern in map(PathPattern, patterns):
        fitting = {case.images for case in (*cases, *test_cases) if _fits(pattern, case, root)}
        if not fitting:
            examples = [_relative(case.images[0], root).as_posix() for case in cases]
            raise DatasetError(
                f"--test: no case has a file or folder that fits the pattern {pattern.text!r}; "
                f"there are cases such as {format_names(examples, 3)}. {SYNTAX}"
            )
        chosen |= fitting
    training = tuple(case for case in cases if case.images not in chosen)
    if cases and not training:
        raise DatasetError(
            f"--test: all {format_count(len(cases), 'case')} fit {format_names(patterns)}, so that "
            "none is left to train on. Choose patterns that fit fewer cases."
        )
    return training, (*test_cases, *(case for case in cases if case.images in chosen))


def _fits(pattern: PathPattern, case: CaseFiles, root: Path) -> bool:
    paths = [_relative(path, root) for path in (*case.images, case.labels)]
    return any(pattern.match(part) is not None for path in paths for part in (path, *path.parents))


def _relative(path: Path, root: Path) -> PurePosixPath:
    return PurePosixPath(path.relative_to(root) if path.is_relative_to(root) else path)


EXTRA_FIELDS = {"image": ("channel",), "label": ("class", "object")}
"""Fields that tell apart the files of one case."""


def suggest_pattern(named: Named, key: Key, files: Iterable[Named] = ()) -> str:
    """Write the path of a file as a pattern that fits all files of its kind.

    Tokens that differ between the files are written as `*`; a name that has all tokens of the case
    has `{case}` in their place. Where they are spread over several names, `{case}` alone would not
    tell the cases apart, so that there is none.

    Args:
        named: The file.
        key: Tokens that images and labels of its case share.
        files: All files of the kind.
    """
    paths = [file.item.path for file in files]
    paths = [path for path in paths if len(path.parts) == len(named.item.path.parts)]
    own = named.item.path.parts
    columns = list(zip(*(path.parts for path in paths or [named.item.path]), strict=True))
    parts = [_general(name, column, key) for name, column in zip(own, columns, strict=True)]
    pattern = PathPattern("/".join(parts))
    if any(pattern.match(path) is None for path in paths):
        parts = [_widest(name, column) for name, column in zip(own, columns, strict=True)]
    return "/".join(parts)


def suggest_case_pattern(files: Sequence[Named]) -> str:
    """Write a pattern that fits all files, with `{case}` in their deepest name that differs."""
    parts = suggest_pattern(files[0], (), files).split("/")
    place = max((n for n, name in enumerate(parts) if "*" in name), default=-1)
    parts[place] = re.sub(r"\*(.*\*)?", "{case}", parts[place], count=1)
    return "/".join(parts)


def _general(name: str, column: Sequence[str], key: Key) -> str:
    """Write `{case}` or `*` in the place of tokens of one name of a path.

    Args:
        name: The name.
        column: The names in the same place of the paths of all files.
        key: Tokens of the case.
    """
    spans = token_spans(name)
    others = [tokens(other) for other in dict.fromkeys(column) if other != name]
    texts = [token for token, _, _ in spans]
    is_alone = len(column) == 1
    own = _places(texts, key)
    fixed = [
        place not in own if is_alone else all(_has(other, texts, place) for other in others)
        for place in range(len(texts))
    ]
    inner = range(own[0], own[-1] + 1) if len(own) == len(key) > 0 else range(0)
    is_case = len(inner) == len(own) and not all(fixed[place] for place in inner)
    found, end = "", 0
    for place, (_, start, stop) in enumerate(spans):
        if is_case and place in inner:
            found += f"{name[end:start]}{{case}}" if place == inner[0] else ""
        else:
            found += name[end:stop] if fixed[place] else f"{name[end:start]}*"
        end = stop
    return re.sub(r"\*{2,}", "*", found + name[end:])


def _places(texts: Sequence[str], key: Key) -> list[int]:
    """Return the places of the key's tokens, in order; leading zeros do not matter."""
    found: list[int] = []
    numbers = as_numbers(tuple(texts))
    for token in as_numbers(key):
        start = found[-1] + 1 if found else 0
        found += [numbers.index(token, start)] if token in numbers[start:] else []
    return found


def _has(other: Sequence[str], texts: Sequence[str], place: int) -> bool:
    """Return True if another name has the same token there, counted from either end."""
    places = {place, len(other) - (len(texts) - place)}.intersection(range(len(other)))
    return any(other[one] == texts[place] for one in places)


def _widest(name: str, column: Sequence[str]) -> str:
    """Write `*` for everything between the beginning and the end that all names share."""
    if len(set(column)) == 1:
        return name
    start, end = _num_equal(column), -_num_equal([other[::-1] for other in column])
    end = max(end, start - min(map(len, column)))  # the two may not overlap
    return f"{name[:start]}*{name[end:] if end else ''}"


def _num_equal(names: Sequence[str]) -> int:
    """Return the number of first characters that all names share."""
    return sum(1 for _ in takewhile(lambda found: len(set(found)) == 1, zip(*names, strict=False)))


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
            pattern.check_repeated([entry.item.path for entry in named])
            _check_matches(pattern, len(matches), named)
            fields = matches | fields
        chosen = [_choose(entry, role, fields.get(entry.item.path)) for entry in chosen]
        is_only = not all("{case}" in text for text in (*images, *labels)) or not (
            images and labels
        )
        chosen = _with_keys(chosen, role, is_only=is_only)
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


def _with_keys(named: list[Named], role: str, *, is_only: bool) -> list[Named]:
    """Replace the keys of files by the tokens of `{case}` and of the other fields.

    The other tokens of their paths stay only if these do not tell the files apart: in the order of
    the paths if only one of the two sides has `{case}`, as the other side has that order.
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
        if is_only:
            return named
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
