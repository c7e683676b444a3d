"""Join the images and labels that a table lists into cases."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_names
from autoseg.datasets.recognition.case_names import Groups
from autoseg.datasets.recognition.inventory import Inventory, Item
from autoseg.datasets.recognition.keys import Key, varying
from autoseg.datasets.recognition.lists import ListedPair, Lists, candidate_paths, part_in_text
from autoseg.datasets.recognition.pairing import Joined, Named, Pairing
from autoseg.datasets.recognition.roles import name_items
from autoseg.datasets.recognition.tables import read_table
from autoseg.datasets.recognition.tokens import Part, path_tokens
from autoseg.readers import ending_of, stem_of
from autoseg.readers.names import known_endings

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
    _check_located(located, given, path, inventory.root)
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


def _check_located(
    located: Mapping[str, Sequence[PurePosixPath | None]],
    columns: Mapping[str, str],
    table: Path,
    root: Path,
) -> None:
    """Check that each column names existing files, and that label files are images.

    Raises:
        DatasetError: If not.
    """
    for role, paths in located.items():
        existing = [path for path in paths if path is not None and (root / path).is_file()]
        if not existing:
            example = next(filter(None, paths), "nothing")
            raise DatasetError(
                f"--table: no file in the column {columns[role]!r} of {table} exists, for example "
                f"{example}; expected paths relative to {table.parent} or {root}."
            )
        others = [path for path in existing if ending_of(root / path) not in known_endings()]
        if role == "label" and others:
            raise DatasetError(
                f"--table: {others[0]} in the column {columns[role]!r} of {table} is not an image; "
                "tables list label images. Choose files of annotations with --label."
            )


def _located_file(
    written: str, folder: PurePosixPath, root: Path, known: Collection[PurePosixPath]
) -> PurePosixPath | None:
    """Return a path relative to the dataset, or an absolute one outside; None if it is empty.

    A file that does not exist has the path relative to the table's folder.
    """
    if not written:
        return None
    paths = candidate_paths(written, folder)
    found = next((path for path in paths if path in known), None)
    found = found or next((path for path in paths if (root / path).is_file()), paths[0])
    is_inside = found.is_absolute() and found.is_relative_to(root)
    return found.relative_to(root) if is_inside else found


def _given_part(text: str, table: Path) -> Part | None:
    part = part_in_text(text)
    if text and part is None:
        raise DatasetError(
            f"--table: {table} has the split {text!r}; expected words such as train, val or test. "
            "For numbered folds, leave the column out and give the folds with --splits."
        )
    return part


def cases_of_table(listed: Lists, inventory: Inventory) -> tuple[Pairing, Groups]:
    """Return the pairs of tables as cases, and their groups; an image may be in several rows.

    The part of a case that no row says is that of its image's path.

    Raises:
        DatasetError: If rows give an image several groups or parts.
    """
    items = {item.path: item for item in inventory.items}
    parts = {entry.item.path: entry.words.part for entry in name_items(inventory.items)}
    found: dict[PurePosixPath, list[ListedPair]] = {}
    for pair in listed.pairs:
        found.setdefault(pair.image, []).append(pair)
    rows = {image: _agreeing(pairs) for image, pairs in found.items()}

    def named(path: PurePosixPath) -> Named:
        item = items.get(path) or Item(path, stem_of(Path(path)), ending_of(Path(path)))
        return Named(item, path_tokens(path, item.stem))

    cases = []
    for (image, pairs), extras in zip(rows.items(), _table_series(rows), strict=True):
        case = Joined(pairs[0].part or parts.get(image), (stem_of(Path(image)),))
        case.images[()].append(named(image))
        for pair, extra in zip(pairs, extras, strict=True):
            case.labels[extra].append(named(pair.label))
        cases.append(case)
    used = {path for pair in listed.pairs for path in (pair.image, pair.label)}
    others = tuple(item for item in inventory.items if item.path not in used)
    groups = [pairs[0].group for pairs in rows.values()]
    return Pairing(tuple(cases), (), (), others), Groups(groups)


def _agreeing(pairs: Sequence[ListedPair]) -> list[ListedPair]:
    """Return the pairs of one image, one for each label file, with the group and part of all."""
    groups = sorted({pair.group for pair in pairs if pair.group is not None})
    parts = {pair.part for pair in pairs if pair.part is not None}
    names = sorted(part.value for part in parts)
    for kind, values in (("groups", groups), ("splits", names)):
        if len(values) > 1:
            raise DatasetError(
                f"tables list the image {pairs[0].image} with the {kind} {format_names(values)}; "
                "expected one. Correct the rows, or choose a table and its columns with --table."
            )
    group, part = next(iter(groups), None), next(iter(parts), None)
    labels = dict.fromkeys(pair.label for pair in pairs)
    return [ListedPair(pairs[0].image, label, group, part) for label in labels]


def _table_series(rows: Mapping[PurePosixPath, Sequence[ListedPair]]) -> list[list[Key]]:
    """Return the tokens that tell apart the label files of each image, or their numbers."""
    if all(len(pairs) == 1 for pairs in rows.values()):
        return [[()] for _ in rows]
    labels = [pair.label for pairs in rows.values() for pair in pairs]
    keys = varying([path_tokens(path, stem_of(Path(path))).key for path in labels])
    own = dict(zip(labels, keys, strict=True))
    found: list[list[Key]] = []
    for image, pairs in rows.items():
        known = path_tokens(image, stem_of(Path(image))).key
        found.append([tuple(t for t in own[pair.label] if t not in known) for pair in pairs])
    if any(len(set(extras)) < len(extras) for extras in found):
        return [[(str(number),) for number, _ in enumerate(extras, 1)] for extras in found]
    return found
