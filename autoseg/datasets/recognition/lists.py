"""Read pairs, parts and groups from tables and lists of names in the folder of a dataset."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_names
from autoseg.datasets.recognition.inventory import Inventory, Item
from autoseg.datasets.recognition.tables import read_lines, read_table
from autoseg.datasets.recognition.tokens import PART_WORDS, Part, path_tokens, tokens, word_set
from autoseg.readers import stem_of

GROUP_WORDS = word_set(
    """
    group patient patients subject subjects person donor pid
    """
)
"""Words of columns of groups."""

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

LEAST_FOUND = 0.9
"""Least share of the entries of a column that are files or cases of the dataset."""


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
        pairs: Pairs of one table.
        parts: Part by name of a case.
        groups: Group by name of a case.
        group_sources: Files that the groups were read from.
    """

    pairs: tuple[ListedPair, ...] = ()
    parts: dict[str, Part] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    group_sources: list[PurePosixPath] = field(default_factory=list)


def listed_pairs(inventory: Inventory) -> Lists:
    """Return the pairs of the first table that has a column of images and a column of labels."""
    for path in inventory.tables:
        rows = read_table(inventory.root / path)
        columns = _path_columns(rows, path.parent, inventory.items)
        if len(columns) != 2:
            continue
        roles = {name: _column_role(name, found) for name, found in columns.items()}
        if sorted(roles.values()) != ["image", "label"]:
            continue
        by_role = {role: columns[name] for name, role in roles.items()}
        group, part = _group_column(rows), _named_column(rows, PART_COLUMN_WORDS)
        pairs = [
            ListedPair(
                image,
                label,
                row.get(group) or None if group else None,
                _part(row.get(part, "")) if part else None,
            )
            for row, image, label in zip(rows, by_role["image"], by_role["label"], strict=True)
            if image is not None and label is not None
        ]
        return Lists(pairs=tuple(pairs), group_sources=[path] if group else [])
    return Lists()


TABLE_COLUMNS = ("image", "label", "group", "split")
"""Columns of a table that the user names, in this order."""


def given_pairs(inventory: Inventory, table: str) -> Lists:
    """Return the pairs of a table that the user has chosen.

    Args:
        inventory: The content of the folder.
        table: The file and the names of its columns, see `LayoutOptions`.

    Raises:
        DatasetError: If the table cannot be read, or lacks a column, or none of the files in a
            column exists, or a split is not the name of a part.
    """
    file, _, columns = table.rpartition(":")
    path = inventory.root / file
    rows = read_table(path)
    given = dict(zip(TABLE_COLUMNS, [name.strip() for name in columns.split(",")], strict=False))
    if not rows:
        raise DatasetError(
            f"--table: {path} has no rows that can be read; expected a first line with the names "
            "of the columns, and a line per case, in a file .csv, .tsv or .xlsx."
        )
    for name in filter(None, given.values()):
        if name not in rows[0]:
            found = format_names(list(rows[0]), 20)
            raise DatasetError(f"--table: {path} has no column {name!r}. It has {found}.")
    folder = PurePosixPath(os.path.relpath(path.parent, inventory.root))
    known = {item.path for item in inventory.items}
    located = {
        role: [_located_file(row[given[role]], folder, inventory.root, known) for row in rows]
        for role in ("image", "label")
    }
    for role, paths in located.items():
        if not any(path is not None and (inventory.root / path).is_file() for path in paths):
            example = next((row[given[role]] for row in rows if row[given[role]]), "nothing")
            raise DatasetError(
                f"--table: no file in the column {given[role]!r} of {path} exists, for example "
                f"{example}; expected paths relative to {path.parent} or {inventory.root}."
            )
    group, split = given.get("group"), given.get("split")
    pairs = [
        ListedPair(
            image,
            label,
            row[group] or None if group else None,
            _given_part(row[split], path) if split else None,
        )
        for row, image, label in zip(rows, located["image"], located["label"], strict=True)
        if image is not None and label is not None
    ]
    source = PurePosixPath(file)
    return Lists(pairs=tuple(pairs), group_sources=[source] if group else [])


def _located_file(
    written: str, folder: PurePosixPath, root: Path, known: Collection[PurePosixPath]
) -> PurePosixPath | None:
    """Return a path relative to the dataset, or an absolute one outside; None if it is empty.

    A file that does not exist has the path relative to the table's folder.
    """
    if not written:
        return None
    paths = _candidates(written, folder)
    found = next((path for path in paths if path in known), None)
    found = found or next((path for path in paths if (root / path).is_file()), paths[0])
    is_inside = found.is_absolute() and found.is_relative_to(root)
    return found.relative_to(root) if is_inside else found


def _candidates(written: str, folder: PurePosixPath) -> list[PurePosixPath]:
    """Return the paths that a text may mean: relative to the table's folder, or to the dataset."""
    text = written.replace("\\", "/")
    return [PurePosixPath(os.path.normpath(path)) for path in (folder / text, text)]


def _given_part(text: str, table: Path) -> Part | None:
    part = _part(text)
    if text and part is None:
        raise DatasetError(
            f"--table: {table} has the split {text!r}; expected words such as train, val or test. "
            "For numbered folds, leave the column out and give the folds with --splits."
        )
    return part


def listed_parts(inventory: Inventory, names: Sequence[str]) -> Lists:
    """Return the parts and groups of cases from tables with their names, and lists of names.

    Args:
        inventory: The content of the folder.
        names: Names of the cases.
    """
    found = Lists()
    known = set(names)
    for path in inventory.tables:
        rows = read_table(inventory.root / path)
        ids = next((name for name in (rows[0] if rows else ()) if _holds(rows, name, known)), None)
        if ids is None:
            continue
        part, group = _named_column(rows, PART_COLUMN_WORDS), _group_column(rows)
        named = {row[ids]: row for row in rows if row.get(ids) in known}
        if part and part != ids:
            parts = {name: _part(row.get(part) or "") for name, row in named.items()}
            found.parts |= {name: part for name, part in parts.items() if part}
        if group and group != ids:
            found.groups |= {name: row[group] for name, row in named.items() if row.get(group)}
            found.group_sources.append(path)
    if not found.parts:
        _read_lists(inventory, known, found)
    return found


def _read_lists(inventory: Inventory, known: set[str], found: Lists) -> None:
    """Read lists such as train.txt and val.txt, with the name of a case in each line."""
    lists: dict[PurePosixPath, dict[Part, set[str]]] = {}
    for path in inventory.texts:
        part = PART_WORDS.get(path.stem.lower())
        if path.suffix.lower() != ".txt" or part is None:
            continue
        lines = read_lines(inventory.root / path)
        written = {PurePosixPath(line.split()[0]).name for line in lines if line.split()}
        listed = {name if name in known else stem_of(Path(name)) for name in written}
        if listed and len(listed & known) >= LEAST_FOUND * len(listed):
            lists.setdefault(path.parent, {})[part] = listed & known
    best = max(lists.values(), key=lambda parts: sum(map(len, parts.values())), default={})
    found.parts |= {name: part for part, listed in best.items() for name in listed}


def _path_columns(
    rows: Sequence[Mapping[str, str]], folder: PurePosixPath, items: Iterable[Item]
) -> dict[str, list[PurePosixPath | None]]:
    """Return the columns of paths, relative to the table's folder or to the dataset."""
    known = {item.path for item in items}
    columns = {}
    for name in rows[0] if rows else ():
        written = [_candidates(row.get(name, ""), folder) for row in rows]
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
        if words & GROUP_WORDS and words <= GROUP_WORDS | ID_WORDS:
            return name
    return None


def _holds(rows: Sequence[Mapping[str, str]], column: str, names: set[str]) -> bool:
    entries = {row.get(column, "") for row in rows}
    return bool(entries) and len(entries & names) >= LEAST_FOUND * len(names)


def _part(text: str) -> Part | None:
    return next((PART_WORDS[word] for word in tokens(text) if word in PART_WORDS), None)
