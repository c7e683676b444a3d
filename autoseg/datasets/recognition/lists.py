"""Read pairs, parts and groups from tables and lists of names in the folder of a dataset."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_names
from autoseg.datasets.recognition.inventory import Inventory, Item
from autoseg.datasets.recognition.keys import Key
from autoseg.datasets.recognition.tables import read_lines, read_table
from autoseg.datasets.recognition.tokens import PART_WORDS, Part, path_tokens, tokens, word_set
from autoseg.readers import stem_of

GROUP_WORDS = word_set(
    """
    group patient patients subject subjects person donor pid
    """
)
"""Words of columns of groups."""

OBJECT_WORDS = word_set("lesion slide video exam study")
"""Words of columns of groups if a word of ids follows (`lesion_id`)."""

ID_WORDS = word_set(
    """
    id ids name names number no nr uid
    """
)
"""Words next to which a word of groups names a column of groups (`patient_id`)."""

PART_COLUMN_WORDS = word_set(
    """
    split splits part set subset partition phase fold
    """
)
"""Words of columns of parts."""

YES, NO = word_set("1 true yes y t"), word_set("0 false no n f")
"""Entries of a column about one part, lower case."""

LEAST_FOUND = 0.9
"""Least share of the entries of a column that are files or cases of the dataset."""


Listed = dict[PurePosixPath, dict[str, Part]]
"""Lists, and the part of each case in them."""


@dataclass(frozen=True)
class ListedPair:
    """An image and its label in a table.

    Attributes:
        image: Path relative to the dataset.
        label: Path relative to the dataset.
        group: Group of the case.
        part: Part of the dataset.
    """

    image: PurePosixPath
    label: PurePosixPath
    group: str | None
    part: Part | None


@dataclass
class Lists:
    """What tables and lists say about cases.

    Attributes:
        pairs: Pairs of the tables that list images and labels.
        parts: Part by name of a case.
        groups: Group by name of a case.
        group_sources: Files that the groups were read from.
        notes: Sentences on entries that name no part.
    """

    pairs: tuple[ListedPair, ...] = ()
    parts: dict[str, Part] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    group_sources: list[PurePosixPath] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def listed_pairs(inventory: Inventory) -> Lists:
    """Return the pairs of all tables that have a column of images and a column of labels.

    The path of a table says the part of its pairs (`train.csv`), unless a column of it does.

    Raises:
        DatasetError: If tables of one kind put an image into several parts.
    """
    found = Lists()
    pairs: list[ListedPair] = []
    kinds: dict[Key, Listed] = {}
    for path in inventory.tables:
        rows = read_table(inventory.root / path)
        group = _group_column(rows)
        listed = _pairs_in(rows, path.parent, inventory.items, group)
        words = tokens(path.with_suffix("").as_posix())
        own = {PART_WORDS[word] for word in words if word in PART_WORDS}
        if listed and len(own) == 1:
            others = tuple(word for word in words if word not in PART_WORDS)
            images = {pair.image.as_posix(): next(iter(own)) for pair in listed}
            kinds.setdefault(others, {})[path] = images
        found.group_sources += [path] if listed and group else []
        pairs += listed
    parts: dict[str, Part] = {}
    for kind in _usable(list(kinds.values()), found):
        for images in kind.values():
            parts |= images
    found.pairs = tuple(
        replace(pair, part=pair.part or parts.get(pair.image.as_posix())) for pair in pairs
    )
    return found


def _pairs_in(
    rows: Sequence[Mapping[str, str]],
    folder: PurePosixPath,
    items: Iterable[Item],
    group: str | None,
) -> list[ListedPair]:
    """Return the pairs of a table; none without one column of images and one of labels."""
    columns = _path_columns(rows, folder, items)
    roles = {_column_role(name, found): found for name, found in columns.items()}
    if len(columns) != 2 or roles.keys() != {"image", "label"}:
        return []
    part = _named_column(rows, PART_COLUMN_WORDS)
    return [
        ListedPair(
            image,
            label,
            row.get(group) or None if group else None,
            part_in_text(row.get(part, "")) if part else None,
        )
        for row, image, label in zip(rows, roles["image"], roles["label"], strict=True)
        if image is not None and label is not None
    ]


def listed_parts(
    inventory: Inventory, names: Sequence[str], folders: Sequence[Sequence[str]] = ()
) -> Lists:
    """Return the parts and groups of cases from tables and lists of names.

    A name is that of a case, or that of a folder of cases, such as the folder of a patient.

    Args:
        inventory: The content of the folder.
        names: Names of the cases.
        folders: Names of the folders of each case.

    Raises:
        DatasetError: If lists put a case into different parts.
    """
    found = Lists()
    by_name = [{name: {name} for name in names}, *_by_folder(names, folders)]
    for path in inventory.tables:
        _read_parts(path, read_table(inventory.root / path), by_name, found)
    if not found.parts:
        _read_lists(inventory, by_name, found)
    return found


def _by_folder(names: Sequence[str], folders: Sequence[Sequence[str]]) -> list[dict[str, set[str]]]:
    """Return the cases in each folder, for each depth at which all cases have a folder."""
    found = []
    for column in zip(*folders, strict=False):
        cases: dict[str, set[str]] = defaultdict(set)
        for name, folder in zip(names, column, strict=True):
            cases[folder].add(name)
        found += [dict(cases)] if len(cases) > 1 else []
    return found


def _read_parts(
    path: PurePosixPath,
    rows: Sequence[Mapping[str, str]],
    by_name: Sequence[Mapping[str, set[str]]],
    found: Lists,
) -> None:
    """Read a table with a column of names and one of parts or groups, or a column per part."""
    columns = list(rows[0]) if rows else []
    own = [name for name in columns if part_in_text(name)]
    for known in by_name:
        listed = {name: {row[name] for row in rows if row.get(name)} for name in own}
        if any(listed.values()) and all(
            texts <= known.keys() - YES - NO for texts in listed.values()
        ):
            kind = {
                path / name: {case: part for text in texts for case in known[text]}
                for name, texts in listed.items()
                if (part := part_in_text(name)) and texts
            }
            for cases in _usable([kind], found)[0].values():
                found.parts |= cases
            return
        ids = next((name for name in columns if _holds(rows, name, set(known))), None)
        if ids is not None:
            named = {row[ids]: row for row in rows if row.get(ids) in known}
            _read_columns(path, named, ids, known, found)
            return


def _read_columns(
    path: PurePosixPath,
    named: Mapping[str, Mapping[str, str]],
    ids: str,
    known: Mapping[str, set[str]],
    found: Lists,
) -> None:
    """Read the columns of parts and of groups of a table.

    Args:
        path: The table.
        named: Its rows by the name in them.
        ids: Column of the names.
        known: Cases by name.
        found: Is completed.
    """
    rows = list(named.values())
    part = _named_column(rows, PART_COLUMN_WORDS) or _flag_column(rows)
    group = _group_column(rows)
    if part and part != ids:
        parts = {name: _part_of_entry(row.get(part) or "", part) for name, row in named.items()}
        found.parts |= {case: p for name, p in parts.items() if p for case in known[name]}
        unknown = sorted(
            {row[part] for name, row in named.items() if row[part] and not parts[name]}
        )
        if unknown and not part_in_text(part):
            found.notes.append(
                f"the column {part} of {path} has entries that name no part, such as "
                f"{format_names(unknown, 3)}; these cases are trained on"
            )
    if group and group != ids:
        groups = {name: row[group] for name, row in named.items() if row.get(group)}
        found.groups |= {case: text for name, text in groups.items() for case in known[name]}
        found.group_sources.append(path)


def _read_lists(
    inventory: Inventory, by_name: Sequence[Mapping[str, set[str]]], found: Lists
) -> None:
    """Read lists such as train.txt and val.txt, with a name in each line.

    Raises:
        DatasetError: If lists of one kind put a case into several parts.
    """
    lists: dict[tuple[PurePosixPath, Key], dict[PurePosixPath, dict[str, Part]]] = {}
    for path in inventory.texts:
        words = tokens(path.stem)
        own = {PART_WORDS[word] for word in words if word in PART_WORDS}
        if path.suffix.lower() != ".txt" or len(own) != 1:
            continue
        lines = read_lines(inventory.root / path)
        written = {PurePosixPath(line.split()[0]).name for line in lines if line.split()}
        for known in by_name:
            listed = {name if name in known else stem_of(Path(name)) for name in written}
            names = listed & known.keys()
            if listed and len(names) >= LEAST_FOUND * len(listed):
                others = tuple(word for word in words if word not in PART_WORDS)
                cases = {case: next(iter(own)) for name in names for case in known[name]}
                lists.setdefault((path.parent, others), {})[path] = cases
                break
    for kind in _usable(list(lists.values()), found):
        for cases in kind.values():
            found.parts |= cases


def _usable(kinds: Sequence[Listed], found: Lists) -> list[Listed]:
    """Return all lists if they agree, otherwise those of the kind with most cases.

    Several kinds that name as many, such as the lists of five folds, are not used.

    Raises:
        DatasetError: If lists of one kind put a case into several parts.
    """
    pairs = [{pair for cases in kind.values() for pair in cases.items()} for kind in kinds]
    for kind, own in zip(kinds, pairs, strict=True):
        if len(own) > len(dict(own)):
            raise DatasetError(
                f"{format_names([path.as_posix() for path in kind], 4)} put a case into several "
                "parts of the dataset. Correct these files, or move them out of the dataset."
            )
    most = max(map(len, pairs), default=0)
    together = set().union(*pairs)
    if len(together) == len(dict(together)):
        used = list(kinds)
    else:
        used = [kind for kind, own in zip(kinds, pairs, strict=True) if len(own) == most]
    if len(used) > 1 and len(together) > len(dict(together)):
        paths = [path.as_posix() for kind in used for path in kind]
        found.notes.append(
            f"{format_names(paths, 4)} put cases into different parts of the dataset; they were "
            "not used"
        )
        return []
    return used


def _path_columns(
    rows: Sequence[Mapping[str, str]], folder: PurePosixPath, items: Iterable[Item]
) -> dict[str, list[PurePosixPath | None]]:
    """Return the columns of paths, relative to the table's folder or to the dataset."""
    known = {item.path for item in items}
    columns = {}
    for name in rows[0] if rows else ():
        written = [candidate_paths(row.get(name, ""), folder) for row in rows]
        paths = [next((path for path in paths if path in known), None) for paths in written]
        if sum(path is not None for path in paths) >= LEAST_FOUND * len(rows):
            columns[name] = paths
    return columns


def _column_role(name: str, paths: Sequence[PurePosixPath | None]) -> str:
    """Return the role that the name of a column says, otherwise the paths in it."""
    words = path_tokens(PurePosixPath(name), name)
    example = next(path for path in paths if path is not None)
    return words.role or path_tokens(example, example.stem).role or ""


def _named_column(rows: Sequence[Mapping[str, str]], words: frozenset[str]) -> str | None:
    return next((name for name in rows[0] if words & set(tokens(name))), None) if rows else None


def _group_column(rows: Sequence[Mapping[str, str]]) -> str | None:
    """Return the first column of which all words are words of groups and ids."""
    for name in rows[0] if rows else ():
        words = set(tokens(name))
        is_id = words & OBJECT_WORDS and words & ID_WORDS
        known = GROUP_WORDS | ID_WORDS | (OBJECT_WORDS if is_id else set())
        if (words & GROUP_WORDS or is_id) and words <= known:
            return name
    return None


def _holds(rows: Sequence[Mapping[str, str]], column: str, names: set[str]) -> bool:
    entries = {row.get(column, "") for row in rows}
    return bool(entries) and len(entries & names) >= LEAST_FOUND * len(names)


def candidate_paths(written: str, folder: PurePosixPath) -> list[PurePosixPath]:
    """Return the paths that a text may mean: relative to the table's folder, or to the dataset."""
    text = written.replace("\\", "/")
    return [PurePosixPath(os.path.normpath(path)) for path in (folder / text, text)]


def part_in_text(text: str) -> Part | None:
    """Return the part that a text says, such as `Test Set` or `hold-out`."""
    words = (*tokens(text), "".join(tokens(text)))
    return next((PART_WORDS[word] for word in words if word in PART_WORDS), None)


def _flag_column(rows: Sequence[Mapping[str, str]]) -> str | None:
    """Return the first column of yes and no whose name says a part (`is_test`)."""
    for name in rows[0] if rows else ():
        if part_in_text(name) and {row.get(name, "").lower() for row in rows} <= YES | NO:
            return name
    return None


def _part_of_entry(text: str, column: str) -> Part | None:
    """Return the part that an entry of a column says; yes and no are about the column's part."""
    if text.lower() in YES | NO:
        return part_in_text(column) if text.lower() in YES else None
    return part_in_text(text)
